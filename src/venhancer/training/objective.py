"""What a training step minimises.

*Denoising*: predict v at a random timestep (VEnhancer, sec. 3.1 and 3.4). *One step*: start where sampling starts, take
the sampler's only step, decode, and compare pixels and features with the target; this finishes a network for sampling
in very few steps. Both see the conditions that inference makes.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Generator, Tensor
from transformers import CLIPTextModel, PreTrainedTokenizerBase

from venhancer.conditioning import Between, Conditions, LatentSpace, make_conditions
from venhancer.diffusion.denoiser import PredictV
from venhancer.diffusion.schedule import Schedule
from venhancer.models import LinearAutoencoder, VideoControlNet, VideoUNet
from venhancer.models.autoencoder import ImageAutoencoder, VideoAutoencoder
from venhancer.models.text import encode_prompts
from venhancer.training.augment import Example, draw_uniform
from venhancer.training.perceptual import PerceptualDistance
from venhancer.training.settings import ObjectiveSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The loss of a batch, as a function of the networks, the batch and a generator.

    Args:
        vae: the frozen autoencoder.
        tokenizer: of the text encoder.
        schedule: the noise schedule.
        space: where diffusion happens.
        between: how frames between key frames start.
        settings: shares and weights.
        perceptual: the feature distance of the one-step objective; needed when its weight is not 0.
    """

    vae: LinearAutoencoder | ImageAutoencoder | VideoAutoencoder
    tokenizer: PreTrainedTokenizerBase
    schedule: Schedule
    space: LatentSpace
    between: Between
    settings: ObjectiveSettings
    perceptual: PerceptualDistance | None

    def __call__(
        self,
        unet: VideoUNet,
        controlnet: VideoControlNet,
        text_encoder: CLIPTextModel,
        batch: Example,
        generator: Generator,
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the terms of the loss by name; their sum is minimised."""
        text_embeds = encode_prompts(list(batch.caption), self.tokenizer, text_encoder)
        conditions = self.conditions(batch, generator)

        def predict(noisy_latents: Tensor, timesteps: Tensor) -> Tensor:
            residuals = controlnet(
                noisy_latents, timesteps, controlnet.project_text(text_embeds), conditions.key_frames
            )
            return unet(noisy_latents, timesteps, unet.project_text(text_embeds), residuals).float()

        if draw_uniform(generator) < self.settings.one_step_share:
            return self._one_step(predict, batch, conditions, generator)
        return self._denoising(predict, batch, conditions, generator)

    @torch.no_grad()
    def conditions(self, batch: Example, generator: Generator) -> Conditions:
        """Return the conditions of a batch, made as inference makes them."""
        key_frame_latents = self.vae.encode_frames(batch.key_frames)
        return make_conditions(
            key_frame_latents,
            batch.key_frame_mask,
            noise=_noise_like(key_frame_latents, generator),
            noise_augmentation=batch.noise_augmentation,
            downscale_factor=batch.downscale_factor,
            schedule=self.schedule,
            between=self.between,
        )

    def _denoising(
        self, predict: PredictV, batch: Example, conditions: Conditions, generator: Generator
    ) -> dict[str, Tensor]:
        with torch.no_grad():
            clean = self.space.enter(self.vae.encode_frames(batch.target), conditions)
        clips = clean.shape[0]
        timesteps = torch.randint(self.schedule.num_timesteps, (clips,), generator=generator).to(clean.device)
        noise = _noise_like(clean, generator)
        predicted = predict(self.schedule.add_noise(clean, noise, timesteps), timesteps)
        return {"denoising": F.mse_loss(predicted, self.schedule.velocity(clean, noise, timesteps))}

    def _one_step(
        self, predict: PredictV, batch: Example, conditions: Conditions, generator: Generator
    ) -> dict[str, Tensor]:
        settings = self.settings
        start = self.space.enter(conditions.start_latents, conditions)
        timesteps = torch.full((start.shape[0],), settings.one_step_timestep, device=start.device)
        noisy = self.schedule.add_noise(start, _noise_like(start, generator), timesteps)
        denoised = self.schedule.x0_from_v(predict(noisy, timesteps), noisy, timesteps)
        frames = self.vae.decode_frames(self.space.leave(denoised, conditions))
        terms = {"pixels": settings.pixel_weight * (frames - batch.target).abs().mean()}
        if settings.frame_difference_weight and frames.shape[2] > 1:
            motion_error = (frames.diff(dim=2) - batch.target.diff(dim=2)).abs().mean()
            terms["motion"] = settings.frame_difference_weight * motion_error
        if self.perceptual is not None:
            chosen = torch.randperm(frames.shape[2], generator=generator)[: settings.perceptual_frames]
            pictures, targets = (
                rearrange(clip[:, :, chosen], "b c f h w -> (b f) c h w") for clip in (frames, batch.target)
            )
            terms["perceptual"] = settings.perceptual_weight * self.perceptual(pictures, targets)
        return terms


def _noise_like(latents: Tensor, generator: Generator) -> Tensor:
    return torch.randn(latents.shape, generator=generator).to(latents.device)
