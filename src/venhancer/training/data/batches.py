"""Clips to training batches: group g of step n of a run is a pure function of the seed, n and g.

A step works on `batch_size` clips, in groups of `micro_batch_size` that share one temporal factor and one length, so
that they stack. Clips come in turn, epoch by epoch, each epoch in an order that its number and the seed give. Because a
group is made from its numbers alone, the stream is the same for any number of worker processes and of training
processes, and resuming needs one integer, the step. A clip that cannot be read, or is too short for its group, is
passed over in the same way everywhere: another is drawn from the group's own generator.
"""

import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from venhancer.errors import InputError, JobFailed
from venhancer.frames.enlarging import Enlarging
from venhancer.frames.levels import Frames
from venhancer.media.source import failures_as
from venhancer.model_files.traits import load_traits
from venhancer.progress import SILENT, Progress
from venhancer.training.data.augment import Example, draw_temporal_factor, make_example
from venhancer.training.data.clips import read_draw
from venhancer.training.data.damage import draw_integer, draw_uniform, from_bytes
from venhancer.training.data.draws import ClipDraws
from venhancer.training.data.latents import Autoencoder, LatentCache, fill_cache
from venhancer.training.data.manifest import find_manifest, read_captions, read_manifest
from venhancer.training.settings import TrainSettings

logger = logging.getLogger(__name__)

SKIPPED = "skipped_clips.jsonl"
MOST_FAILURES = 1000
"""Different clips in a row that cannot be read, after which the data are given up."""


class SkippedClip(NamedTuple):
    """A clip that could not be read, and why."""

    name: str
    reason: str


class Prepared(NamedTuple):
    """What a worker hands over: a group of examples and what was passed over, or why there is none."""

    example: Example | None
    skipped: tuple[SkippedClip, ...]
    failure: str


class Batches(Dataset[Prepared]):
    """The groups of a training run by step and number; as a dataset, those of one training process in order.

    Args:
        settings: of the run.
        first_step: step that the dataset begins with.
        rank: number of this training process.
        ranks: how many there are; group g is worked on by process g % ranks.

    Raises:
        InputError: there is nothing that can be trained on.
    """

    def __init__(self, settings: TrainSettings, first_step: int = 0, *, rank: int = 0, ranks: int = 1) -> None:
        self.settings = settings
        self.first_step = first_step
        self.groups = range(rank, settings.groups, ranks)
        manifest = find_manifest(settings.data.manifest)
        self.folder = manifest.parent
        entries = read_manifest(manifest, settings.data.split)
        if settings.data.captions is not None:
            captions = read_captions(settings.data.captions, len(entries), f"clips of {manifest}")
            pairs = zip(entries, captions, strict=True)
            entries = [entry.model_copy(update={"caption": caption}) for entry, caption in pairs]
        own: Enlarging = "bilinear" if settings.start_from is None else load_traits(str(settings.start_from)).enlarging
        self.enlarging: Enlarging = settings.enlarging or own
        self.draws = ClipDraws.fitting(entries, settings.data, settings.crop, settings.frames)
        self.cache = LatentCache(settings.data.latent_cache, self.folder) if settings.data.latent_cache else None

    def __len__(self) -> int:
        return max(0, self.settings.steps - self.first_step) * len(self.groups)

    def __getitem__(self, index: int) -> Prepared:
        step, place = divmod(index, len(self.groups))
        skipped: list[SkippedClip] = []
        try:
            example = self.group(self.first_step + step, self.groups[place], skipped)
        except InputError as error:  # a worker's error would reach the run as a trace, so it is handed over as a line
            return Prepared(None, tuple(skipped), str(error))
        return Prepared(example, tuple(skipped), "")

    def group(self, step: int, group: int, skipped: list[SkippedClip] | None = None) -> Example:
        """Return group `group` of step `step`, stacked.

        Args:
            step: counted from 0.
            group: counted from 0.
            skipped: clips passed over are added here.

        Raises:
            InputError: no clip can be read.
        """
        skipped = [] if skipped is None else skipped
        generator = generator_for(self.settings.seed, step, group)
        factor = draw_temporal_factor(self.settings.augment, generator)
        frames = self._draw_length(factor, generator)
        clips = self.settings.batch_size // self.settings.groups
        first = (step * self.settings.groups + group) * clips
        turns = [self.draws.turn(self.settings.seed, first + number) for number in range(clips)]
        examples = [self._example(turn, factor, frames, generator, skipped) for turn in turns]
        return stack_examples(examples)

    def _draw_length(self, factor: int, generator: Generator) -> int:
        """Return how many frames: mostly a whole number of gaps between key frames, sometimes a loose end.

        Motion is learned within one gap.
        """
        most = self.settings.frames
        if most == 1:
            return 1
        if self.settings.train == "motion":
            return min(factor + 1, most)
        whole = max(1, (most - 1) // factor) * factor + 1
        length = whole if draw_uniform(generator) < 0.75 else draw_integer(min(whole, most - 1), most, generator)
        return min(length, most)

    def _example(
        self, turn: int, factor: int, frames: int, generator: Generator, skipped: list[SkippedClip]
    ) -> Example:
        """Return an example of the clip whose turn it is or, if it will not do, of the first drawn that can be read."""
        failed: dict[int, SkippedClip] = {}
        while (
            len(failed) < MOST_FAILURES
            and (choice := self.draws.draw(frames, failed.keys(), generator, turn)) is not None
        ):
            number, draw = choice
            others = range(1, self.settings.data.crop_choices)
            draws = [draw, *(self.draws.draw_from(draw.entry, frames, generator) for _ in others)]
            try:
                draw, pixels = max(
                    ((one, read_draw(one, self.folder)) for one in draws), key=lambda read: detail(read[1])
                )
                latents = None if self.cache is None else self.cache.read(draw)
            except InputError as error:
                failed[number] = SkippedClip(draw.entry.name, str(error))
                skipped.append(failed[number])
                continue
            caption, augment = draw.entry.caption, self.settings.augment
            example = make_example(from_bytes(pixels), caption, factor, augment, generator, enlarging=self.enlarging)
            return example._replace(target_latents=latents)
        reason = next(iter(failed.values())).reason
        raise InputError(
            f"none of {len(failed)} clips of {self.settings.data.manifest} can be read; the first: {reason}"
        )


class BatchStream(Iterator[Example]):
    """The groups of a run in order, and the clips passed over so far.

    Args:
        loader: of prepared groups.
        record: file that names every skipped clip once, kept when a run resumes.
    """

    def __init__(self, loader: DataLoader[Prepared], record: Path) -> None:
        self.prepared = iter(loader)
        self.record = record
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
        self.skipped = {line["clip"]: line["reason"] for line in map(json.loads, lines)}

    def __next__(self) -> Example:
        """Return the next group.

        Raises:
            InputError: no clip can be read.
            JobFailed: the record of skipped clips cannot be written.
        """
        prepared = next(self.prepared)
        for name, reason in prepared.skipped:
            if name not in self.skipped:
                self._note(name, reason)
        if prepared.example is None:
            raise InputError(prepared.failure)
        return prepared.example

    def _note(self, name: str, reason: str) -> None:
        self.skipped[name] = reason
        logger.warning("clip %s is skipped: %s", name, reason)
        with failures_as(JobFailed, f"{self.record} cannot be written; free some space"):
            self.record.parent.mkdir(parents=True, exist_ok=True)
            with self.record.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"clip": name, "reason": reason}) + "\n")


