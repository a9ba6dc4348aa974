"""What the frames around a key frame say of it, moved onto it along the optical flow.

What flickers comes and goes from frame to frame, while what the picture shows moves on: a mean along the flow keeps the
one and loses the other. Models that start from their input need it: what a start holds, they keep. And what moves is
sampled at other places in every frame: a network that also sees what the aligned neighbours show beyond a frame knows
more of it than the frame tells.
"""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from venhancer.frames.motion import SMALLEST_FOR_FLOW, estimate_flows, moved, warp

ASTRAY = 0.5
"""How far the two flows may disagree, in pixels, before a neighbour's weight has fallen to 1/e."""

UNLIKE = 0.15
"""How far a neighbour may lie from a frame, in [-1, 1], before its weight has fallen to 1/e."""


class Aligned(NamedTuple):
    """A frame, and what its neighbours say of it.

    Args:
        frame: averaged with them.
        neighbours: by how much the one before and the one after differ from the frame as it came, once moved onto it;
            less where they hardly agree, and 0 where there is none.
    """

    frame: Float[Tensor, "3 h w"]
    neighbours: Float[Tensor, "2 3 h w"]


@dataclass(slots=True)
class _Frame:
    """A frame, the sum of it and its neighbours so far with their weights, and the differences so far."""

    frame: Float[Tensor, "1 3 h w"]
    total: Tensor
    weights: Tensor
    neighbours: Float[Tensor, "2 3 h w"]
    is_fixed: bool

    def add(self, side: int, neighbour: Tensor, there: Tensor, back: Tensor, strength: float) -> None:
        """Add a neighbour that a flow leads to, and that another flow should lead back from; none to a fixed frame."""
        if self.is_fixed:
            return
        difference = moved(neighbour, there)[None] - self.frame
        astray = (there + warp(back, there)).norm(dim=1, keepdim=True)
        weight = torch.exp(-astray / ASTRAY - difference.abs().mean(dim=1, keepdim=True) / UNLIKE)
        self.neighbours[side] = (weight * difference)[0]
        self.total = self.total + strength * weight * (self.frame + difference)
        self.weights = self.weights + strength * weight

    def aligned(self) -> Aligned:
        """Return it with all that was added."""
        return Aligned((self.total / self.weights)[0], self.neighbours)


def aligned(
    frames: Iterable[Float[Tensor, "3 h w"]], strength: float, fixed: Container[int] = (), *, shown: bool = False
) -> Iterator[Aligned]:
    """Yield the frames of one shot with what the ones before and after say of them; one is held back.

    Args:
        frames: in [-1, 1]; those too small for a flow come back as they are.
        strength: of averaging. 0 does nothing; at 1 a neighbour that agrees weighs as much as the frame.
        fixed: places of frames that come back as they are, and still count as neighbours.
        shown: whether the neighbours matter beside the average; else, without strength, no flow is computed.
    """
    previous: _Frame | None = None
    for place, frame in enumerate(frames):
        nothing = frame.new_zeros(2, *frame.shape)
        if not (strength or shown) or min(frame.shape[-2:]) < SMALLEST_FOR_FLOW:
            yield Aligned(frame, nothing)
            continue
        current = _Frame(frame[None], frame[None], torch.ones_like(frame[None, :1]), nothing, place in fixed)
        if previous is not None:
            there, back = estimate_flows(previous.frame, current.frame)
            previous.add(1, current.frame, there, back, strength)
            current.add(0, previous.frame, back, there, strength)
            yield previous.aligned()
        previous = current
    if previous is not None:
        yield previous.aligned()
