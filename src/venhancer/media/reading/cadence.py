"""Frames that repeat the one before: held drawings, film in a faster video, frames that a recorder dropped and filled.

Told from the changes of small luma pictures that the search for cuts measures anyway. A frame repeats the one before if
it changes far less than those around it do, in a pattern; or without one, if the frame after it makes up for that. A
scene that stands still, or a hold of more than `MOST_HELD` frames, is meant so and left alone. Pure functions.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, pairwise
from statistics import median
from typing import Any

MOVING = 1.0  # mean levels of 255 by which the frames around must change
STILL_SHARE = 0.2  # of their change, below which a frame repeats the one before: compression changes it so far
JUMP_SHARE = 1.2  # of it, above which the frame after a lost one changes
AROUND = 6  # frames looked at on both sides
MOST_HELD = 3  # repeats in a row; more are a hold
PERIODS = (2, 3, 4, 5)
AGREEING = 0.9  # share of all stretches of a period that hold as many repeats
FEWEST = 3  # repeats that are worth a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """What repeats in a clip.

    Args:
        repeats: numbers of the frames that repeat the one before.
        period: of so many frames each, as many repeat; None if they come without a rule.
    """

    repeats: tuple[int, ...] = ()
    period: int | None = None

    def describe(self, frames: int) -> str:
        """Return in words what repeats, of so many frames."""
        count = f"{len(self.repeats)} of {frames} frames repeat the one before"
        return f"{count}, in a pattern of {self.period}" if self.period else f"{count}, without a pattern"

    def times(self, inputs: range) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
        """Return the frames of a range that are kept, and when each belongs, counted in frames from the first.

        In a pattern, repeats fill film of another rate: what is kept is spread evenly, on average neither early nor
        late, from the first hold to the last, or to where the range begins or ends within a period. Without one, a
        repeat stands where a frame was lost, and the others are right.
        """
        repeats = [number for number in self.repeats if number in inputs and number != inputs.start]
        left_out = set(repeats)
        kept = tuple(number for number in inputs if number not in left_out)
        times = [Fraction(number - inputs.start) for number in kept]
        period = self.period or 0
        for first, last in _runs(repeats, kept, period):
            step = (times[last] - times[first]) / (last - first)
            shifts = (times[place] - step * place for place in range(first, last))
            offset = sum(shifts, Fraction(0)) / (last - first)
            start = 0 if first < period else first
            stop = len(kept) if last + period >= len(kept) else last + 1
            times[start:stop] = [offset + step * place for place in range(start, stop)]
        times[0] = Fraction(0)  # when the output begins
        return kept, tuple(times)


def read_cadence(told: Mapping[str, Any]) -> Cadence:
    """Return what JSON tells of a cadence.

    Raises:
        KeyError: a field is missing.
        TypeError: it is no such value; likewise ValueError.
    """
    period = told["period"]
    return Cadence(repeats=tuple(map(int, told["repeats"])), period=None if period is None else int(period))


def _runs(repeats: Sequence[int], kept: Sequence[int], period: int) -> list[tuple[int, int]]:
    """Return the places in `kept` of the first and last frame held in each stretch that a pattern goes through."""
    breaks = [place for place in range(1, len(repeats)) if repeats[place] - repeats[place - 1] > period]
    runs = []
    for start, stop in pairwise([0, *breaks, len(repeats)]):
        if start < stop:
            first, last = (bisect_right(kept, repeats[place]) - 1 for place in (start, stop - 1))
            runs += [(first, last)] if last > first else []
    return runs


def find_cadence(changes: Sequence[float], first: int = 0) -> Cadence:
    """Return what repeats in a clip.

    Args:
        changes: of each frame from the one before, in mean levels of 255; the first is not looked at.
        first: number of the first frame.
    """
    motions = [_motion(changes, place) for place in range(len(changes))]
    is_quiet = [
        place > 0 and change < (MOVING if motion is None else STILL_SHARE * motion)
        for place, (change, motion) in enumerate(zip(changes, motions, strict=True))
    ]
    runs: list[list[int]] = []
    for quiet, group in groupby(range(len(changes)), key=is_quiet.__getitem__):
        run = list(group)
        if quiet and len(run) <= MOST_HELD and all(motions[place] is not None for place in run):
            runs.append(run)
    period = _period([place for run in runs for place in run], motions)
    if period is None:
        runs = [run for run in runs if _jumps_after(run, changes, motions)]
    repeats = tuple(first + place for run in runs for place in run)
    return Cadence(repeats=repeats, period=period) if len(repeats) >= FEWEST else Cadence()


def _jumps_after(run: Sequence[int], changes: Sequence[float], motions: Sequence[float | None]) -> bool:
    """Tell whether the frame after some quiet ones makes up for them, as it does where frames were lost."""
    after, motion = run[-1] + 1, motions[run[0]]
    return motion is not None and after < len(changes) and changes[after] > JUMP_SHARE * motion


def _motion(changes: Sequence[float], place: int) -> float | None:
    """Return how much frames around one change; None if too few of them do."""
    around = [*changes[max(1, place - AROUND) : place], *changes[place + 1 : place + 1 + AROUND]]
    moving = [change for change in around if change >= MOVING]
    return median(moving) if len(moving) >= 2 else None


def _period(places: Sequence[int], moving: Sequence[float | None]) -> int | None:
    """Return the shortest pattern that nearly all stretches of moving frames keep to."""
    is_repeat = set(places)
    for period in PERIODS:
        stretches = [
            range(start, start + period)
            for start in range(1, len(moving) - period + 1)
            if all(moving[place] is not None for place in range(start, start + period))
        ]
        counts = Counter(sum(place in is_repeat for place in stretch) for stretch in stretches)
        (repeats, times), *_ = counts.most_common(1) or [(0, 0)]
        if 0 < repeats < period and times >= AGREEING * len(stretches):
            return period
    return None
