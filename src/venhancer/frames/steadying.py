"""Frames that waver less: each averaged with its neighbours along the motion, where those agree.

What flickers comes and goes from frame to frame, while what the picture shows moves on; a mean along the optical flow
keeps the one and loses the other. Models that start from their input need it: what a start holds, they keep.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from venhancer.frames.motion import SMALLEST_FOR_FLOW, estimate_flows, warp

ASTRAY = 0.5
"""How far the two flows may disagree, in pixels, before a neighbour's weight has fallen to 1/e."""

UNLIKE = 0.15
"""How far a neighbour may lie from a frame, in [-1, 1], before its weight has fallen to 1/e."""


@dataclass(slots=True)
class _Mean:
    """A frame, and the sum of it and of its neighbours so far."""

    frame: Float[Tensor, "1 3 h w"]
    total: Tensor
    weights: Tensor
    is_fixed: bool

    def add(self, neighbour: Tensor, there: Tensor, back: Tensor, strength: float) -> None:
        """Add a neighbour that a flow leads to, and that another flow should lead back from; none to a fixed frame."""
        if self.is_fixed:
            return
        aligned = warp(neighbour, there)
        astray = (there + warp(back, there)).norm(dim=1, keepdim=True)
        unlike = (aligned - self.frame).abs().mean(dim=1, keepdim=True)
        weight = strength * torch.exp(-astray / ASTRAY - unlike / UNLIKE)
        self.total = self.total + weight * aligned
        self.weights = self.weights + weight


def steadied(
    frames: Iterable[Float[Tensor, "3 h w"]], strength: float, fixed: Container[int] = ()
) -> Iterator[Float[Tensor, "3 h w"]]:
    """Yield frames of one shot averaged with the ones before and after; one is held back.

    Args:
        frames: in [-1, 1]; those too small for a flow come back as they are.
        strength: 0 does nothing; at 1 a neighbour that agrees weighs as much as the frame.
        fixed: places of frames that come back as they are, and still weigh on their neighbours.
    """
    previous: _Mean | None = None
    for place, frame in enumerate(frames):
        if not strength or min(frame.shape[-2:]) < SMALLEST_FOR_FLOW:
            yield frame
            continue
        mean = _Mean(frame[None], frame[None], torch.ones_like(frame[None, :1]), place in fixed)
        if previous is not None:
            there, back = estimate_flows(previous.frame, mean.frame)
            previous.add(mean.frame, there, back, strength)
            mean.add(previous.frame, back, there, strength)
            yield (previous.total / previous.weights)[0]
        previous = mean
    if previous is not None:
        yield (previous.total / previous.weights)[0]
