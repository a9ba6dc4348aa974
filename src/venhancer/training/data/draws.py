"""Which frames and which crop of which clip a training example is made of: numbers only, no pixel is read here.

The paper trains on 24 frames a second by frame skipping and on centre crops; a random crop at the clip's own rate is
what a small model learns most from. Both are settings.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import ceil, floor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator

from venhancer.errors import InputError
from venhancer.training.data.damage import draw_integer, draw_uniform
from venhancer.training.data.manifest import ClipEntry
from venhancer.training.settings import DataSettings

SLOWEST = Fraction(9, 10)
"""A clip may be this much slower than the rate requested (23.976 for 24); slower ones would need invented frames."""
_ORDERS = 0x6F72646572
"""Sets the randomness of orders apart from that of groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Pixels of one example.

    Args:
        entry: the clip.
        numbers: its frames, ascending, counted from the clip's first.
        size: height and width that the whole picture is brought to first.
        top: of the crop, in that picture.
        left: of the crop.
        height: of the crop.
        width: of the crop.
        mirrored: left and right changed over.
        reversed: shown backwards.
    """

    entry: ClipEntry
    numbers: Sequence[int]
    size: tuple[int, int]
    top: int
    left: int
    height: int
    width: int
    mirrored: bool
    reversed: bool

    @property
    def crop(self) -> tuple[slice, slice]:
        """The rows and columns of the crop."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class ClipDraws:
    """The clips that can be trained on, and how one is drawn.

    Args:
        entries: clips that are large and long enough for the settings.
        settings: of the data.
        crop: height and width.
    """

    entries: Sequence[ClipEntry]
    settings: DataSettings
    crop: tuple[int, int]
    _last_order: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def fitting(
        cls, entries: Sequence[ClipEntry], settings: DataSettings, crop: tuple[int, int], frames: int
    ) -> "ClipDraws":
        """Return the draws over the clips that hold a crop and two frames.

        Raises:
            InputError: no clip does, or none has as many frames as an example may have.
        """
        height, width = crop
        large = [entry for entry in entries if entry.height >= height and entry.width >= width]
        if not large:
            raise InputError(f"{settings.manifest} has no clip of at least {width}x{height}; make crop smaller")
        quick = [entry for entry in large if settings.fps is None or entry.rate >= SLOWEST * settings.fps]
        if not quick:
            raise InputError(f"{settings.manifest} has no clip of {settings.fps} frames a second; lower data.fps")
        longest = max(frames_at_rate(entry, settings) for entry in quick)
        if longest < frames:
            raise InputError(
                f"the longest usable clip in {settings.manifest} has {longest} frames; set frames to at most that, not "
                f"{frames}"
            )
        return cls([entry for entry in quick if frames_at_rate(entry, settings) >= min(2, frames)], settings, crop)

    def turn(self, seed: int, number: int) -> int:
        """Return the clip whose turn it is at the `number`-th example of a run, a function of both alone.

        An epoch shows every clip at least once, in its own order.
        """
        epoch, place = divmod(number, int(self.visits.sum()))
        return int(self._order(seed, epoch)[place])

    def draw(
        self, frames: int, without: Collection[int], generator: Generator, turn: int | None = None
    ) -> tuple[int, Draw] | None:
        """Return the number of a clip and what of it is shown; None if every clip long enough is in `without`.

        It is the clip whose `turn` it is, unless that is too short or ruled out.
        """
        if turn is not None and turn not in without and self.lengths[turn] >= frames:
            return turn, self.draw_from(self.entries[turn], frames, generator)
        weights = np.where(self.lengths >= frames, self.weights, 0.0)
        weights[list(without)] = 0.0
        cumulative = weights.cumsum()
        chance = float(torch.rand((), dtype=torch.float64, generator=generator))
        if cumulative[-1] == 0:
            return None
        number = int(np.searchsorted(cumulative, chance * cumulative[-1], side="right"))
        return number, self.draw_from(self.entries[number], frames, generator)

    def draw_from(self, entry: ClipEntry, frames: int, generator: Generator) -> Draw:
        """Return a stretch and a crop of one clip."""
        numbers = skipped_frames(entry, self.settings, frames)
        first = draw_integer(0, entry.frames - 1 - numbers[-1], generator)
        size = covering_size(entry, self.crop) if self.settings.resize == "cover" else (entry.height, entry.width)
        room = [whole - part for whole, part in zip(size, self.crop, strict=True)]
        is_random = self.settings.crop_from == "random"
        top, left = (draw_integer(0, spare, generator) if is_random else spare // 2 for spare in room)
        return Draw(
            entry=entry,
            numbers=[first + number for number in numbers],
            size=size,
            top=top,
            left=left,
            height=self.crop[0],
            width=self.crop[1],
            mirrored=draw_uniform(generator) < self.settings.mirrored_share,
            reversed=draw_uniform(generator) < self.settings.reversed_share,
        )

    @cached_property
    def lengths(self) -> Float[np.ndarray, "n"]:
        """Frames of each clip at the training rate."""
        return np.array([frames_at_rate(entry, self.settings) for entry in self.entries], dtype=float)

    @cached_property
    def weights(self) -> Float[np.ndarray, "n"]:
        """How often each clip is drawn: by the root of its length, so that long shots do not drown the others."""
        return np.sqrt(self.lengths)

    @cached_property
    def visits(self) -> Int[np.ndarray, "n"]:
        """How often each clip comes in an epoch: by its weight, the least weighty about once."""
        return np.maximum(1, np.round(self.weights / self.weights.min())).astype(int)

    def _order(self, seed: int, epoch: int) -> Int[np.ndarray, "visits"]:
        """Return the clips of an epoch; the last order requested is kept, as examples are requested one by one."""
        if self._last_order.get("epoch") != (seed, epoch):
            every = np.repeat(np.arange(len(self.entries)), self.visits)
            order = np.random.default_rng(np.random.SeedSequence((seed, epoch, _ORDERS))).permutation(every)
            self._last_order.update(epoch=(seed, epoch), order=order)
        return self._last_order["order"]


def frame_step(entry: ClipEntry, settings: DataSettings) -> Fraction:
    """Return how many frames of a clip go into one of training; 1 without a rate to reach, never below 1."""
    if settings.fps is None:
        return Fraction(1)
    step = max(Fraction(1), entry.rate / settings.fps)
    return Fraction(floor(step + Fraction(1, 2))) if settings.skipping == "even" else step


def skipped_frames(entry: ClipEntry, settings: DataSettings, frames: int) -> list[int]:
    """Return which frames of a clip, from its first, are shown at the training rate: the nearest to each moment."""
    step = frame_step(entry, settings)
    return [floor(number * step + Fraction(1, 2)) for number in range(frames)]


def frames_at_rate(entry: ClipEntry, settings: DataSettings) -> int:
    """Return how many frames a clip has at the training rate."""
    return floor((entry.frames - 1) / frame_step(entry, settings)) + 1


def covering_size(entry: ClipEntry, crop: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest height and width of the clip's shape that a crop fits into, never larger than the clip."""
    scale = max(Fraction(crop[0], entry.height), Fraction(crop[1], entry.width))
    return ceil(entry.height * scale), ceil(entry.width * scale)
