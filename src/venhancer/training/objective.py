"""What a training step minimises.

*Denoising*: predict v at a random timestep (VEnhancer, sec. 3.1 and 3.4). *Finishing*: start where sampling starts,
take the sampler's few steps, decode, and compare pixels and features with the target, gradients passing through the
last step: this finishes a network for sampling in one to four steps. Both see the conditions that inference makes.

Adapters have a teacher: the networks without them. Denoising can learn what it predicts with guidance, at any scale, in
one forward (Jensen and Sadat 2025, "AGD"); finishing can learn what it samples.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from torch import Generator, Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from venhancer.conditioning import (
    Between,
    Conditions,
    Encode,
    encode_clip,
    make_conditions,
    steadiness_of,
)
from venhancer.diffusion.denoiser import Denoiser, Guided, PredictV
from venhancer.diffusion.samplers import SOLVERS
from venhancer.diffusion.schedule import Schedule, solver_from_noisy
from venhancer.model_files.traits import SamplingDefaults
from venhancer.models import VideoControlNet, VideoUNet
from venhancer.models.autoencoder import Autoencoder
from venhancer.models.text import encode_prompts
from venhancer.training.data.augment import Example
from venhancer.training.data.damage import draw_integer, draw_uniform, happens
from venhancer.training.discriminator import LatentDiscriminator
from venhancer.training.perceptual import PerceptualDistance
from venhancer.training.settings import ObjectiveSettings

TEXTURE_PATCHES = 3
"""Patches on a side of the squares over which textures are compared."""


class Losses(NamedTuple):
    """What a batch costs.

    Args:
        terms: by name; their sum is minimised.
        per_clip: the main term of each clip, unweighted: mean squared error of v, or mean absolute pixel difference.
        timesteps: where each clip was denoised, or where its finishing started.
    """

    terms: dict[str, Float[Tensor, ""]]
    per_clip: Float[Tensor, " b"]
    timesteps: Int[Tensor, " b"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """What adapters learn from.

    Args:
        defaults: how it samples.
        silenced: makes the networks be the teacher, within a block.
    """

    defaults: SamplingDefaults
    silenced: Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a batch, as a function of the networks, the batch and a generator.

    Args:
        vae: the frozen autoencoder.
        tokenizer: of the text encoder.
        schedule: the noise schedule.
        between: how frames between key frames start.
        steadying: how strongly the most noise augmentation steadies key frames.
        settings: shares and weights.
        perceptual: the feature distance of finishing; needed when its weight is not 0.
        teacher: the networks without their adapters; needed where they are learned from.
    """

    vae: Autoencoder
    tokenizer: PreTrainedTokenizerBase
    schedule: Schedule
    between: Between
    steadying: float
    settings: ObjectiveSettings
    perceptual: PerceptualDistance | None
    teacher: Teacher | None = None

    def __call__(
        self,
        unet: VideoUNet,
        controlnet: VideoControlNet,
        text_encoder: CLIPTextModel,
        batch: Example,
        *,
        generator: Generator,
        step: int,
        timesteps: Int[Tensor, " b"] | None = None,
        discriminator: LatentDiscriminator | None = None,
    ) -> Losses:
        """Return what the networks' predictions for a batch cost at some step of the run.

        Args:
            unet: the base network.
            controlnet: the video ControlNet.
            text_encoder: prompts to embeddings.
            batch: the clips.
            generator: of all that is drawn.
            step: of the run.
            timesteps: denoise from there, instead of drawing an objective and its timesteps.
            discriminator: of the latents that finishing arrives at.
        """
        batch = batch.at_key_frames() if self.between == "interpolate" else batch
        embed = partial(encode_prompts, tokenizer=self.tokenizer, text_encoder=text_encoder)
        text_embeds = embed(list(batch.caption))
        conditions = self.conditions(batch, generator)

        def predict(
            noisy_latents: Tensor,
            timesteps: Tensor,
            text_embeds: Tensor = text_embeds,
            guidance: Tensor | None = None,
        ) -> Tensor:
            residuals = controlnet(
                noisy_latents, timesteps, controlnet.project_text(text_embeds), conditions.key_frames
            )
            return unet(noisy_latents, timesteps, unet.project_text(text_embeds, guidance), residuals).float()

        def guided(scale: float) -> PredictV:
            assert self.teacher is not None
            defaults = self.teacher.defaults

            def predict_each(x_t: Tensor, timesteps: Tensor, prompts: Sequence[Tensor]) -> list[Tensor]:
                return [predict(x_t, timesteps, prompt) for prompt in prompts]

            negative = embed([defaults.negative_prompt] * len(text_embeds))
            rescale = defaults.guidance_rescale
            return Guided(predict_each, text_embeds, negative, guidance_scale=scale, guidance_rescale=rescale)

        if timesteps is None and happens(self.settings.finishing_share, generator):
            return self._finishing(
                predict, guided, batch, conditions, generator, step=step, discriminator=discriminator
            )
        if timesteps is None:
            first, last = self.settings.timestep_range
            timesteps = torch.randint(first, last + 1, (len(batch.target),), generator=generator)
            timesteps = timesteps.to(batch.target.device)
        if self.settings.guidance_range is None:
            return self._denoising(predict, batch, generator, timesteps)
        low, high = self.settings.guidance_range
        scale = low + (high - low) * draw_uniform(generator)
        guidance = torch.full((len(text_embeds),), scale, device=text_embeds.device)
        return self._denoising(partial(predict, guidance=guidance), batch, generator, timesteps, guided(scale))

    @torch.no_grad()
    def conditions(self, batch: Example, generator: Generator) -> Conditions:
        """Return the conditions of a batch, made as inference makes them."""
        key_frame_latents, start_latents = encode_examples(batch, self.vae.encode_frames, self.between, self.steadying)
        return make_conditions(
            key_frame_latents,
            batch.key_frame_mask,
            start_latents,
            noise=_noise_like(key_frame_latents, generator),
            noise_augmentation=batch.noise_augmentation,
            downscale_factor=batch.downscale_factor,
            schedule=self.schedule,
        )

    @torch.no_grad()
    def _clean_latents(self, batch: Example) -> Float[Tensor, "b c f h w"]:
        return self.vae.encode_frames(batch.target) if batch.target_latents is None else batch.target_latents

    def _denoising(
        self,
        predict: PredictV,
        batch: Example,
        generator: Generator,
        timesteps: Tensor,
        guided: PredictV | None = None,
    ) -> Losses:
        clean = self._clean_latents(batch)
        noise = _noise_like(clean, generator)
        noisy, v = self.schedule.add_noise(clean, noise, timesteps), self.schedule.velocity(clean, noise, timesteps)
        if guided is not None:
            assert self.teacher is not None
            with torch.no_grad(), self.teacher.silenced():
                v = guided(noisy, timesteps)
        difference = predict(noisy, timesteps) - v
        errors = difference.square().mean(dim=(1, 2, 3, 4))
        if self.settings.velocity_pixel_weight:
            pixels = self.vae.decode_frames(difference).square().mean(dim=(1, 2, 3, 4))
            errors = errors + self.settings.velocity_pixel_weight * pixels
        return Losses({"denoising": (self._weights(timesteps) * errors).mean()}, errors.detach(), timesteps)

    def _weights(self, timesteps: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Return the weight of each timestep's error in v: min(SNR, gamma) / (SNR + 1) (Hang et al. 2023, sec. 3.4)."""
        if self.settings.min_snr_gamma is None:
            return torch.ones(len(timesteps), device=timesteps.device)
        snr = self.schedule.log_snr(timesteps).exp()
        return snr.clamp(max=self.settings.min_snr_gamma) / (snr + 1)

    def _finishing(
        self,
        predict: PredictV,
        guided: Callable[[float], PredictV],
        batch: Example,
        conditions: Conditions,
        generator: Generator,
        *,
        step: int,
        discriminator: LatentDiscriminator | None,
    ) -> Losses:
        settings, starts = self.settings, self.settings.finishing_start_timestep
        start = starts[draw_integer(0, len(starts) - 1, generator)] if starts[1:] else starts[0]
        noise = _noise_like(conditions.start_latents, generator)
        latents = self._sample(predict, conditions, noise, start)
        terms = dict[str, Tensor]()
        is_taught, clips = settings.finishing_target == "teacher", batch.target
        if is_taught or settings.latent_weight or discriminator is not None:
            aim = self._taught(guided, conditions, noise, generator) if is_taught else self._clean_latents(batch)
            if settings.latent_weight:
                terms["latents"] = settings.latent_weight * (latents - aim).square().mean()
            if discriminator is not None:
                student, terms["critic"] = discriminator.losses(latents, aim, conditions.start_latents)
                terms["adversarial"] = settings.adversarial_weight * student
            clips = self.vae.decode_frames(aim).detach() if is_taught else clips
        shown = self._shown_frames(latents.shape[2], generator)
        frames, target = self.vae.decode_frames(latents[:, :, shown]), clips[:, :, shown]
        differences = (frames - target).abs().mean(dim=(1, 2, 3, 4))
        terms["pixels"] = settings.pixel_weight * differences.mean()
        if settings.frame_difference_weight and frames.shape[2] > 1:
            motion_error = (frames.diff(dim=2) - target.diff(dim=2)).abs().mean()
            terms["motion"] = settings.frame_difference_weight * motion_error
        errors = frames - target
        if settings.neighbour_weight:
            along = errors.diff(dim=-1).abs().mean() + errors.diff(dim=-2).abs().mean()
            terms["neighbours"] = settings.neighbour_weight * along
        if settings.frequency_weight:
            terms["frequencies"] = settings.frequency_weight * torch.fft.rfft2(errors, norm="ortho").abs().mean()
        if settings.texture_weight:
            patch = frames.shape[-1] // latents.shape[-1]
            error = (texture(frames, patch) - texture(target, patch)).abs().mean()
            terms["texture"] = settings.texture_weight * error
        if self.perceptual is not None and step >= settings.perceptual_from_step:
            every, targets = (rearrange(clip, "b c f h w -> (b f) c h w") for clip in (frames, target))
            numbers = torch.randperm(len(every), generator=generator)[: settings.perceptual_frames].to(every.device)
            pictures, targets = every[numbers], targets[numbers]
            terms["perceptual"] = settings.perceptual_weight * self.perceptual(pictures, targets)
        timesteps = torch.full((len(frames),), start, device=frames.device)
        return Losses(terms, differences.detach(), timesteps)

    def _shown_frames(self, frames: int, generator: Generator) -> slice:
        """Return which frames are decoded."""
        most = self.settings.finishing_frames or frames
        first = draw_integer(0, frames - most, generator) if most < frames else 0
        return slice(first, first + most)

    @torch.no_grad()
    def _taught(
        self, guided: Callable[[float], PredictV], conditions: Conditions, noise: Tensor, generator: Generator
    ) -> Float[Tensor, "b c f h w"]:
        """Return the latents that the teacher samples from the same noise, by its own defaults."""
        assert self.teacher is not None
        how, schedule, start = self.teacher.defaults, self.schedule, conditions.start_latents
        drop = how.penultimate == "drop"
        times = schedule.timesteps(how.steps, how.start_timestep, timetable=how.timetable, drop_penultimate=drop)
        sigmas = schedule.sigmas(times)
        x = solver_from_noisy(schedule.add_noise(start, how.start_noise * noise, round(times[0])), sigmas[0])
        with self.teacher.silenced():
            denoise = Denoiser(guided(how.guidance_scale), schedule)
            return SOLVERS[how.solver](denoise, x, sigmas, noise=lambda _: _noise_like(start, generator))

    def _sample(
        self, predict: PredictV, conditions: Conditions, noise: Tensor, start_timestep: int
    ) -> Float[Tensor, "b c f h w"]:
        """Return the latents that a few DDIM steps arrive at; only the last one keeps gradients."""
        settings, schedule = self.settings, self.schedule
        start = conditions.start_latents
        times = [round(time) for time in schedule.timesteps(settings.finishing_steps, start_timestep)]
        noisy = schedule.add_noise(start, settings.finishing_start_noise * noise, times[0])
        with torch.no_grad():
            for time, next_time in pairwise(times):
                v = predict(noisy, torch.full((len(noisy),), time, device=noisy.device))
                denoised, eps = schedule.x0_from_v(v, noisy, time), schedule.eps_from_v(v, noisy, time)
                noisy = schedule.add_noise(denoised, eps, next_time)
        v = predict(noisy, torch.full((len(noisy),), times[-1], device=noisy.device))
        return schedule.x0_from_v(v, noisy, times[-1])


def encode_examples(
    batch: Example, encode: Encode, between: Between, steadying: float
) -> tuple[Float[Tensor, "b c k h w"], Float[Tensor, "b c f h w"]]:
    """Return the latents of a batch's key frames and those that all frames start from; see `encode_clip`."""
    clips = [
        encode_clip(key_frames.unbind(1), mask, between, encode, steadiness=steadiness_of(noise, steadying))
        for key_frames, mask, noise in zip(
            batch.key_frames, batch.key_frame_mask, batch.noise_augmentation.tolist(), strict=True
        )
    ]
    key_frame_latents, start_latents = (torch.cat(parts) for parts in zip(*clips, strict=True))
    return key_frame_latents, start_latents


def texture(frames: Float[Tensor, "b c f h w"], patch: int) -> Float[Tensor, " n"]:
    """Return how much neighbouring pixels differ on average around, across and down, whatever the sign.

    The average is over squares of a few patches, apart for every row or column of a patch, so that differences at the
    borders of patches do not stand for those inside. Pixels that fill no square are left out.
    """
    side = TEXTURE_PATCHES * patch
    means = []
    for clip in (frames, frames.mT):
        height, width = (whole // side * side for whole in clip.shape[-2:])
        whole = clip[..., :height, :width]
        differences = whole.diff(dim=-1, append=whole[..., :1]).abs()
        means.append(
            reduce(differences, "b c f (y r) (x k p) -> (b c f y x p)", "mean", r=side, k=TEXTURE_PATCHES, p=patch)
        )
    return torch.cat(means)


def _noise_like(latents: Tensor, generator: Generator) -> Tensor:
    return torch.randn(latents.shape, generator=generator).to(latents.device)
