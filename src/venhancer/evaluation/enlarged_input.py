"""What an output is compared with where there is no truth: its input, enlarged, and moved along between its frames."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from venhancer.evaluation.degrade import resize
from venhancer.frames.motion import frames_between
from venhancer.plan import EnhancePlan

ReadFrames = Callable[[Sequence[int]], Iterable[Shaped[np.ndarray, "h w 3"]]]


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
            yield from map(_frame, frames_between(_tensor(picture), _tensor(after), times))
        picture = after


def _enlarge(frame: Shaped[np.ndarray, "h w 3"], plan: EnhancePlan) -> UInt8[np.ndarray, "h2 w2 3"]:
    levels = frame if frame.dtype == np.uint8 else np.rint(frame / 257).astype(np.uint8)
    return resize(levels[None], plan.height, plan.width, "bicubic")[0]


def _tensor(picture: UInt8[np.ndarray, "h w 3"]) -> Float[Tensor, "3 h w"]:
    return torch.from_numpy(picture.copy()).movedim(-1, 0).float() / 127.5 - 1


def _frame(picture: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).numpy()
