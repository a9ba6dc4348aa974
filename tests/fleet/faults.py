"""A campaign of faults against a fleet: runs are killed at random moments until there were enough, then let finish.

What is watched all the time: every output that can be seen is whole. What counts in the end: every source has its
output, poisoned ones are put aside with their reason, and another run does nothing.
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fleet.runs import make_sources, start_run
from venhancer.fleet.items import RECORD_SUFFIX
from venhancer.fleet.ledger import LEDGER, Ledger
from venhancer.fleet.stores import OWN, Store

Other = Callable[[subprocess.Popen], str | None]
"""Does something else than to kill a run or a worker of it, and returns what; None leaves it to that."""
ODD = ("crash", "broken", "hang", "broken", "broken", "broken")
HAND = "venhancer.fleet.hand"


@dataclass
class Campaign:
    """Runs over one folder, and who is killed.

    Args:
        folder: for sources and notes, and for outputs.
        items: how many sources; of every fifty one is odd.
        chance: for who is killed when.
        options: of the runs, see `run_copies`.
        drivers: runs at the same time.
        pace: seconds that a segment takes; a source has four.
        bucket: address in a store that holds sources and outputs instead.
        odd_words: what odd sources do, in turn.
    """

    folder: Path
    items: int
    chance: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    drivers: int = 1
    pace: float = 0.001
    bucket: str = ""
    odd_words: tuple[str, ...] = ODD
    kills: list[str] = field(default_factory=list)
    half: int = 0

    def __post_init__(self) -> None:
        place = self.bucket or str(self.folder)
        self.source, self.out = Store(f"{place}/in"), Store(f"{place}/out")
        made = self.folder / "in"
        make_sources(made, self.items)
        self.odd = {number: self.odd_words[number // 50 % len(self.odd_words)] for number in range(7, self.items, 50)}
        for number, word in self.odd.items():
            (made / f"{number:05d}.mp4").write_bytes(f"{word} {number} ".encode() * 50)
        self.segments = self.folder / "segments"
        self.expected = {path.name: path.read_bytes() for path in sorted(made.iterdir())}
        if self.bucket:
            for name, content in self.expected.items():
                self.source.replace(name, content)
        for number in self.odd:
            del self.expected[f"{number:05d}.mp4"]

    def start(self) -> subprocess.Popen:
        """Start a run in a process of its own."""
        noted = {"FLEET_SEGMENTS": str(self.segments), "FLEET_PACE": str(self.pace), "OMP_NUM_THREADS": "1"}
        return start_run(self.source.address, self.out.address, environment=noted, **self.options)

    def go(self, wanted: int, longest: float, other: Other = lambda _: None) -> None:
        """Kill so many times, each after up to so many seconds, and then let all be finished.

        Args:
            wanted: kills.
            longest: seconds from one to the next, at most.
            other: see there.
        """
        runs = [self.start() for _ in range(self.drivers)]
        while len(self.kills) < wanted:
            runs = [run if run.poll() is None else self.start() for run in runs]
            run = self.chance.choice(runs)
            while not self.hands(run) and run.poll() is None:
                time.sleep(0.05)  # a run that has only begun to start has nothing to lose yet
            time.sleep(self.chance.uniform(0.1, longest))
            self.check_visible()
            if run.poll() is None:
                self.kills.append(other(run) or self.kill_one(run))
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
        return self.expected.keys() <= self.visible().keys()

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
        """Return the workers' processes of a run; of one on Ray, all that there are in the cluster of this process."""
        try:
            if "ray_address" in self.options:
                return [each for each in psutil.Process().children(recursive=True) if is_hand_of_an_actor(each)]
            return [child for child in psutil.Process(run.pid).children() if HAND in child.cmdline()]
        except psutil.Error:
            return []

    def check_visible(self) -> None:
        """Count outputs that can be seen and are not whole."""
        for name, content in self.visible().items():
            self.half += self.expected.get(name) != content

    def visible(self) -> dict[str, bytes]:
        """Return all that a user sees in the folder of outputs, but for the records."""
        names = (name for name in self.out.files() if not name.startswith(OWN) and not name.endswith(RECORD_SUFFIX))
        return {name: self.out.read(name) for name in names}

    def verdict(self) -> dict[str, Any]:
        """Return what came of it."""
        made = self.visible()
        ledger = Ledger(self.out)
        ledger.refresh()
        known = ledger.newest()
        aside = {name: each.reason for name, each in known.items() if each.state(ledger.lives) == "quarantined"}
        segments = Counter(self.segments.read_text().splitlines() if self.segments.exists() else ())
        before = self.out.files(LEDGER)
        again = self.start()
        again.wait()
        return {
            "items": self.items,
            "odd": len(self.odd),
            "kills": dict(Counter(self.kills)),
            "lost": len(self.expected.keys() - made.keys()),
            "double": len(made.keys() - self.expected.keys()),
            "half_written_visible": self.half,
            "records": sum(name.endswith(RECORD_SUFFIX) for name in self.out.files()),
            "put_aside": len(aside),
            "put_aside_without_reason": sum(not reason for reason in aside.values()),
            "innocent_put_aside": len(aside.keys() - {f"{number:05d}.mp4" for number in self.odd}),
            "segments_repeated": sum(segments.values()) - len(segments),
            "second_run_noted": len(self.out.files(LEDGER)) - len(before),
        }


@dataclass
class Troubles:
    """What befalls disks and stores for a while, in which somebody is killed; an `Other` of a campaign.

    Args:
        campaign: whose runs and workers are killed.
        kinds: each by its name, as what lasts for the time of a block; they come in turn.
        longest: seconds that one lasts before and after the kill, at most.
    """

    campaign: Campaign
    kinds: Mapping[str, Callable[[], AbstractContextManager[object]]]
    longest: float

    def __call__(self, run: subprocess.Popen) -> str:
        chance = self.campaign.chance
        name = list(self.kinds)[len(self.campaign.kills) % len(self.kinds)]
        with self.kinds[name]():
            time.sleep(chance.uniform(0, self.longest))
            killed = self.campaign.kill_one(run) if run.poll() is None else "nobody, for the run had ended"
            time.sleep(chance.uniform(0, self.longest))
        return f"{name}: {killed}"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Yield a folder that is a disk of its own and holds so much.

    Raises:
        OSError: this user may not make one.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        raise OSError("no disk can be made")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Keep a disk full for the time of a block, whatever is removed from it meanwhile."""
    ended = threading.Event()
    ballast = disk / "ballast"

    def fill() -> None:
        with ballast.open("ab", buffering=0) as file:
            while not ended.wait(0.01):
                with suppress(OSError):
                    while file.write(bytes(4096)):
                        pass

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        ballast.unlink()


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
