"""What a baseline is given and what it gives."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import JobFailed
from venhancer.frames.levels import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Key frames and what to make of them: the first and the last stay the ends.

    Args:
        key_frames: RGB, at least two unless `factor` is 1.
        rate: of the key frames, in frames a second.
        scale: how many times larger.
        factor: into how many each interval between key frames is divided.
        name: of the clip, for what was made elsewhere.
    """

    key_frames: Frames
    rate: Fraction
    scale: int
    factor: int
    name: str = ""

    @property
    def height(self) -> int:
        """Of the output, in pixels."""
        return self.key_frames.shape[1] * self.scale

    @property
    def width(self) -> int:
        """Of the output, in pixels."""
        return self.key_frames.shape[2] * self.scale

    @property
    def frames(self) -> int:
        """How many frames the output has: up to the last key frame, and none after it."""
        return (len(self.key_frames) - 1) * self.factor + 1

    def check(self, output: Frames) -> UInt8[np.ndarray, "n h w 3"]:
        """Return an output; frames that hold the last key frame longer are cut off.

        Raises:
            JobFailed: their size or number is wrong.
        """
        count, height, width, _ = output.shape
        expected = f"{self.frames} frames of {self.width}x{self.height}"
        has_tail = count == len(self.key_frames) * self.factor
        if (height, width) != (self.height, self.width) or (count != self.frames and not has_tail):
            raise JobFailed(f"it made {count} frames of {width}x{height}, not {expected}; check its scale and rate")
        return output[: self.frames]


Baseline = Callable[[Request], Frames]
