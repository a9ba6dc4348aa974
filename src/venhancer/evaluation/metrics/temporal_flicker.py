"""How much pixels waver around the way they change: what eyes call flicker and boiling."""

import numpy as np

from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.motion import find_motion, warp
from venhancer.frames.levels import Frames


@metric(
    "distance of frames from the mean of their neighbours along the motion; blur lowers it",
    higher_is_better=False,
    unit="levels",
)
def temporal_flicker(result: Frames, guide: Frames | None = None) -> float:
    """Return the mean second difference along the motion, in levels of 255.

    Both neighbours of a frame are warped onto it; the measure is the distance of the frame from their mean. Movement
    and a steady change of brightness leave no trace; what comes and goes within three frames does. The mean is over
    channels and the pixels whose motion is known both ways, then over frames. A clip of fewer than three frames: 0.

    Motion is read from the guide, or from the result itself if there is none.

    Raises:
        SettingsError: frames are smaller than 16 pixels a side.
    """
    guide = result if guide is None else guide
    distances = []
    for number in range(1, len(result) - 1):
        before, after = (find_motion(guide[number], guide[number + step]) for step in (-1, 1))
        is_known = before.is_known & after.is_known
        if is_known.any():
            around = (warp(result[number - 1], before.flow) + warp(result[number + 1], after.flow)) / 2
            distances.append(np.abs(result[number] - around)[is_known].mean())
    return float(np.mean(distances)) if distances else 0.0
