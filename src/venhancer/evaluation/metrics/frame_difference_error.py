"""How far the change from each frame to the next is off."""

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames


@metric("error of the change from frame to frame", higher_is_better=False, unit="levels")
def frame_difference_error(result: Frames, reference: Frames) -> float:
    """Return the mean absolute difference between the changes from frame to frame of both clips, in levels of 255.

    A clip of one frame has no changes: 0.
    """
    pairs = zip(result[:-1], result[1:], reference[:-1], reference[1:], strict=True)
    errors = [np.abs((b.astype(np.int16) - a) - (d.astype(np.int16) - c)).mean() for a, b, c, d in pairs]
    return float(np.mean(errors)) if errors else 0.0