def load_batches(settings: TrainSettings, first_step: int, *, rank: int = 0, ranks: int = 1) -> BatchStream:
    """Return one training process's groups from step `first_step` to the end of the run, prepared by workers.

    Raises:
        InputError: there is nothing that can be trained on.
    """
    loader = DataLoader(
        Batches(settings, first_step, rank=rank, ranks=ranks),
        batch_size=None,
        num_workers=settings.workers,
        prefetch_factor=4 if settings.workers else None,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_begin_worker,
    )
    return BatchStream(loader, settings.output / SKIPPED)


def fill_latent_cache(
    settings: TrainSettings, vae: Autoencoder, *, rank: int = 0, ranks: int = 1, progress: Progress = SILENT
) -> None:
    """Encode this training process's share of the clips into the latent cache, if the settings name one.

    Raises:
        SettingsError: the cache is of another autoencoder.
        JobFailed: it cannot be written.
        InputError: there is nothing that can be trained on.
    """
    if settings.data.latent_cache is None:
        return
    batches = Batches(settings)
    cache = LatentCache(settings.data.latent_cache, batches.folder)
    encoded = fill_cache(cache, batches.draws, vae, rank=rank, ranks=ranks, progress=progress)
    logger.info("encoded %d clips into %s", encoded, cache.folder)


def stack_examples(examples: Sequence[Example]) -> Example:
    """Return examples of one length as a batch; latents are kept only if all have them."""
    values = {
        name: torch.stack(parts)
        for name, parts in zip(Example._fields, zip(*examples, strict=True), strict=True)
        if all(isinstance(part, Tensor) for part in parts)
    }
    return Example(**values, caption=[str(example.caption) for example in examples])


def detail(frames: Frames) -> float:
    """Return how much pixels differ from their right neighbours, in levels."""
    return float(np.abs(np.diff(frames.astype(np.int16), axis=2)).mean())


def generator_for(*key: int) -> Generator:
    """Return a CPU generator that depends on all the numbers given."""
    words = np.random.SeedSequence(key).generate_state(2, dtype=np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))


def _begin_worker(_: int) -> None:
    """Use one thread, and leave stopping to the run: terminals and schedulers signal all its processes at once."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none: there, SIGTERM to all processes ends a run without saving
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_heed_the_run_alone, daemon=True).start()


def _heed_the_run_alone() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
