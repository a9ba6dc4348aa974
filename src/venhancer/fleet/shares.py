"""A long film divided at its cuts, so that several workers make it: nothing crosses a cut, so the result is the same.

Whoever plans it notes the division in the folder of outputs; each worker brings the segments of its share there; and
whoever finds all shares in place puts them together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from venhancer.fleet.items import Order
from venhancer.fleet.records import Made
from venhancer.fleet.stores import OWN, Store
from venhancer.plan import EnhancePlan

SHARES = f"{OWN}/shares"
DIVISION = "division.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How a film is divided.

    Args:
        cuts: input frames that begin a shot, without the first.
        cadence: what of the input repeats, as values of JSON.
        memory: bytes that it was planned for.
        segments: output frames of each segment, as [first, stop]; all workers must come to the same.
        shares: numbers of the segments of each share, as [first, stop].
    """

    cuts: Sequence[int]
    cadence: Mapping[str, Any]
    memory: int | None
    segments: Sequence[Sequence[int]]
    shares: Sequence[Sequence[int]]

    def to_json(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the division that these values are of."""
        return cls(**{part.name: values[part.name] for part in fields(cls)})

    def matches(self, plan: EnhancePlan) -> bool:
        """Tell whether a plan has the same segments."""
        return [list(pair) for pair in self.segments] == _spans(plan)


def divide(plan: EnhancePlan, frames: int) -> Division | None:
    """Return how a plan's film is divided at cuts into shares of about so many output frames; None if it is not.

    A plan is not divided if it has one shot only, or is not much longer than one share.
    """
    count = min(len(plan.shots), round(plan.frames / frames))
    if count < 2:
        return None
    ends = [number + 1 for number, segment in enumerate(plan.segments) if segment.ends_shot]
    firsts, shares = 0, []
    for share in range(1, count + 1):
        wanted = plan.frames * share / count
        ends_at = min(ends, key=lambda end: abs(plan.segments[end - 1].frames.stop - wanted))
        if ends_at > firsts:
            shares.append([firsts, ends_at])
            firsts = ends_at
    if len(shares) < 2:
        return None
    return Division(
        cuts=list(plan.cuts),
        cadence=asdict(plan.cadence),
        memory=plan.machine.memory,
        segments=_spans(plan),
        shares=shares,
    )


def note_division(out: Store, key: str, division: Division) -> None:
    """Note the division of an item in the folder of outputs."""
    out.write(f"{SHARES}/{key}/{DIVISION}", json.dumps(division.to_json()).encode())


def find_division(out: Store, key: str) -> Division | None:
    """Return the division that was noted of an item; None if there is none."""
    try:
        return Division.from_json(json.loads(out.read(f"{SHARES}/{key}/{DIVISION}")))
    except FileNotFoundError:
        return None


def bring_share(out: Store, order: Order, files: Sequence[Path], made: Made) -> None:
    """Bring the segments of a share to the folder of outputs, and then note that they are there."""
    share = share_of(order)
    own = f"{SHARES}/{share['key']}/{share['number']}"
    names = [f"{own}-{number:05d}{file.suffix}" for number, file in enumerate(files)]
    for name, file in zip(names, files, strict=True):
        out.put(file, name, keep=True)
    note = {"files": names, "frames": made.frames, "seconds": made.seconds, "facts": dict(made.facts)}
    content = json.dumps({**note, "notes": list(made.notes)})
    out.write(_note(share["key"], share["number"]), content.encode())


def has_share(out: Store, order: Order) -> bool:
    """Tell whether the share of an order is in place."""
    share = share_of(order)
    return out.find(_note(share["key"], share["number"])) is not None


def find_all(out: Store, order: Order) -> list[dict[str, Any]] | None:
    """Return what was noted of all shares of an order's film; None if one is missing."""
    share, notes = share_of(order), []
    for number in range(len(share["shares"])):
        try:
            notes.append(json.loads(out.read(_note(share["key"], number))))
        except FileNotFoundError:
            return None
    return notes


def share_of(order: Order) -> Mapping[str, Any]:
    """Return what an order says of its share."""
    assert order.share is not None
    return order.share


def made_of(notes: Sequence[Mapping[str, Any]]) -> Made:
    """Return what is told of a film that was made in shares."""
    names = ("frames", "seconds")
    own = [{name: note[name] for name in names} | {"host": note["facts"].get("host")} for note in notes]
    return Made(
        frames=sum(note["frames"] for note in notes),
        seconds=round(sum(note["seconds"] or 0.0 for note in notes), 3),
        facts={**notes[-1]["facts"], "shares": own},
        notes=tuple(line for note in notes for line in note["notes"]),
    )


def _note(key: str, number: int) -> str:
    return f"{SHARES}/{key}/{number}.json"


def _spans(plan: EnhancePlan) -> list[list[int]]:
    return [[segment.frames.start, segment.frames.stop] for segment in plan.segments]
