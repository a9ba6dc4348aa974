"""The same few clips looked at again and again while a run learns: their loss, and what sampling makes of them.

The clips are drawn once, with a seed of their own, from those held out of training. Their losses are taken at the
middle of every bucket of timesteps with the same noise each time, and they are sampled as a user would sample them, by
the pipeline and its defaults. So two figures of one run, or of two runs over the same data, can be compared.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from venhancer.diffusion.timetable import LAST_TIMESTEP
from venhancer.errors import InputError, SettingsError
from venhancer.frames.levels import Frames, psnr, to_levels
from venhancer.pipeline import VEnhancerPipeline
from venhancer.reports.sheets import liveliest_row, motion_strips, stills
from venhancer.training.data.augment import Example
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.learner import Learner
from venhancer.training.log.buckets import TIMESTEPS_A_BUCKET, key_frame_gap, timestep_label
from venhancer.training.log.log import RunLog
from venhancer.training.settings import TrainSettings

logger = logging.getLogger(__name__)

HELD_OUT = "held_out"
FRAMES_SHOWN = 4


class Validation:
    """The validation clips of one run.

    Every process of a run looks at all of them: weights may be shared out over processes, and none waits for another.

    Args:
        settings: of the run.
        pipeline: whose networks are tried, loaded from a folder.
        learner: the same networks, and the loss.
    """

    def __init__(self, settings: TrainSettings, pipeline: VEnhancerPipeline, learner: Learner) -> None:
        self.settings, self.pipeline, self.learner = settings, pipeline, learner
        self.split = HELD_OUT

    def is_due(self, step: int) -> bool:
        """Tell whether there is anything to show after so many steps."""
        return any(self._falls_on(step, every) for every in self._intervals())

    @torch.no_grad()
    def look(self, step: int, log: RunLog) -> None:
        """Write the figures and pictures that are due after a step, of the weights as they are.

        Raises:
            JobFailed: the loss is no number, or nothing can be written.
            InputError: no clip can be read.
        """
        settings = self.settings.log
        wants_figures, wants_pictures = (self._falls_on(step, every) for every in self._intervals())
        pictures = settings.picture_clips if wants_pictures else 0
        examples = self.examples if wants_figures else self.examples[:pictures]
        with _whole_weights(self.learner):
            results = [sample(self.pipeline, example, settings.validation_seed) for example in examples]
            figures = self._figures(results) if wants_figures else None
        if figures is not None:
            log.validated(step, figures)
        if not log.is_main:
            return
        for number, (example, result) in enumerate(zip(examples[:pictures], results, strict=False)):
            clips = {"input": resized_input(example), "output": result, "target": to_eight_bits(example.target[0])}
            instants = np.linspace(0, len(result) - 1, FRAMES_SHOWN).round().astype(int)
            log.pictured(step, f"clip_{number}", stills(clips, np.unique(instants).tolist()))
            row = liveliest_row(clips["target"])
            log.pictured(step, f"clip_{number}_motion", motion_strips(clips, row=row))

    @cached_property
    def examples(self) -> list[Example]:
        """The clips, each a batch of one on the networks' device."""
        try:
            batches = Batches(self._drawing(HELD_OUT))
        except (InputError, SettingsError) as error:
            self.split = self.settings.data.split
            logger.info("validation uses clips of split %s: %s", self.split, error)
            batches = Batches(self._drawing(self.split))
        groups = range(self.settings.log.validation_clips)
        return [batches.group(0, group).to(self.pipeline.device) for group in groups]

    def _drawing(self, split: str) -> TrainSettings:
        """Return the settings that the clips are drawn by: one at a time, of good quality, captioned."""
        log, data, augment = self.settings.log, self.settings.data, self.settings.augment
        captions = data.captions if split == data.split else None  # a line for each clip of that split
        changes = {
            "seed": log.validation_seed,
            "batch_size": log.validation_clips,
            "micro_batch_size": 1,
            "data": data.model_copy(update={"split": split, "captions": captions, "latent_cache": None}),
            "augment": augment.model_copy(update={"low_quality_share": 0.0, "prompt_dropout": 0.0}),
        }
        return self.settings.model_copy(update=changes)

    def _figures(self, results: Sequence[Frames]) -> dict[str, Any]:
        by_timestep = {
            timestep_label((bucket,)): fmean(self._loss(number, bucket) for number in range(len(self.examples)))
            for bucket in range((LAST_TIMESTEP + 1) // TIMESTEPS_A_BUCKET)
        }
        targets = [to_eight_bits(example.target[0]) for example in self.examples]
        inputs = [resized_input(example) for example in self.examples]
        return {
            "loss": fmean(by_timestep.values()),
            "psnr": fmean(map(psnr, results, targets)),
            "psnr_input": fmean(map(psnr, inputs, targets)),
            "by_timestep": by_timestep,
            "clips": len(results),
            "split": self.split,
        }

    def _loss(self, number: int, bucket: int) -> float:
        """Return the loss of one clip at the middle of a bucket."""
        timestep = bucket * TIMESTEPS_A_BUCKET + TIMESTEPS_A_BUCKET // 2
        generator = generator_for(self.settings.log.validation_seed, number, timestep)
        timesteps = torch.tensor([timestep], device=self.pipeline.device)
        losses = self.learner(self.examples[number], generator, 0, timesteps)
        return float(losses.per_clip)

    def _intervals(self) -> tuple[int, int]:
        """Return after how many steps figures and pictures are due."""
        return self.settings.log.validation_every, self.settings.log.pictures_every

    def _falls_on(self, step: int, every: int) -> bool:
        return every > 0 and (step % every == 0 or step == self.settings.steps)


@contextmanager
def _whole_weights(learner: Learner) -> Iterator[None]:
    """Hold weights whole, if processes share them out, that the learner as a whole gathers: to call its parts alone."""
    if not isinstance(learner, FSDPModule):
        yield
        return
    learner.unshard()
    try:
        yield
    finally:
        learner.reshard()


def sample(pipeline: VEnhancerPipeline, example: Example, seed: int) -> Frames:
    """Return what a pipeline, loaded from a folder, makes of the key frames of a batch of one by its defaults."""
    key_frames = to_eight_bits(example.key_frames[0])
    factor = key_frame_gap(example.key_frame_mask[0].tolist())
    result = pipeline(
        key_frames,
        source_fps=Fraction(24, factor),
        fps=Fraction(24),
        scale=1,
        downscale_factor=float(example.downscale_factor[0]),
        prompt=example.caption[0],
        window_frames=max(2, len(key_frames) * factor),
        window_overlap=0,
        seed=seed,
    )
    return result[: example.target.shape[2]]


def resized_input(example: Example) -> Frames:
    """Return the input as it is without a model: key frames at full size, each held until the next."""
    key_frames = to_eight_bits(example.key_frames[0])
    return key_frames[(example.key_frame_mask[0].cumsum(0) - 1).clamp(min=0).cpu().numpy()]


def to_eight_bits(frames: Float[Tensor, "3 f h w"]) -> Frames:
    """Return frames in [-1, 1] as pictures."""
    return np.stack([to_levels(picture, 8) for picture in frames.unbind(1)])
