"""A campaign of faults against a fleet: runs are killed at random moments until there were enough, then let finish.

What is watched all the time: every output that can be seen is whole. What counts in the end: every source has its
output, poisoned ones are put aside with their reason, and another run does nothing.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fleet.runs import make_sources, outputs, start_run
from venhancer.fleet.ledger import LEDGER, Ledger
from venhancer.fleet.stores import Store

Victims = Callable[[subprocess.Popen], list[psutil.Process]]
ODD = ("crash", "broken", "hang", "broken", "broken", "broken")
HAND = "venhancer.fleet.hand"


@dataclass
class Campaign:
    """Runs over one folder, and who is killed.

    Args:
        folder: for sources and outputs.
        items: how many sources; of every fifty one is odd.
        chance: for who is killed when.
        options: of the runs, see `run_copies`.
        drivers: runs at the same time.
        pace: seconds that a segment takes; a source has four.
    """

    folder: Path
    items: int
    chance: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    drivers: int = 1
    pace: float = 0.001
    kills: list[str] = field(default_factory=list)
    half: int = 0

    def __post_init__(self) -> None:
        self.source, self.out = self.folder / "in", self.folder / "out"
        make_sources(self.source, self.items)
        self.odd = {number: ODD[number // 50 % len(ODD)] for number in range(7, self.items, 50)}
        for number, word in self.odd.items():
            (self.source / f"{number:05d}.mp4").write_bytes(f"{word} {number} ".encode() * 50)
        self.segments = self.folder / "segments"
        self.expected = {path.name: path.read_bytes() for path in sorted(self.source.iterdir())}
        for number in self.odd:
            del self.expected[f"{number:05d}.mp4"]

    def start(self) -> subprocess.Popen:
        """Start a run in a process of its own."""
        noted = {"FLEET_SEGMENTS": str(self.segments), "FLEET_PACE": str(self.pace), "OMP_NUM_THREADS": "1"}
        return start_run(str(self.source), str(self.out), environment=noted, **self.options)

    def go(self, wanted: int, longest: float, other: Callable[[], str | None] = lambda: None) -> None:
        """Kill so many times, each after up to so many seconds, and then let all be finished.

        Args:
            wanted: kills.
            longest: seconds from one to the next, at most.
            other: kills something else, such as a node, and returns its name; None leaves it to workers and drivers.
        """
        runs = [self.start() for _ in range(self.drivers)]
        while len(self.kills) < wanted:
            runs = [run if run.poll() is None else self.start() for run in runs]
            run = self.chance.choice(runs)
            while "ray_address" not in self.options and not self.hands(run) and run.poll() is None:
                time.sleep(0.02)  # a run that has only begun to start has nothing to lose yet
            time.sleep(self.chance.uniform(0.1, longest))
            self.check_visible()
            if run.poll() is None:
                self.kills.append(other() or self.kill_one(run))
            elif run.returncode == 0 and self.is_over():
                break
        for run in runs:
            run.wait()
        while True:
            last = self.start()
            last.wait()
            if last.returncode == 0:
                break
        self.check_visible()

    def is_over(self) -> bool:
        """Tell whether every source has its output."""
        return self.expected.keys() <= outputs(self.out).keys()

    def kill_one(self, run: subprocess.Popen) -> str:
        """Kill a run, or one of its workers, and return which."""
        hands = self.hands(run)
        if not hands or self.chance.random() < 0.4:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            return "driver"
        try:
            self.chance.choice(hands).kill()
        except psutil.NoSuchProcess:
            return "worker that had just ended"
        return "worker"

    def hands(self, run: subprocess.Popen) -> list[psutil.Process]:
        """Return the workers' processes of a run."""
        try:
            return [child for child in psutil.Process(run.pid).children() if HAND in child.cmdline()]
        except psutil.Error:
            return []

    def check_visible(self) -> None:
        """Count outputs that can be seen and are not whole."""
        for name, content in outputs(self.out).items() if self.out.exists() else ():
            self.half += self.expected.get(name) != content

    def verdict(self) -> dict[str, Any]:
        """Return what came of it."""
        made = outputs(self.out)
        ledger = Ledger(Store(str(self.out)))
        ledger.refresh()
        known = ledger.newest()
        aside = {name: each.reason for name, each in known.items() if each.state(ledger.lives) == "quarantined"}
        segments = Counter(self.segments.read_text().splitlines() if self.segments.exists() else ())
        before = sorted((self.out / LEDGER).iterdir())
        again = self.start()
        again.wait()
        return {
            "items": self.items,
            "odd": len(self.odd),
            "kills": dict(Counter(self.kills)),
            "lost": len(self.expected.keys() - made.keys()),
            "double": len(made.keys() - self.expected.keys()),
            "half_written_visible": self.half,
            "records": len(list(self.out.glob("*.venhancer.json"))),
            "put_aside": len(aside),
            "put_aside_without_reason": sum(not reason for reason in aside.values()),
            "innocent_put_aside": len(aside.keys() - {f"{number:05d}.mp4" for number in self.odd}),
            "segments_repeated": sum(segments.values()) - len(segments),
            "second_run_noted": len(sorted((self.out / LEDGER).iterdir())) - len(before),
        }


def is_hand_of_an_actor(process: psutil.Process) -> bool:
    """Tell whether a process does the orders of a Ray actor."""
    with suppress(psutil.Error):
        parent = process.parent()
        return HAND in process.cmdline() and parent is not None and "ray::" in " ".join(parent.cmdline())
    return False


def is_clean(verdict: dict[str, Any]) -> bool:
    """Tell whether nothing was lost, double or half, and exactly the odd ones were put aside."""
    zero = ("lost", "double", "half_written_visible", "put_aside_without_reason", "innocent_put_aside")
    return (
        not any(verdict[name] for name in (*zero, "second_run_noted"))
        and verdict["put_aside"] == verdict["odd"]
        and verdict["records"] == verdict["items"] - verdict["odd"]
    )
