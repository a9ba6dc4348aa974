"""What a segment of an output is made of and leaves behind, as pipeline and jobs hand it on."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from venhancer.frames.levels import Frame
from venhancer.planning.layout import Segment

ReadFrames: TypeAlias = Callable[[Sequence[int]], Iterable[Frame]]
"""Return the input frames of these numbers, which ascend."""

Carry: TypeAlias = dict[str, Tensor]
"""What a segment hands on: "denoised" (evaluations, c, shared frames, h, w), what was said of the frames it shares;
"latents" (c, n, h, w), settled but not decoded; "held" (n, 3, height, width), decoded but not yet cross-faded."""


@dataclass(frozen=True, slots=True)
class EnhancedSegment:
    """One segment's output.

    Attributes:
        segment: which one.
        frames: what is written of it, in order; to be drawn to the end.
        carry: what the next segment needs to continue, by name; complete once `frames` have been drawn, and empty if
            another shot follows.
    """

    segment: Segment
    frames: Iterator[Frame]
    carry: Carry
