"""Space-time augmentation: a high-quality clip and a generator give one training example (VEnhancer, sec. 3.3).

Everything is a pure function of pixels and a generator, so an example can be made again anywhere. The low-quality side
is what a user would bring: fewer frames, fewer pixels, eight bits, sometimes blur, noise and a video codec's marks.
"""

from fractions import Fraction
from typing import NamedTuple, Self

import av
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from venhancer.training.settings import AugmentSettings


class Example(NamedTuple):
    """One training example, or a batch of them with a leading axis.

    Args:
        target: the high-quality frames, in [-1, 1].
        key_frames: the low-quality key frames, brought back to full size, in [-1, 1].
        key_frame_mask: which frames are key frames.
        downscale_factor: how much smaller the low-quality side was.
        noise_augmentation: 0..300, see `make_conditions`.
        caption: what the prompt says.
    """

    target: Float[Tensor, "*b c f h w"]
    key_frames: Float[Tensor, "*b c k h w"]
    key_frame_mask: Bool[Tensor, "*b f"]
    downscale_factor: Float[Tensor, "*b"]
    noise_augmentation: Tensor
    caption: str | list[str]

    def to(self, device: torch.device) -> Self:
        """Return the example on another device."""
        tensors = {name: value.to(device) for name, value in self._asdict().items() if isinstance(value, Tensor)}
        return self._replace(**tensors)


def make_example(
    frames: Float[Tensor, "f c h w"],
    caption: str,
    temporal_factor: int,
    settings: AugmentSettings,
    generator: Generator,
) -> Example:
    """Return a training example from high-quality frames in [0, 1], keeping every `temporal_factor`-th as key."""
    wants_low_quality = _happens(settings.low_quality_share, generator)
    target = low_quality(frames, generator) if wants_low_quality else frames
    factor = draw_downscale_factor(settings, generator)
    small = downscale(frames[::temporal_factor], factor, generator)
    if _happens(settings.blur_noise_share, generator):
        small = blur_and_noise(small, generator)
    small = eight_bits(small)
    if _happens(settings.codec_share, generator):
        small = through_codec(small, draw_integer(*settings.codec_quantiser, generator))
    key_frames = F.interpolate(small, size=frames.shape[-2:], mode="bilinear", align_corners=False)

    clean = _happens(settings.clean_key_frames, generator) or settings.noise_augmentation_max == 0
    noise_augmentation = 0 if clean else draw_integer(1, settings.noise_augmentation_max, generator)
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
        caption="" if _happens(settings.prompt_dropout, generator) else prompt,
    )


def draw_temporal_factor(settings: AugmentSettings, generator: Generator) -> int:
    """Return m: key frames are every m-th frame."""
    weights = torch.tensor(settings.temporal_weights)
    return settings.temporal_factors[int(torch.multinomial(weights, 1, generator=generator))]


def draw_downscale_factor(settings: AugmentSettings, generator: Generator) -> float:
    """Return s, uniform over its range but for the share of clips that take the factor in focus."""
    low, high = settings.downscale_range
    if _happens(settings.downscale_focus, generator):
        return settings.downscale_focus_at
    return low + (high - low) * draw_uniform(generator)


def downscale(frames: Float[Tensor, "f c h w"], factor: float, generator: Generator) -> Float[Tensor, "f c h2 w2"]:
    """Return frames at 1 / factor of their size, anti-aliased, by one of three kernels for the whole clip."""
    height, width = (max(2, round(side / factor)) for side in frames.shape[-2:])
    kernel = ("area", "bicubic", "bilinear")[draw_integer(0, 2, generator)]
    if kernel == "area":
        return F.interpolate(frames, size=(height, width), mode="area")
    return F.interpolate(frames, size=(height, width), mode=kernel, antialias=True).clamp(0, 1)


def blur_and_noise(frames: Float[Tensor, "f c h w"], generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames with one Gaussian blur and one strength of sensor noise for the whole clip."""
    blurred = gaussian_blur(frames, 0.2 + 0.8 * draw_uniform(generator))
    strength = 0.03 * draw_uniform(generator)
    return (blurred + strength * torch.randn(frames.shape, generator=generator)).clamp(0, 1)


def low_quality(frames: Float[Tensor, "f c h w"], generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return what nobody wants: the frames blurred and compressed hard."""
    blurred = gaussian_blur(frames, 1.0 + 1.5 * draw_uniform(generator))
    return through_codec(eight_bits(blurred), draw_integer(12, 24, generator))


def gaussian_blur(frames: Float[Tensor, "f c h w"], deviation: float) -> Float[Tensor, "f c h w"]:
    """Return frames blurred by a Gaussian of `deviation` pixels, edges extended."""
    radius = max(1, round(3 * deviation))
    offsets = torch.arange(-radius, radius + 1, dtype=frames.dtype)
    kernel = torch.exp(-0.5 * (offsets / deviation) ** 2)
    kernel = (kernel / kernel.sum()).expand(frames.shape[1], 1, 1, -1)
    across = F.conv2d(F.pad(frames, (radius, radius, 0, 0), mode="replicate"), kernel, groups=frames.shape[1])
    down = F.pad(across, (0, 0, radius, radius), mode="replicate")
    return F.conv2d(down, kernel.transpose(2, 3), groups=frames.shape[1])


def eight_bits(frames: Float[Tensor, "f c h w"]) -> Float[Tensor, "f c h w"]:
    """Return frames in [0, 1] rounded to 256 levels."""
    return (frames * 255).round().clamp(0, 255) / 255


def through_codec(frames: Float[Tensor, "f c h w"], quantiser: int) -> Float[Tensor, "f c h w"]:
    """Return eight-bit frames after MPEG-4 at a fixed quantiser: blocks, ringing and lost chroma included.

    This codec, because H.264's usual encoder does not give the same bytes twice for pictures this small.

    Args:
        frames: pictures in [0, 1].
        quantiser: 1 (fine) to 31 (coarse).
    """
    height, width = frames.shape[-2:]
    even = F.pad(frames, (0, width % 2, 0, height % 2), mode="replicate")
    pictures = (even * 255).round().to(torch.uint8).movedim(1, -1).contiguous().numpy()
    encoder = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height = pictures.shape[2], pictures.shape[1]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 24)
    encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser), "flags": "+bitexact", "threads": "1"}
    decoder = av.CodecContext.create("mpeg4", "r")
    decoder.thread_count = 1
    packets = []
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = index
        packets.extend(encoder.encode(frame))
    packets.extend(encoder.encode(None))
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded.extend(decoder.decode(None))
    back = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return torch.from_numpy(back).movedim(-1, 1)[:, :, :height, :width].float() / 255


def draw_uniform(generator: Generator) -> float:
    """Return a number in [0, 1)."""
    return float(torch.rand((), generator=generator))


def draw_integer(low: int, high: int, generator: Generator) -> int:
    """Return a whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def _happens(share: float, generator: Generator) -> bool:
    return draw_uniform(generator) < share
