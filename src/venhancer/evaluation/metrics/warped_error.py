"""How much a clip changes along its motion (Lai et al. 2018): what moves should look the same one frame later."""

from itertools import pairwise

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.motion import find_motion, warp
from venhancer.frames.levels import Frames


@metric(
    "change along the motion; the truth has some too, and frozen or blurred clips can have less",
    higher_is_better=False,
    unit="1/1000",
)
def warped_error(result: Frames, guide: Frames | None = None) -> float:
    """Return the squared difference between each frame and the next one warped onto it, in thousandths of full scale.

    Pixels are in [0, 1]; the mean is over channels and the pixels whose motion is known, then over frames.

    Motion is read from the guide, usually the truth, or from the result itself, whose faults then excuse themselves in
    part.

    Raises:
        SettingsError: frames are smaller than 16 pixels a side.
    """
    errors = []
    pairs = zip(pairwise(result), pairwise(result if guide is None else guide), strict=True)
    for (frame, after), (guide_frame, guide_after) in pairs:
        motion = find_motion(guide_frame, guide_after)
        if motion.is_known.any():
            difference = (warp(after, motion.flow) - frame)[motion.is_known] / 255
            errors.append(np.mean(difference**2))
    return float(np.mean(errors)) * 1000 if errors else 0.0
