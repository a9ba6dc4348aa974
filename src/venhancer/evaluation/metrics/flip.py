"""FLIP (Andersson et al. 2020): how different two pictures look when one flips between them on a screen."""

from importlib import import_module
from typing import Any

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames


@metric(
    "difference seen when one flips between two pictures (FLIP), at its usual distance",
    higher_is_better=False,
    packages=("flip_evaluator",),
)
def flip(result: Frames, reference: Frames) -> float:
    """Return the mean FLIP error over pixels and frames, 0 to 1, at 67 pixels a degree."""
    package: Any = import_module("flip_evaluator")  # pip install flip-evaluator
    return float(np.mean([_of_frame(package, *pair) for pair in zip(reference, result, strict=True)]))


def _of_frame(package: Any, reference: np.ndarray, result: np.ndarray) -> float:  # noqa: ANN401 - a module
    pictures = (np.ascontiguousarray(frame, dtype=np.float32) / 255 for frame in (reference, result))
    return float(package.evaluate(*pictures, "LDR", applyMagma=False)[1])
