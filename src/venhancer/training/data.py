"""Prepared clips to training batches: batch number n of a run is a pure function of the seed and n.

A folder of prepared clips holds `index.jsonl`, one line a clip, and one `.npy` array a clip (`f h w c`, RGB, eight
bits), which is memory-mapped: a batch reads only the pixels it crops. Because a batch is made from its number alone,
the stream is the same for any number of worker processes, and resuming needs one integer.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from venhancer.errors import InputError
from venhancer.training.augment import Example, draw_integer, draw_temporal_factor, draw_uniform, make_example
from venhancer.training.settings import TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipEntry:
    """One prepared clip of the index."""

    file: Path
    frames: int
    height: int
    width: int
    caption: str


def read_index(folder: Path, split: str) -> list[ClipEntry]:
    """Return the clips of one split of a prepared folder.

    Raises:
        InputError: there is no index, or it has no clip of this split.
    """
    index = folder / "index.jsonl"
    if not index.is_file():
        raise InputError(f"{folder} has no index.jsonl; prepare clips first, for example with recipes/footage.py")
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    entries = [
        ClipEntry(
            file=folder / line["file"],
            frames=line["frames"],
            height=line["height"],
            width=line["width"],
            caption=line["caption"],
        )
        for line in lines
        if line["split"] == split
    ]
    if not entries:
        raise InputError(f"{index} lists no clip of split {split!r}")
    return entries


class Batches(Dataset[Example]):
    """The batches of a training run by number."""

    def __init__(self, settings: TrainSettings, first: int) -> None:
        self.settings = settings
        self.first = first
        height, width = settings.crop
        fitting = [
            entry
            for entry in read_index(settings.data, "train")
            if entry.height >= height and entry.width >= width and entry.frames >= 2
        ]
        if not fitting:
            raise InputError(f"{settings.data} has no training clip of at least {width}x{height}; make crop smaller")
        self.entries = fitting
        self.weights = torch.tensor([float(entry.frames) for entry in fitting]).sqrt()

    def __len__(self) -> int:
        return self.settings.steps - self.first

    def __getitem__(self, index: int) -> Example:
        return self.batch(self.first + index)

    def batch(self, number: int) -> Example:
        """Return batch `number`; its clips share one temporal factor and one length, so that they stack."""
        generator = generator_for(self.settings.seed, number)
        factor = draw_temporal_factor(self.settings.augment, generator)
        frames = self._draw_length(factor, generator)
        examples = [self._example(factor, frames, generator) for _ in range(self.settings.batch_size)]
        tensors = [torch.stack(parts) for parts in list(zip(*examples, strict=True))[:-1]]
        return Example(*tensors, caption=[str(example.caption) for example in examples])

    def _draw_length(self, factor: int, generator: Generator) -> int:
        """Return how many frames: mostly a whole number of gaps between key frames, sometimes a loose end."""
        most = self.settings.frames
        whole = max(1, (most - 1) // factor) * factor + 1
        length = whole if draw_uniform(generator) < 0.75 else draw_integer(min(whole, most - 1), most, generator)
        return min(length, most)

    def _example(self, factor: int, frames: int, generator: Generator) -> Example:
        while True:
            entry = self.entries[int(torch.multinomial(self.weights, 1, generator=generator))]
            if entry.frames >= frames:
                return make_example(
                    self._crop(entry, frames, generator), entry.caption, factor, self.settings.augment, generator
                )

    def _crop(self, entry: ClipEntry, frames: int, generator: Generator) -> Tensor:
        height, width = self.settings.crop
        first = draw_integer(0, entry.frames - frames, generator)
        top = draw_integer(0, entry.height - height, generator)
        left = draw_integer(0, entry.width - width, generator)
        clip = np.load(entry.file, mmap_mode="r")
        crop = np.array(clip[first : first + frames, top : top + height, left : left + width])
        pixels = torch.from_numpy(crop).movedim(-1, 1).float() / 255
        if draw_uniform(generator) < 0.5:
            pixels = pixels.flip(-1)
        if draw_uniform(generator) < 0.5:
            pixels = pixels.flip(0)
        return pixels


def generator_for(*key: int) -> Generator:
    """Return a CPU generator that depends on all the numbers given."""
    words = np.random.SeedSequence(key).generate_state(2, dtype=np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))


def load_batches(settings: TrainSettings, first: int) -> Iterator[Example]:
    """Return batches number `first`, `first` + 1, ... to the end of the run, prepared by worker processes."""
    loader = DataLoader(
        Batches(settings, first),
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
        worker_init_fn=_one_thread,
    )
    return iter(loader)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
