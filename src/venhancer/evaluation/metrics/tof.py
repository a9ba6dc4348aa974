"""tOF (Chu et al. 2020, TecoGAN): how far the motion of a result is from the truth's."""

from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from venhancer.errors import SettingsError
from venhancer.evaluation.metrics.metric import metric
from venhancer.evaluation.metrics.motion import SMALLEST_FOR_MOTION
from venhancer.frames.levels import Frames

_MULTIPLE, _BORDER = 32, 16
"""Sides that flows are compared on: multiples of 32 that leave 16 pixels of border in all, as its program does."""


@metric("how far the motion is from the truth's, by Farneback's flow", higher_is_better=False, unit="px")
def tof(result: Frames, reference: Frames) -> float:
    """Return the distance of the two flows in pixels, the mean over pixels and pairs of frames; 0 for one frame.

    The flow and the border left out are those of the published program, which also leaves out two frames at either end.

    Raises:
        SettingsError: frames are smaller than 16 pixels a side.
    """
    if min(result.shape[1:3]) < SMALLEST_FOR_MOTION:
        raise SettingsError(f"motion cannot be measured on frames below {SMALLEST_FOR_MOTION} pixels a side")
    flows = [[_flow(*pair) for pair in pairwise(map(_grey, clip))] for clip in (result, reference)]
    errors = [np.linalg.norm(_inner(a - b), axis=-1).mean() for a, b in zip(*flows, strict=True)]
    return float(np.mean(errors)) if errors else 0.0


def _grey(frame: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def _flow(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    settings = {"pyr_scale": 0.5, "levels": 3, "winsize": 15, "iterations": 3, "poly_n": 5, "poly_sigma": 1.2}
    empty = np.zeros((*before.shape, 2), np.float32)
    return cv2.calcOpticalFlowFarneback(before, after, empty, **settings, flags=0)


def _inner(flow: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h2 w2 2"]:
    """Return the middle that is compared; all of a flow too small to have one."""
    spans = []
    for side in flow.shape[:2]:
        inner = (side - _BORDER) // _MULTIPLE * _MULTIPLE or side
        spans.append(slice((side - inner) // 2, (side - inner) // 2 + inner))
    return flow[spans[0], spans[1]]
