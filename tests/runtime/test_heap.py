"""Memory that stays with the program."""

import subprocess
import sys

import pytest

from venhancer.runtime.heap import keep_freed_memory

FAULTS = """
import resource, sys
import torch
from venhancer.runtime.heap import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def take_blocks():
    for _ in range(20):
        torch.ones(48 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = take_blocks()
print(take_blocks() - before)
"""


def faults(what: str) -> int:
    """Return how often the system handed out a page while a block of 48 MiB is taken and freed twenty times more."""
    finished = subprocess.run([sys.executable, "-c", FAULTS, what], check=True, capture_output=True, text=True)
    return int(finished.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has glibc")
def test_blocks_that_are_taken_again_and_again_are_handed_out_once():
    assert faults("keep") < faults("give back") / 5


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
