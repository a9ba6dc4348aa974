"""How faithful a result is to what it was made from, where the truth is not known."""

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.metrics.metric import Clip, Metric
from venhancer.evaluation.metrics.ssim import ssim


def input_ssim(result: Clip, source: UInt8[np.ndarray, "k h2 w2 3"], factor: int) -> float:
    """Return the structural similarity of the result's key frames, made as small as the source again, to the source.

    Raises:
        ModuleNotFoundError: the sizes differ and Pillow is not installed.
    """
    from venhancer.evaluation.degrade import resize

    _, height, width, _ = source.shape
    key_frames = result[::factor]
    is_large = key_frames.shape[1:3] != (height, width)
    return ssim(resize(key_frames, height, width, "bicubic") if is_large else key_frames, source)


METRIC = Metric(
    name="input_ssim",
    measure=input_ssim,
    takes=("result", "source", "factor"),
    what="how alike structures of the key frames are to the input's, at its size",
    higher_is_better=True,
)
