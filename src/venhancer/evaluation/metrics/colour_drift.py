"""How far colours are from those of what a result was made from."""

import cv2
import numpy as np
from jaxtyping import UInt8

from venhancer.evaluation.metrics.metric import metric
from venhancer.frames.levels import Frames

BLOCK = 8
"""Pixels of the input, on each side, whose mean colour is compared: detail is none of this metric's business."""


@metric("local colour distance from the input, in CIE L*a*b* (1 is barely visible)", higher_is_better=False)
def colour_drift(result: Frames, source: UInt8[np.ndarray, "k h2 w2 3"], factor: int) -> float:
    """Return the mean distance in CIE L*a*b* between places of the result's key frames and of the source."""
    _, height, width, _ = source.shape
    size = (max(1, width // BLOCK), max(1, height // BLOCK))
    pairs = zip(result[::factor], source, strict=True)
    return float(np.mean([np.linalg.norm(_lab(a, size) - _lab(b, size), axis=-1).mean() for a, b in pairs]))


def _lab(frame: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> np.ndarray:
    small = cv2.resize(frame.astype(np.float32) / 255, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2Lab)
