"""Scores at the best shift: how good a result is if it may lie a few pixels beside the truth.

Networks and resizing programs place their pixels differently; half the distance between two of them can be a shift that
nobody sees. The plain score stays beside this one.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.metrics.metric import Metric, luma
from venhancer.frames.levels import Frames

SHIFTED = "_shifted"
MOST = 3
"""Pixels of shift tried in each direction."""

LOOKS = 8
"""Frames that the shift is read from, evenly over the clip."""


def at_best_shift(metric: Metric) -> Metric:
    """Return a metric on what result and truth share at the shift of least squared error, one a clip.

    Raises:
        ValueError: the metric does not compare with the truth.
    """
    if not metric.needs_reference:
        raise ValueError(f"{metric.name} does not compare with the truth")
    places = [metric.takes.index(name) for name in ("result", "reference")]

    def measure(*subject: object) -> float:
        values = list(subject)
        result, reference = aligned(*(values[place] for place in places))  # pyright: ignore[reportArgumentType]
        for place, frames in zip(places, (result, reference), strict=True):
            values[place] = frames
        return metric.measure(*values)

    return replace(
        metric,
        name=f"{metric.name}{SHIFTED}",
        measure=measure,
        what=f"{metric.what}; at the best shift within {MOST} pixels",
        weights_of=metric.weights_key,
    )


def aligned(result: Frames, reference: Frames) -> tuple[UInt8[np.ndarray, "f h2 w2 3"], UInt8[np.ndarray, "f h2 w2 3"]]:
    """Return what result and truth share when the result is moved by its best shift."""
    down, across = best_shift(result, reference)
    return _cut(result, down, across), _cut(reference, -down, -across)


def best_shift(result: Frames, reference: Frames) -> tuple[int, int]:
    """Return how many pixels down and across the result lies off the truth: of all within 3, the least squared error.

    Equal errors are settled for the smaller shift. Clips with a side of 4 times that or less are not moved.
    """
    if min(result.shape[1:3]) <= 4 * MOST:
        return 0, 0
    looks = np.unique(np.linspace(0, len(result) - 1, LOOKS).round().astype(int))
    one, other = (luma(frames[looks]).astype(np.float32) for frames in (result, reference))
    shifts = [(down, across) for down in range(-MOST, MOST + 1) for across in range(-MOST, MOST + 1)]
    shifts.sort(key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift))
    height, width = one.shape[1:]
    middle = other[:, MOST : height - MOST, MOST : width - MOST]

    def error(shift: tuple[int, int]) -> float:
        top, left = MOST + shift[0], MOST + shift[1]
        moved = one[:, top : top + middle.shape[1], left : left + middle.shape[2]]
        return float(np.mean((moved - middle) ** 2))

    return min(shifts, key=error)


def _cut(frames: Frames, down: int, across: int) -> UInt8[np.ndarray, "f h2 w2 3"]:
    _, height, width, _ = frames.shape
    return frames[:, max(down, 0) : height + min(down, 0), max(across, 0) : width + min(across, 0)]
