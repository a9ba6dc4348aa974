"""Luma, which several metrics look at."""

import numpy as np
from jaxtyping import Float, UInt8


def luma(frame: UInt8[np.ndarray, "*f h w 3"] | Float[np.ndarray, "*f h w 3"]) -> Float[np.ndarray, "*f h w"]:
    """Return BT.601 luma, 0 to 255."""
    return frame @ np.array([0.299, 0.587, 0.114])
