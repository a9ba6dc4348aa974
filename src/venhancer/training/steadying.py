"""Targets that waver less than their clip: what a model learns to give when it is told not to trust its input."""

import torch
from jaxtyping import Float
from torch import Tensor

from venhancer.motion import SMALLEST_SIDE, estimate_flows, warp

ASTRAY = 0.5
"""How far the two flows may disagree, in pixels, before a neighbour's weight has fallen to 1/e."""

UNLIKE = 0.15
"""How far a neighbour may lie from a frame, in [-1, 1], before its weight has fallen to 1/e."""


def steady(frames: Float[Tensor, "f 3 h w"], strength: float) -> Float[Tensor, "f 3 h w"]:
    """Return frames in [0, 1] averaged with their neighbours along the motion, where those agree.

    Args:
        frames: of one shot; frames too small for a flow come back as they are.
        strength: 0 does nothing; at 1 a neighbour that agrees weighs as much as the frame.
    """
    if len(frames) < 2 or not strength or min(frames.shape[-2:]) < SMALLEST_SIDE:
        return frames
    pictures = frames[:, None] * 2 - 1
    total, weights = pictures.clone(), torch.ones_like(pictures[:, :, :1])
    for first in range(len(frames) - 1):
        there, back = estimate_flows(pictures[first], pictures[first + 1])
        for number, other, flow, returning in ((first, first + 1, there, back), (first + 1, first, back, there)):
            moved = warp(pictures[other], flow)
            astray = (flow + warp(returning, flow)).norm(dim=1, keepdim=True)
            unlike = (moved - pictures[number]).abs().mean(dim=1, keepdim=True)
            weight = strength * torch.exp(-astray / ASTRAY - unlike / UNLIKE)
            total[number] += weight * moved
            weights[number] += weight
    return ((total / weights)[:, 0] + 1) / 2
