"""Visibility of a grid of square patches in a result, which metrics that forgive small shifts miss."""

import numpy as np

from venhancer.evaluation.metrics.metric import luma, metric
from venhancer.frames.levels import Frames

PERIOD = 4
"""Side of a patch, in pixels, counted from the left and upper border."""


@metric(
    "brightness steps across every fourth column or row over those across the others (1 is no grid)",
    higher_is_better=False,
)
def patch_grid(result: Frames, factor: int) -> float:
    """Return the luma step across borders of patches over that inside them, on key frames; the greater of both ways."""
    across = luma(result[::factor])
    return max(_unevenness(across), _unevenness(across.swapaxes(1, 2)))


def _unevenness(pictures: np.ndarray) -> float:
    steps = np.abs(np.diff(pictures, axis=2)).mean(axis=(0, 1))
    is_border = np.arange(1, len(steps) + 1) % PERIOD == 0
    return float(steps[is_border].mean() / max(steps[~is_border].mean(), 1e-9))
