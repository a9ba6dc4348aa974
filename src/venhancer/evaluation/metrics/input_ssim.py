"""How faithful a result is to what it was made from, where the truth is not known."""

import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.degrade import resize
from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.ssim import ssim
from venhancer.frames.levels import Frames


@metric("structural similarity of the key frames to the input, at its size", higher_is_better=True)
def input_ssim(result: Frames, source: UInt8[np.ndarray, "k h2 w2 3"], factor: int) -> float:
    """Return the structural similarity of the result's key frames, made as small as the source again, to the source."""
    _, height, width, _ = source.shape
    return ssim(resize(result[::factor], height, width, "bicubic"), source)
