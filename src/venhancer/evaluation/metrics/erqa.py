"""ERQA (Lyapustin et al. 2022): how well edges are restored, made for super-resolution of video."""

from importlib import import_module
from typing import Any

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames


@metric("how well edges are restored (ERQA 1.1)", higher_is_better=True, packages=("erqa",))
def erqa(result: Frames, reference: Frames) -> float:
    """Return the F1 of edges that are where the truth's are, the mean over frames; shifts are undone."""
    package: Any = import_module("erqa")  # pip install --no-deps erqa
    judge = package.ERQA(version="1.1")
    pairs = ((a[..., ::-1], b[..., ::-1]) for a, b in zip(result, reference, strict=True))
    return float(np.mean([judge(np.ascontiguousarray(a), np.ascontiguousarray(b)) for a, b in pairs]))
