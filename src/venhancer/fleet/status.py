"""How a folder of outputs stands, read from its ledgers without disturbing anybody."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from venhancer.errors import InputError
from venhancer.fleet.job_folder import read_job
from venhancer.fleet.ledger import STATES, Ledger, State
from venhancer.fleet.stores import Store

RECENT = 600.0  # seconds over which the speed is measured


class Trouble(NamedTuple):
    """An item that failed or was put aside."""

    id: str
    state: State
    tries: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """How a folder of outputs stands.

    Args:
        counts: items in each state.
        troubles: what failed or was put aside.
        running: ids of the items that are worked on.
        runs: of those alive, the host and how many items are being worked on.
        frames: of all outputs that are done.
        busy: seconds that workers have taken for them.
        speed: frames a second that are finished at the moment, by all together; 0 if nothing was lately.
        left: seconds until all is done at this speed; None if it is not known.
    """

    counts: Mapping[State, int]
    troubles: tuple[Trouble, ...]
    running: tuple[str, ...]
    runs: tuple[tuple[str, int], ...]
    frames: int
    busy: float
    speed: float
    left: float | None

    @property
    def items(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        return {
            "counts": dict(self.counts),
            "troubles": [trouble._asdict() for trouble in self.troubles],
            "running": list(self.running),
            "runs": [{"host": host, "running": running} for host, running in self.runs],
            "frames": self.frames,
            "busy_seconds": round(self.busy, 1),
            "frames_per_second": round(self.speed, 2),
            "seconds_left": None if self.left is None else round(self.left),
        }


def read_status(out: Store) -> FleetStatus:
    """Return how a folder of outputs stands.

    Raises:
        InputError: no fleet has worked on it.
        StoreFailed: the store does not answer.
    """
    if read_job(out) is None:
        raise InputError(f"{out.describe() or out.address} contains no outputs of `venhancer fleet`; pass their folder")
    ledger = Ledger(out)
    ledger.refresh()
    return status_of(ledger)


def status_of(ledger: Ledger) -> FleetStatus:
    """Return how the items of a ledger stand."""
    living = {writer for writer in ledger.writers if ledger.lives(writer)}
    counts: Counter[State] = Counter(dict.fromkeys(STATES, 0))
    troubles, running, frames, busy = [], [], 0, 0.0
    ends: list[tuple[float, int]] = []
    at_work: Counter[str] = Counter()
    newest = ledger.newest()
    for standing in newest.values():
        state = standing.state(living.__contains__)
        counts[state] += 1
        if state in ("failed", "quarantined"):
            tries = len(standing.failures) or standing.tries()
            troubles.append(Trouble(standing.id, state, tries, standing.reason))
        elif state == "running":
            running.append(standing.id)
            at_work.update(writer for writer in standing.runs or () if writer in living)
        elif state == "done" and standing.facts:
            frames += standing.facts.get("frames") or 0
            busy += standing.facts.get("seconds") or 0.0
            ends.append((standing.time, standing.facts.get("frames") or 0))
    total = max((writer.about.get("items", 0) for writer in ledger.writers.values()), default=0)
    counts["waiting"] += max(0, total - len(newest))
    speed, pace = _speed(ends) if living else (0.0, 0.0)
    open_items = counts["waiting"] + counts["running"]
    hosts = tuple((ledger.writers[writer].about.get("host", writer), at_work[writer]) for writer in sorted(living))
    return FleetStatus(
        counts=counts,
        troubles=tuple(sorted(troubles)),
        running=tuple(sorted(running)),
        runs=hosts,
        frames=frames,
        busy=busy,
        speed=speed,
        left=open_items / pace if pace else None,
    )


def _speed(ends: list[tuple[float, int]]) -> tuple[float, float]:
    """Return frames and items a second over the last minutes."""
    now = time.time()
    recent = [(moment, frames) for moment, frames in ends if now - moment < RECENT]
    if not recent:
        return 0.0, 0.0
    span = max(now - min(moment for moment, _ in recent), 1.0)
    return sum(frames for _, frames in recent) / span, len(recent) / span
