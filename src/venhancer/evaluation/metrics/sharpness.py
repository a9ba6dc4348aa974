"""How much detail there is, right or wrong."""

import numpy as np

from venhancer.evaluation.metrics.metric import luma, metric
from venhancer.frames.levels import Frames


@metric(
    "detail as a share of the truth's (of the enlarged input's without a truth), right or wrong",
    higher_is_better=True,
)
def sharpness(result: Frames, likeness: Frames) -> float:
    """Return the mean luma gradient as a share of another clip's; over 1 is sharper than that."""
    return _gradient(result) / max(_gradient(likeness), 1e-9)


def _gradient(clip: Frames) -> float:
    """Return the mean absolute difference of neighbouring luma pixels, across and down."""
    lumas = (luma(frame) for frame in clip)
    return float(np.mean([np.abs(np.diff(y, axis=axis)).mean() for y in lumas for axis in (0, 1)]))
