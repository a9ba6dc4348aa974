"""A craft whose process may take little more memory than it has once its model is loaded."""

import os
import resource
from pathlib import Path

from venhancer.fleet.enhancing import Enhancing
from venhancer.fleet.worker import Setup

ROOM = 62_000_000
# Freed blocks are given back at once and there is one heap: else it would hang on the machine what fits into a limit.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}


class ShortOfMemory(Enhancing):
    """Enhances with so little memory that a plan for all that the machine has does not fit."""

    def __init__(self, setup: Setup) -> None:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # how many threads there are, and their stacks
        super().__init__(setup)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
