"""What a training step minimises.

*Denoising*: predict v at a random timestep (VEnhancer, sec. 3.1 and 3.4). *Finishing*: start where sampling starts,
take the sampler's few steps, decode, and compare pixels and features with the target, gradients passing through the
last step: this finishes a network for sampling in one to four steps. Both see the conditions that inference makes.
"""

from dataclasses import dataclass
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
from venhancer.diffusion.denoiser import PredictV
from venhancer.diffusion.schedule import Schedule
from venhancer.models import VideoControlNet, VideoUNet
from venhancer.models.autoencoder import Autoencoder
from venhancer.models.text import encode_prompts
from venhancer.training.data.augment import Example
from venhancer.training.data.damage import happens
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
    """

    vae: Autoencoder
    tokenizer: PreTrainedTokenizerBase
    schedule: Schedule
    between: Between
    steadying: float
    settings: ObjectiveSettings
    perceptual: PerceptualDistance | None

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
        """
        text_embeds = encode_prompts(list(batch.caption), self.tokenizer, text_encoder)
        conditions = self.conditions(batch, generator)

        def predict(noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
            residuals = controlnet(
                noisy_latents, timesteps, controlnet.project_text(text_embeds), conditions.key_frames
            )
            return unet(noisy_latents, timesteps, unet.project_text(text_embeds), residuals).float()

        if timesteps is None and happens(self.settings.finishing_share, generator):
            return self._finishing(predict, batch, conditions, generator, step)
        if timesteps is None:
            first, last = self.settings.timestep_range
            timesteps = torch.randint(first, last + 1, (len(batch.target),), generator=generator)
            timesteps = timesteps.to(batch.target.device)
        return self._denoising(predict, batch, generator, timesteps)

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

    def _denoising(self, predict: PredictV, batch: Example, generator: Generator, timesteps: Tensor) -> Losses:
        with torch.no_grad():
            cached = batch.target_latents
            clean = self.vae.encode_frames(batch.target) if cached is None else cached
        noise = _noise_like(clean, generator)
        predicted = predict(self.schedule.add_noise(clean, noise, timesteps), timesteps)
        errors = (predicted - self.schedule.velocity(clean, noise, timesteps)).square().mean(dim=(1, 2, 3, 4))
        return Losses({"denoising": (self._weights(timesteps) * errors).mean()}, errors.detach(), timesteps)

    def _weights(self, timesteps: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Return the weight of each timestep's error in v: min(SNR, gamma) / (SNR + 1) (Hang et al. 2023, sec. 3.4)."""
        if self.settings.min_snr_gamma is None:
            return torch.ones(len(timesteps), device=timesteps.device)
        snr = self.schedule.log_snr(timesteps).exp()
        return snr.clamp(max=self.settings.min_snr_gamma) / (snr + 1)

    def _finishing(
        self, predict: PredictV, batch: Example, conditions: Conditions, generator: Generator, step: int
    ) -> Losses:
        latents = self._sample(predict, conditions, generator)
        frames = self.vae.decode_frames(latents)
        settings = self.settings
        differences = (frames - batch.target).abs().mean(dim=(1, 2, 3, 4))
        terms = {"pixels": settings.pixel_weight * differences.mean()}
        if settings.frame_difference_weight and frames.shape[2] > 1:
            motion_error = (frames.diff(dim=2) - batch.target.diff(dim=2)).abs().mean()
            terms["motion"] = settings.frame_difference_weight * motion_error
        errors = frames - batch.target
        if settings.neighbour_weight:
            along = errors.diff(dim=-1).abs().mean() + errors.diff(dim=-2).abs().mean()
            terms["neighbours"] = settings.neighbour_weight * along
        if settings.frequency_weight:
            terms["frequencies"] = settings.frequency_weight * torch.fft.rfft2(errors, norm="ortho").abs().mean()
        if settings.texture_weight:
            patch = frames.shape[-1] // latents.shape[-1]
            error = (texture(frames, patch) - texture(batch.target, patch)).abs().mean()
            terms["texture"] = settings.texture_weight * error
        if self.perceptual is not None and step >= settings.perceptual_from_step:
            every, targets = (rearrange(clip, "b c f h w -> (b f) c h w") for clip in (frames, batch.target))
            numbers = torch.randperm(len(every), generator=generator)[: settings.perceptual_frames].to(every.device)
            pictures, targets = every[numbers], targets[numbers]
            terms["perceptual"] = settings.perceptual_weight * self.perceptual(pictures, targets)
        timesteps = torch.full((len(frames),), settings.finishing_start_timestep, device=frames.device)
        return Losses(terms, differences.detach(), timesteps)

    def _sample(self, predict: PredictV, conditions: Conditions, generator: Generator) -> Float[Tensor, "b c f h w"]:
        """Return the latents that a few DDIM steps arrive at; only the last one keeps gradients."""
        settings, schedule = self.settings, self.schedule
        start = conditions.start_latents
        times = [
            round(time) for time in schedule.timesteps(settings.finishing_steps, settings.finishing_start_timestep)
        ]
        noise = settings.finishing_start_noise * _noise_like(start, generator)
        noisy = schedule.add_noise(start, noise, times[0])
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
