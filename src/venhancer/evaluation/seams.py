"""Whether one can see where a result was put together: between windows and segments in time, between tiles in space.

Pure functions over frames and places; `joins.py` finds those of a plan. A place is a number p, between p - 1 and p,
of frames, columns or rows. At every place something is measured that a seam would raise, of the result and of a
control: a clip of the same scene that has no seam there (the enlarged input, the truth, or the result of another
layout). How far the result lies above the control at the seams, over how far it does elsewhere, is the seam's ratio:
motion and edges of the picture itself are in both, so places chosen at random give 1, and so does a seam that nobody
can see.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from venhancer.evaluation.metrics.metric import luma
from venhancer.evaluation.metrics.motion import Motion, find_motion, warp
from venhancer.frames.levels import Frame

Levels = Float[np.ndarray, "h w 3"]

BESIDE = 64
"""Pixels on both sides of a tile's overlap that its columns or rows are compared with."""

FLOOR = 0.05
"""In levels of 255, added to both sides of every ratio: less than this is invisible."""

ALONG = 16
"""Pixels along a line that are averaged before they count: what runs along a line is a seam, texture does not."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One measure at every place, in levels of 255; NaN where there is none, as at place 0."""

    result: Float[np.ndarray, "n"]
    control: Float[np.ndarray, "n"]

    @property
    def excess(self) -> Float[np.ndarray, "n"]:
        """The logarithm of how many times the control's the result's is."""
        return np.log((self.result + FLOOR) / (self.control + FLOOR))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Everything measured of a result along its frames, columns and rows.

    Args:
        change: at each frame, how far it differs from the one before along the motion (warped error, absolute).
        gradient: at each frame, how far gradients of that difference differ from none: details that jump.
        across_columns: at each column, the luma difference to the column before, averaged along the line first.
        across_rows: at each row, likewise.
        change_by_column: at each column, `change` of the pixels of it and of the column before.
        change_by_row: at each row, likewise.
        colour: of each frame, mean L, a and b (CIE) less the control's.
    """

    change: Profile
    gradient: Profile
    across_columns: Profile
    across_rows: Profile
    change_by_column: Profile
    change_by_row: Profile
    colour: Float[np.ndarray, "f 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """How visible seams are.

    Args:
        ratio: 1 for no seam at all; 1.05 for 5 % more at the seams than elsewhere.
        error: standard error of its logarithm, from how much other places differ among themselves.
        places: how many places it was measured at.
    """

    ratio: float
    error: float
    places: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The ratio's 95 % range."""
        return self.ratio * float(np.exp(-1.96 * self.error)), self.ratio * float(np.exp(1.96 * self.error))


def fades(ranges: Sequence[range]) -> frozenset[int]:
    """Return the places where one of several overlapping ranges gives way to the next: all of the overlap.

    >>> sorted(fades([range(0, 8), range(5, 12), range(12, 20)]))
    [6, 7, 8, 12]
    """
    return frozenset(
        place
        for earlier, later in pairwise(ranges)
        for place in range(min(later.start + 1, earlier.stop), earlier.stop + 1)
    )


def measure_profiles(result: Iterable[Frame], control: Iterable[Frame]) -> Profiles:
    """Return the measures of a result and its control, holding two frames of each at a time.

    Args:
        result: RGB, of 8 or 16 bits.
        control: as many frames of the same size; motion is read from it.

    Raises:
        ValueError: the two differ in size or number, or there is only one frame.
        SettingsError: frames are smaller than 16 pixels a side.
    """
    columns, rows = ((_Lines(), _Lines()) for _ in range(2))  # of the result and of the control
    changes: list[list[float]] = []
    colours: list[np.ndarray] = []
    before: tuple[Levels, Levels] | None = None
    for frame, other in zip(result, control, strict=True):
        if frame.shape != other.shape:
            raise ValueError(f"a control of {other.shape} cannot be compared with a result of {frame.shape}")
        pictures = _levels(frame), _levels(other)
        colours.append(_mean_lab(pictures[0]) - _mean_lab(pictures[1]))
        motion = None if before is None else find_motion(_eight_bits(before[1]), _eight_bits(pictures[1]))
        row: list[float] = []
        for number, picture in enumerate(pictures):
            jump = None if before is None or motion is None else _jump(before[number], picture, motion)
            sizes = None if jump is None else np.abs(jump).mean(axis=-1)
            columns[number].add(luma(picture), sizes)
            rows[number].add(luma(picture).T, None if sizes is None else sizes.T)
            row += [np.nan, np.nan] if jump is None else [_mean(np.abs(jump)), _gradient(jump)]
        changes.append(row)
        before = pictures
    if len(changes) < 2:
        raise ValueError("measuring seams needs at least two frames")
    table = np.array(changes)
    return Profiles(
        change=Profile(table[:, 0], table[:, 2]),
        gradient=Profile(table[:, 1], table[:, 3]),
        across_columns=Profile(*(one.differences for one in columns)),
        across_rows=Profile(*(one.differences for one in rows)),
        change_by_column=Profile(*(one.changes for one in columns)),
        change_by_row=Profile(*(one.changes for one in rows)),
        colour=np.stack(colours),
    )


