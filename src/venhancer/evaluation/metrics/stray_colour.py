"""How much colour a result has where the truth is grey, as all of a black-and-white film is."""

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

GREY = 2
"""Most levels of 255 by which the channels of a grey pixel differ: what a codec may do to it."""


@metric(
    "colour where the truth is grey: difference between channels there",
    higher_is_better=False,
    unit="of 255",
)
def stray_colour(result: Frames, reference: Frames) -> float:
    """Return by how many levels channels differ in the mean where the truth is grey; 0 if it nowhere is."""
    is_grey = np.ptp(reference, axis=-1) <= GREY
    return float(np.ptp(result, axis=-1)[is_grey].mean()) if is_grey.any() else 0.0
