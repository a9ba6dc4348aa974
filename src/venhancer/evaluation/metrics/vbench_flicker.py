"""Temporal flickering as VBench defines it (Huang et al. 2024): how little frames change at all."""

from itertools import pairwise

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames


@metric(
    "VBench's temporal flickering: how little frames change; made for still scenes, it rewards frozen ones",
    higher_is_better=True,
)
def vbench_flicker(result: Frames) -> float:
    """Return one less the mean absolute change from frame to frame as a share of full scale; 1 for a still clip."""
    changes = [np.abs(after.astype(np.int16) - frame).mean() for frame, after in pairwise(result)]
    return 1 - float(np.mean(changes)) / 255 if changes else 1.0
