"""How faithful a result is to what it was made from, where the truth is not known."""

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.degrade import resize
from venhancer.evaluation.metrics.metric import Clip, Metric
from venhancer.evaluation.metrics.ssim import ssim


def input_ssim(result: Clip, source: UInt8[np.ndarray, "k h2 w2 3"], factor: int) -> float:
    """Return the structural similarity of the result's key frames, made as small as the source again, to the source."""
    _, height, width, _ = source.shape
    return ssim(resize(result[::factor], height, width, "bicubic"), source)


METRIC = Metric(
    name="input_ssim",
    measure=input_ssim,
    takes=("result", "source", "factor"),
    what="how alike structures of the key frames are to the input's, at its size",
    higher_is_better=True,
)
