"""Low-quality inputs from good clips, for evaluation: exactly repeatable, unlike what training draws at random."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8

Kernel = Literal["area", "bicubic"]


def degrade(
    clip: UInt8[np.ndarray, "f h w 3"], *, scale: int, keep_every: int, kernel: Kernel = "bicubic"
) -> UInt8[np.ndarray, "k h2 w2 3"]:
    """Return every `keep_every`-th frame of a clip, `scale` times smaller.

    The last frame is kept too, so that every frame left out lies between two that are kept.

    Args:
        clip: the reference, RGB.
        scale: whole number both sides are divided by.
        keep_every: distance of the frames kept.
        kernel: "area" averages squares of pixels; "bicubic" is the cubic of a = -0.5 widened by `scale` against
            aliasing, the usual degradation of super-resolution benchmarks.

    Raises:
        ValueError: a side is no multiple of `scale`, or the number of frames is not one more than a multiple of
            `keep_every`.
    """
    frames, height, width, _ = clip.shape
    if height % scale or width % scale:
        raise ValueError(f"clip of {width}x{height} cannot be divided by {scale}; crop it first")
    if (frames - 1) % keep_every:
        raise ValueError(f"clip of {frames} frames must have a multiple of {keep_every} and one more; cut it first")
    kept = clip[::keep_every]
    if kernel == "area":
        squares = kept.reshape(len(kept), height // scale, scale, width // scale, scale, 3)
        return (squares.mean(axis=(2, 4)) + 0.5).astype(np.uint8)
    return resize(kept, height // scale, width // scale, "bicubic")


def resize(
    frames: UInt8[np.ndarray, "f h w 3"], height: int, width: int, kernel: Literal["bicubic", "lanczos"]
) -> UInt8[np.ndarray, "f h2 w2 3"]:
    """Return frames resized with Pillow, which widens its kernels against aliasing when shrinking.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("resizing needs Pillow: run pip install 'venhancer[evaluate]'") from error
    resampling = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}[kernel]
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), resampling)) for frame in frames])
