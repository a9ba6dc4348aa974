"""What happens to video before a user brings it: pure functions of pixels, a strength and a generator.

*Real-world damage* is what cameras, encoders and web sites do: blur, sensor noise, JPEG, a video codec, resizes back
and forth (beyond the paper, after Wang et al. 2021, Real-ESRGAN). *Instability* is what generated video suffers from:
light and colour that flicker, detail that shimmers from frame to frame, and ghosts of the frame before. A strength of
0 does nothing, 1 is the worst.
"""

import io
from fractions import Fraction

import av
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Generator, Tensor

JPEG_QUALITY = (25, 95)
QUANTISER = (2, 14)
"""Range of the video codec's quantiser, 1 (fine) to 31 (coarse)."""


def damage(frames: Float[Tensor, "f c h w"], strength: float, generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames in [0, 1] after blur, resizes, noise and one or two kinds of compression, half of them each."""
    if happens(0.5, generator):
        frames = gaussian_blur(frames, 0.2 + 1.2 * strength * draw_uniform(generator))
    if happens(0.3, generator):
        frames = there_and_back(frames, 1 + 0.7 * strength * draw_uniform(generator))
    if happens(0.5, generator):
        frames = sensor_noise(frames, 0.05 * strength * draw_uniform(generator), generator)
    frames = eight_bits(frames)
    if happens(0.3, generator):
        finest, coarsest = JPEG_QUALITY[1], JPEG_QUALITY[1] - strength * (JPEG_QUALITY[1] - JPEG_QUALITY[0])
        frames = through_jpeg(frames, draw_integer(round(coarsest), finest, generator))
    if happens(0.6, generator):
        coarsest = QUANTISER[0] + strength * (QUANTISER[1] - QUANTISER[0])
        frames = through_codec(frames, draw_integer(QUANTISER[0], round(coarsest), generator))
    return frames


def destabilise(frames: Float[Tensor, "f c h w"], strength: float, generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames in [0, 1] whose light and colour flicker, whose detail shimmers and boils and that carry ghosts."""
    count, channels, height, width = frames.shape
    light = 1 + 0.06 * strength * torch.randn(count, 1, 1, 1, generator=generator)
    tint = 0.02 * strength * torch.randn(count, channels, 1, 1, generator=generator)
    patches = F.interpolate(torch.randn(count, 1, 4, 4, generator=generator), (height, width), mode="bicubic")
    unstable = frames * (light + 0.04 * strength * patches) + tint
    if happens(0.7, generator):
        unstable = shimmer(unstable, strength, generator)
    if happens(0.5, generator):
        unstable = wobble(unstable, 0.8 * strength, generator)
    if happens(0.4, generator):
        share = 0.4 * strength * torch.rand(count, 1, 1, 1, generator=generator)
        unstable = torch.lerp(unstable, unstable[[0, *range(count - 1)]], share)
    return unstable.clamp(0, 1)


def shimmer(frames: Float[Tensor, "f c h w"], strength: float, generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames whose fine detail is now stronger, now weaker, in places that change with every frame."""
    count, _, height, width = frames.shape
    detail = frames - gaussian_blur(frames, 1.2)
    cells = torch.randn(count, 1, max(2, height // 4), max(2, width // 4), generator=generator)
    gain = 1 + 0.8 * strength * F.interpolate(cells, (height, width), mode="bilinear")
    return frames - detail + detail * gain


def wobble(frames: Float[Tensor, "f c h w"], deviation: float, generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames warped by `deviation` pixels, smoothly in space and differently in every frame."""
    count, _, height, width = frames.shape
    cells = torch.randn(count, 2, max(2, height // 12), max(2, width // 12), generator=generator)
    shifts = deviation * F.interpolate(cells, (height, width), mode="bicubic").movedim(1, -1)
    rows, columns = ((torch.arange(side) * 2 + 1) / side - 1 for side in (height, width))
    places = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=-1)
    sources = places + shifts * torch.tensor([2 / width, 2 / height])
    return F.grid_sample(frames, sources, mode="bilinear", padding_mode="border", align_corners=False)


def there_and_back(frames: Float[Tensor, "f c h w"], factor: float) -> Float[Tensor, "f c h w"]:
    """Return frames made smaller by `factor` and brought back to their size."""
    height, width = frames.shape[-2:]
    small = (max(2, round(height / factor)), max(2, round(width / factor)))
    shrunk = F.interpolate(frames, small, mode="bilinear", antialias=True)
    return F.interpolate(shrunk, (height, width), mode="bicubic").clamp(0, 1)


def sensor_noise(frames: Float[Tensor, "f c h w"], deviation: float, generator: Generator) -> Float[Tensor, "f c h w"]:
    """Return frames with independent Gaussian noise in every frame."""
    return (frames + deviation * torch.randn(frames.shape, generator=generator)).clamp(0, 1)


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


def through_jpeg(frames: Float[Tensor, "f c h w"], quality: int) -> Float[Tensor, "f c h w"]:
    """Return eight-bit frames after JPEG, each on its own.

    Args:
        frames: pictures in [0, 1].
        quality: 1 (worst) to 95 (best).
    """
    decoded = []
    for picture in _to_bytes(frames):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    return from_bytes(np.stack(decoded))


def through_codec(frames: Float[Tensor, "f c h w"], quantiser: int) -> Float[Tensor, "f c h w"]:
    """Return eight-bit frames after MPEG-4 at a fixed quantiser: blocks, ringing and lost chroma included.

    This codec, because H.264's usual encoder does not give the same bytes twice for pictures this small.

    Args:
        frames: pictures in [0, 1].
        quantiser: 1 (fine) to 31 (coarse).
    """
    height, width = frames.shape[-2:]
    pictures = _to_bytes(F.pad(frames, (0, width % 2, 0, height % 2), mode="replicate"))
    encoder = av.CodecContext.create("mpeg4", "w")
    encoder.width, encoder.height = pictures.shape[2], pictures.shape[1]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 24)
    encoder.options = {"qmin": str(quantiser), "qmax": str(quantiser), "flags": "+bitexact", "threads": "1"}
    decoder = av.CodecContext.create("mpeg4", "r")
    decoder.thread_count = 1
    packets = []
    for index, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts = index
        packets.extend(encoder.encode(frame))
    packets.extend(encoder.encode(None))
    decoded = [frame for packet in packets for frame in decoder.decode(packet)]
    decoded.extend(decoder.decode(None))
    return from_bytes(np.stack([frame.to_ndarray(format="rgb24") for frame in decoded]))[:, :, :height, :width]


def draw_uniform(generator: Generator) -> float:
    """Return a number in [0, 1)."""
    return float(torch.rand((), generator=generator))


def draw_integer(low: int, high: int, generator: Generator) -> int:
    """Return a whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def happens(share: float, generator: Generator) -> bool:
    """Return True in this share of all calls."""
    return draw_uniform(generator) < share


def _to_bytes(frames: Float[Tensor, "f c h w"]) -> np.ndarray:
    pixels = (frames * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(pixels.movedim(1, -1).numpy())


def from_bytes(pictures: np.ndarray) -> Float[Tensor, "f c h w"]:
    """Return eight-bit pictures, channels last, as frames in [0, 1]."""
    return torch.from_numpy(pictures).movedim(-1, 1).float() / 255
