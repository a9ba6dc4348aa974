"""Frames as files have them, in whole levels, to pictures as networks have them, and back."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

Frame: TypeAlias = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]
Frames: TypeAlias = UInt8[np.ndarray, "f h w 3"]

MOST_DECIBELS = 100.0
"""PSNR of a frame without any error, so that means stay finite."""

ReadFrames: TypeAlias = Callable[[Sequence[int]], Iterable[Frame]]
"""Return the input frames of these numbers, which ascend."""


def to_pixels(frames: Frame | Frames, device: torch.device | None = None) -> Float[Tensor, "3 *f h w"]:
    """Return a frame, or several, of any depth in [-1, 1]."""
    levels = torch.from_numpy(frames.astype(np.float32)).to(device)
    return levels.movedim(-1, 0) / (np.iinfo(frames.dtype).max / 2) - 1


def to_levels(
    picture: Float[Tensor, "3 h w"], depth: int = 8, whole: Callable[[Tensor], Tensor] = torch.round
) -> Frame:
    """Return a picture in [-1, 1] as whole levels: uint8 up to 8 bits, else uint16 with white at 65535.

    Args:
        picture: values outside are clipped.
        depth: bits.
        whole: makes numbers whole.
    """
    white, dtype = (255, torch.uint8) if depth <= 8 else (65535, torch.int32)
    levels = whole((picture.float().clamp(-1, 1) + 1) * (white / 2))
    levels = levels.to(dtype).movedim(0, -1).cpu().numpy()
    return levels if depth <= 8 else levels.astype(np.uint16)


def psnr(result: Frames, reference: Frames) -> float:
    """Return the peak signal-to-noise ratio over RGB in dB, the mean over frames."""
    errors = np.array([np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(result, reference, strict=True)])
    decibels = 10 * np.log10(255**2 / np.maximum(errors, 1e-12))
    return float(np.minimum(decibels, MOST_DECIBELS).mean())
