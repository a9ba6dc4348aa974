"""Space-time augmentation: a high-quality clip and a generator give one training example (VEnhancer, sec. 3.3).

Everything is a pure function of pixels and a generator, so an example can be made again anywhere. The low-quality side
is what a user would bring: fewer frames, fewer pixels, eight bits, and beyond the paper the damage of `damage.py`.
"""

import math
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from venhancer.frames.enlarging import Enlarging, resize
from venhancer.settings import MOST_NOISE
from venhancer.training.data.damage import (
    damage,
    destabilise,
    draw_integer,
    draw_uniform,
    eight_bits,
    gaussian_blur,
    happens,
    through_codec,
)
from venhancer.training.settings import AugmentSettings, DownscaleKernel, Law


class Example(NamedTuple):
    """One training example, or a batch of them with a leading axis.

    Args:
        target: the high-quality frames, in [-1, 1].
        key_frames: the low-quality key frames, brought back to full size, in [-1, 1].
        key_frame_mask: which frames are key frames.
        downscale_factor: how much smaller the low-quality side was.
        noise_augmentation: 0..300, see `make_conditions`.
        caption: the prompt.
        target_latents: the target encoded, where a cache has it.
    """

    target: Float[Tensor, "*b c f h w"]
    key_frames: Float[Tensor, "*b c k h w"]
    key_frame_mask: Bool[Tensor, "*b f"]
    downscale_factor: Float[Tensor, "*b"]
    noise_augmentation: Tensor
    caption: str | list[str]
    target_latents: Float[Tensor, "*b c2 f h2 w2"] | None = None

    def to(self, device: torch.device) -> Self:
        """Return the example on another device."""
        tensors = {name: value.to(device) for name, value in self._asdict().items() if isinstance(value, Tensor)}
        return self._replace(**tensors)

    def at_key_frames(self) -> Self:
        """Return a batch, whose clips have key frames in the same places, without the frames between."""
        keys, latents = self.key_frame_mask[0], self.target_latents
        return self._replace(
            target=self.target[:, :, keys],
            key_frame_mask=self.key_frame_mask[:, keys],
            target_latents=None if latents is None else latents[:, :, keys],
        )


def make_example(
    frames: Float[Tensor, "f c h w"],
    caption: str,
    temporal_factor: int,
    settings: AugmentSettings,
    generator: Generator,
    *,
    enlarging: Enlarging = "bilinear",
) -> Example:
    """Return a training example from high-quality frames in [0, 1], keeping every `temporal_factor`-th as key."""
    wants_low_quality = happens(settings.low_quality_share, generator)
    target = low_quality(frames, generator) if wants_low_quality else frames
    factor = draw_downscale_factor(settings, generator)
    kernel = settings.downscale_kernels[draw_integer(0, len(settings.downscale_kernels) - 1, generator)]
    noise_augmentation = draw_noise_augmentation(settings, generator)

    small = downscale(frames[::temporal_factor], factor, kernel)
    strength = noise_augmentation / MOST_NOISE if settings.damage_follows_noise else draw_uniform(generator)
    if happens(settings.unstable_share, generator) and strength:
        small = destabilise(small, strength, generator)
    if happens(settings.degraded_share, generator) and strength:
        small = damage(small, strength, generator)
    height, width = frames.shape[-2:]
    key_frames = resize(eight_bits(small), height, width, enlarging)

    quality = settings.low_quality_caption if wants_low_quality else settings.high_quality_suffix
    prompt = ", ".join(part for part in (caption, quality) if part)
    mask = torch.zeros(len(frames), dtype=torch.bool)
    mask[::temporal_factor] = True
    return Example(
        target=target.movedim(0, 1) * 2 - 1,
        key_frames=key_frames.movedim(0, 1) * 2 - 1,
        key_frame_mask=mask,
        downscale_factor=torch.tensor(factor, dtype=torch.float32),
        noise_augmentation=torch.tensor(noise_augmentation),
        caption="" if happens(settings.prompt_dropout, generator) else prompt,
    )


def draw_temporal_factor(settings: AugmentSettings, generator: Generator) -> int:
    """Return m: key frames are every m-th frame."""
    return settings.temporal_factors[draw_weighted(settings.temporal_weights, generator)]


def draw_downscale_factor(settings: AugmentSettings, generator: Generator) -> float:
    """Return s: one of the factors in focus for their share of the clips, else anything in the range."""
    if happens(settings.downscale_focus_share, generator):
        return settings.downscale_focus[draw_weighted(settings.downscale_focus_weights, generator)]
    return draw_between(*settings.downscale_range, settings.downscale_law, generator)


def draw_noise_augmentation(settings: AugmentSettings, generator: Generator) -> int:
    """Return t': 0 for the share of clips that stay clean, else a number of timesteps."""
    if happens(settings.clean_key_frames, generator):
        return 0
    low, high = settings.noise_augmentation_range
    return min(high, int(draw_between(low, high + 1, settings.noise_augmentation_law, generator)))


def draw_between(low: float, high: float, law: Law, generator: Generator) -> float:
    """Return a number in [low, high), itself or its logarithm uniform."""
    share = draw_uniform(generator)
    return low * math.exp(share * math.log(high / low)) if law == "log" else low + share * (high - low)


def draw_weighted(weights: tuple[float, ...], generator: Generator) -> int:
    """Return an index, drawn in proportion to its weight."""
    return int(torch.multinomial(torch.tensor(weights), 1, generator=generator))


def downscale(frames: Float[Tensor, "f c h w"], factor: float, kernel: DownscaleKernel) -> Float[Tensor, "f c h2 w2"]:
    """Return frames in [0, 1] at 1 / factor of their size, anti-aliased."""
    height, width = (max(2, round(side / factor)) for side in frames.shape[-2:])
    if kernel == "area":
        return F.interpolate(frames, size=(height, width), mode="area")
    return F.interpolate(frames, size=(height, width), mode=kernel, antialias=True).clamp(0, 1)


def low_quality(frames: Float[Tensor, "f c h w"], generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames of low quality: blurred and compressed hard."""
    blurred = gaussian_blur(frames, 1.0 + 1.5 * draw_uniform(generator))
    return through_codec(eight_bits(blurred), draw_integer(12, 24, generator))
