"""What an output is compared with where there is no truth: its input, enlarged, and moved along between its frames."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Shaped, UInt8

from venhancer.evaluation.degrade import resize
from venhancer.frames.levels import ReadFrames, to_levels, to_pixels
from venhancer.frames.motion import frames_between
from venhancer.plan import EnhancePlan


def enlarged_input(plan: EnhancePlan, read: ReadFrames) -> Iterator[UInt8[np.ndarray, "h2 w2 3"]]:
    """Yield as many frames as a plan makes: key frames enlarged, others moved along the flow; holds two.

    Args:
        plan: of the output.
        read: gives input frames by number.
    """
    keys = [number for number, is_key in enumerate(plan.is_key) if is_key]
    held_until = {shot.stop for shot in plan.shots}
    pictures = (_enlarge(frame, plan) for frame in read([plan.source[key] for key in keys]))
    picture = next(pictures)
    for key, following in pairwise([*keys, plan.frames]):
        yield picture
        after = next(pictures, picture)
        times = [(number - key) / (following - key) for number in range(key + 1, following)]
        if following in held_until:
            yield from [picture] * len(times)
        elif times:
            yield from map(to_levels, frames_between(to_pixels(picture), to_pixels(after), times))
        picture = after


def _enlarge(frame: Shaped[np.ndarray, "h w 3"], plan: EnhancePlan) -> UInt8[np.ndarray, "h2 w2 3"]:
    levels = frame if frame.dtype == np.uint8 else np.rint(frame / 257).astype(np.uint8)
    return resize(levels[None], plan.height, plan.width, "bicubic")[0]
