"""Processes that may take little more memory than they have once their model is loaded."""

import os
import resource
from pathlib import Path

from venhancer.fleet.enhancing import Enhancing
from venhancer.fleet.worker import Setup

ROOM = "SHORT_MEMORY_ROOM"
"""The variable that tells `ShortOfMemory` how many bytes it may take."""
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
"""Freed blocks are given back at once and there is one heap: else what fits would depend on the order of blocks."""


def addresses(kind: str) -> int:
    """Return bytes of this process's addresses: "VmSize" now, "VmPeak" at most."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(kind))


def limit_memory(room: int, held: int) -> None:
    """Let this process take only so many bytes of addresses more than the `held` ones."""
    resource.setrlimit(resource.RLIMIT_AS, (held + room, resource.RLIM_INFINITY))


class ShortOfMemory(Enhancing):
    """A fleet's craft with so little memory that a plan for all that the machine has does not fit."""

    def __init__(self, setup: Setup) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # how many threads there are, and their stacks
        super().__init__(setup)
        limit_memory(int(os.environ[ROOM]), addresses("VmSize"))