def measure_seam(
    profile: Profile,
    places: Collection[int],
    *,
    left_out: Collection[int] = (),
    alike: Sequence[int] | Int[np.ndarray, "n"] | None = None,
    reach: int | None = None,
) -> Seam:
    """Return how far a measure is raised at some places over others.

    Args:
        profile: the measure.
        places: where seams may be.
        left_out: places that count neither way, such as cuts and other seams.
        alike: a number for every place; those of a seam are compared with places of the same number only. Frames
            between key frames are made otherwise than key frames, and enlarged pixels differ by where they lie.
        reach: how far away a place may be to be compared with; any distance if None.

    Raises:
        ValueError: no place can be compared.
    """
    excess, numbers = profile.excess, np.arange(len(profile.result))
    usable = np.isfinite(excess) & ~np.isin(numbers, list(left_out))
    is_seam = usable & np.isin(numbers, list(places))
    elsewhere = usable & ~is_seam
    kinds = np.zeros(len(excess), int) if alike is None else np.asarray(alike)
    above = excess - _expected(excess, elsewhere, kinds, len(excess) if reach is None else reach)
    raised, usual = (above[places & np.isfinite(above)] for places in (is_seam, elsewhere))
    if not len(raised):
        raise ValueError("there is no seam to measure, or nothing to compare it with")
    spread = float(np.std(usual)) if len(usual) > 1 else np.nan
    return Seam(
        ratio=float(np.exp(raised.mean())),
        error=spread * float(np.sqrt(1 / len(raised) + 1 / max(len(usual), 1))),
        places=len(raised),
    )


def _expected(
    excess: Float[np.ndarray, "n"], elsewhere: Bool[np.ndarray, "n"], kinds: Int[np.ndarray, "n"], reach: int
) -> Float[np.ndarray, "n"]:
    """Return for every place the mean of the others elsewhere that are like it and within reach; NaN without any."""
    expected = np.full(len(excess), np.nan)
    for kind in np.unique(kinds):
        here = np.flatnonzero(kinds == kind)
        others = here[elsewhere[here]]
        sums = np.concatenate([[0.0], np.cumsum(excess[others])])
        first, stop = np.searchsorted(others, here - reach), np.searchsorted(others, here + reach, side="right")
        own = np.where(elsewhere[here], excess[here], 0.0)
        count = stop - first - elsewhere[here]
        expected[here] = (sums[stop] - sums[first] - own) / np.where(count > 0, count, np.nan)
    return expected


def drift_by_segment(profiles: Profiles, segments: Sequence[range]) -> Float[np.ndarray, "s 3"]:
    """Return each segment's mean L, a and b less the control's; neighbours' distance is the step between them."""
    return np.stack([profiles.colour[segment.start : segment.stop].mean(axis=0) for segment in segments])


def disagreement(earlier: Shaped[np.ndarray, "f h w 3"], later: Shaped[np.ndarray, "f h w 3"]) -> float:
    """Return the distance of two results of the same frames, in levels of 255: what a blend has to hide."""
    return float(np.mean([np.abs(_levels(a) - _levels(b)).mean() for a, b in zip(earlier, later, strict=True)]))


class _Lines:
    """Differences across columns and changes along the motion beside them, summed up frame by frame."""

    def __init__(self) -> None:
        self.frames = 0
        self.across: np.ndarray | float = 0.0
        self.jumps: np.ndarray | float = 0.0
        self.known: np.ndarray | float = 0.0

    def add(self, lumas: Float[np.ndarray, "n m"], jumps: Float[np.ndarray, "n m"] | None) -> None:
        """Take a frame in, and how far its pixels are from the frame before along the motion, NaN where not known."""
        steps = np.diff(lumas, axis=1)
        size = min(ALONG, len(steps))
        blocks = len(steps) // size
        runs = steps[: blocks * size].reshape(blocks, size, -1).mean(axis=1)
        self.frames += 1
        self.across = self.across + np.abs(runs).mean(axis=0)
        if jumps is not None:
            self.jumps = self.jumps + np.nansum(jumps, axis=0)
            self.known = self.known + np.isfinite(jumps).sum(axis=0)

    @property
    def differences(self) -> Float[np.ndarray, "n"]:
        """The mean difference across each line, NaN at the first."""
        return np.concatenate([[np.nan], np.asarray(self.across) / self.frames])

    @property
    def changes(self) -> Float[np.ndarray, "n"]:
        """The mean change on both sides of each line, NaN at the first."""
        jumps, known = np.asarray(self.jumps), np.asarray(self.known)
        pairs = known[1:] + known[:-1]
        means = np.divide(jumps[1:] + jumps[:-1], pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        return np.concatenate([[np.nan], means])


def _jump(before: Levels, after: Levels, motion: Motion) -> Levels:
    """Return how a frame differs from the one before it along the motion, NaN where that is not known."""
    difference = warp(after, motion.flow) - before.astype(np.float32)
    difference[~motion.is_known] = np.nan
    return difference


def _gradient(jump: Levels) -> float:
    """Return the mean absolute gradient of a difference, of luma, across and down."""
    lumas = luma(jump)
    return float(np.mean([_mean(np.abs(np.diff(lumas, axis=axis))) for axis in (0, 1)]))


def _mean(values: np.ndarray) -> float:
    """Return the mean of the known values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _levels(frame: Frame) -> Levels:
    """Return a frame of any depth in levels of 255."""
    return frame.astype(np.float32) * (255 / np.iinfo(frame.dtype).max)


def _eight_bits(levels: Levels) -> UInt8[np.ndarray, "h w 3"]:
    return np.rint(levels).astype(np.uint8)


def _mean_lab(levels: Levels) -> Float[np.ndarray, "c"]:
    return cv2.cvtColor(levels / 255, cv2.COLOR_RGB2LAB).mean(axis=(0, 1), dtype=np.float64)
