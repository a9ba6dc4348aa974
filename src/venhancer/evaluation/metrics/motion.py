"""Where pixels go between two frames, and where that can be known: dense flow by OpenCV's DIS (Kroeger et al. 2016)."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from venhancer.errors import SettingsError
from venhancer.frames.motion import dense_flows

SMALLEST_FOR_MOTION = 16
"""Frames smaller than this are too small for the coarsest patches of DIS."""

# Occlusion and motion boundaries as in Sundaram, Brox and Keutzer 2010, as Lai et al. 2018 use them.
_CONSISTENCY, _CONSISTENCY_FLOOR = 0.01, 0.5
_BOUNDARY, _BOUNDARY_FLOOR = 0.01, 0.002


@dataclass(frozen=True, slots=True)
class Motion:
    """The way from a frame's pixels to where they are in another frame.

    Args:
        flow: displacement in pixels, across and down.
        is_known: False where a pixel is hidden in the other frame, leaves it, or lies at the edge of something moving.
    """

    flow: Float[np.ndarray, "h w 2"]
    is_known: Bool[np.ndarray, "h w"]


def find_motion(frame: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> Motion:
    """Return where the pixels of a frame are in the other.

    Raises:
        SettingsError: frames are too small.
    """
    if min(frame.shape[:2]) < SMALLEST_FOR_MOTION:
        size = f"{frame.shape[1]}x{frame.shape[0]}"
        raise SettingsError(
            f"motion cannot be measured on frames of {size}; use at least {SMALLEST_FOR_MOTION}x{SMALLEST_FOR_MOTION}"
        )
    there, back = dense_flows(frame, other)
    return Motion(there, _is_consistent(there, warp(back, there)) & _is_inside(there) & ~_is_boundary(there))


def warp(
    picture: UInt8[np.ndarray, "h w *c"] | Float[np.ndarray, "h w *c"], flow: Float[np.ndarray, "h w 2"]
) -> Float[np.ndarray, "h w *c"]:
    """Return what a flow points to, read from a picture bilinearly; edges go on outwards."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    across, down = columns + flow[..., 0], rows + flow[..., 1]
    return cv2.remap(picture.astype(np.float32), across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _is_consistent(there: np.ndarray, back: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Tell where going there and back leads home."""
    lengths = (there**2).sum(axis=-1) + (back**2).sum(axis=-1)
    return ((there + back) ** 2).sum(axis=-1) <= _CONSISTENCY * lengths + _CONSISTENCY_FLOOR


def _is_inside(flow: np.ndarray) -> Bool[np.ndarray, "h w"]:
    height, width = flow.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    across, down = columns + flow[..., 0], rows + flow[..., 1]
    return (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)


def _is_boundary(flow: np.ndarray) -> Bool[np.ndarray, "h w"]:
    """Tell where motion changes within a pixel more than it should within one thing."""
    down, across = np.gradient(flow, axis=(0, 1))
    change = (down**2).sum(axis=-1) + (across**2).sum(axis=-1)
    return change > _BOUNDARY * (flow**2).sum(axis=-1) + _BOUNDARY_FLOOR
