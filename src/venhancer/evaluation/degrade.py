"""Low-quality inputs from good clips, for evaluation: exactly repeatable, unlike what training draws at random."""

import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from venhancer.errors import SettingsError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

Kernel = Literal["area", "bicubic", "bilinear", "lanczos"]
Resampling = Literal["bicubic", "bilinear", "lanczos"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Degradation:
    """How an input is made of a good clip, in this order: frames left out, made smaller, noise, compression.

    Args:
        scale: whole number both sides are divided by.
        factor: every so many-th frame is kept.
        kernel: see `degrade`.
        noise: spread of the Gaussian noise on every channel, in levels of 255; 0 for none.
        crf: H.264 quality, 0 to 51; None for no compression.
        seed: of the noise.
    """

    scale: int
    factor: int
    kernel: Kernel = "bicubic"
    noise: float = 0.0
    crf: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= 8 or not 1 <= self.factor <= 8:
            factors = f"scale {self.scale} and temporal factor {self.factor}"
            raise SettingsError(f"{factors} must both be whole numbers from 1 to 8")
        if self.kernel not in get_args(Kernel):
            raise SettingsError(f"kernel {self.kernel} is unknown; choose {', '.join(get_args(Kernel))}")
        if not 0 <= self.noise <= 100:
            raise SettingsError(f"noise {self.noise:g} is out of bounds; pass 0 to 100 levels")
        if self.crf is not None and not 0 <= self.crf <= 51:
            raise SettingsError(f"crf {self.crf} is out of bounds; pass 0 (lossless) to 51")

    @property
    def changes_anything(self) -> bool:
        """Whether the input differs from the clip at all."""
        return (self.scale, self.factor, self.noise, self.crf) != (1, 1, 0.0, None)

    def apply(self, clip: UInt8[np.ndarray, "f h w 3"]) -> UInt8[np.ndarray, "k h2 w2 3"]:
        """Return the input made of a clip.

        Raises:
            ValueError: size or number of frames do not divide; see `degrade`.
        """
        frames = degrade(clip, scale=self.scale, keep_every=self.factor, kernel=self.kernel)
        if self.noise:
            noise = np.random.default_rng(self.seed).normal(0, self.noise, frames.shape)
            frames = (frames + noise).round().clip(0, 255).astype(np.uint8)
        return frames if self.crf is None else compress(frames, self.crf)


def degrade(
    clip: UInt8[np.ndarray, "f h w 3"], *, scale: int, keep_every: int, kernel: Kernel = "bicubic"
) -> UInt8[np.ndarray, "k h2 w2 3"]:
    """Return every `keep_every`-th frame of a clip, `scale` times smaller.

    The last frame is kept too, so that every frame left out lies between two that are kept.

    Args:
        clip: the reference, RGB.
        scale: whole number both sides are divided by.
        keep_every: distance of the frames kept.
        kernel: "area" averages squares of pixels; the others are Pillow's, widened by `scale` against aliasing;
            "bicubic" (a = -0.5) is the usual degradation of super-resolution benchmarks.

    Raises:
        ValueError: a side is no multiple of `scale`, or the number of frames is not one more than a multiple of
            `keep_every`.
    """
    frames, height, width, _ = clip.shape
    if height % scale or width % scale:
        raise ValueError(f"clip of {width}x{height} cannot be divided by {scale}; crop it first")
    if (frames - 1) % keep_every:
        raise ValueError(f"clip of {frames} frames must have a multiple of {keep_every} plus one; cut it first")
    sample = clip[::keep_every]
    if scale == 1:
        return sample
    if kernel == "area":
        squares = sample.reshape(len(sample), height // scale, scale, width // scale, scale, 3)
        return (squares.mean(axis=(2, 4)) + 0.5).astype(np.uint8)
    return resize(sample, height // scale, width // scale, kernel)


def resize(
    frames: UInt8[np.ndarray, "f h w 3"], height: int, width: int, kernel: Resampling
) -> UInt8[np.ndarray, "f h2 w2 3"]:
    """Return frames resized with Pillow, which widens its kernels against aliasing when shrinking."""
    if frames.shape[1:3] == (height, width):
        return frames
    kernels = Image.Resampling
    resampling = {"bicubic": kernels.BICUBIC, "bilinear": kernels.BILINEAR, "lanczos": kernels.LANCZOS}[kernel]
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height), resampling)) for frame in frames])


def enlarge_and_hold(
    key_frames: UInt8[np.ndarray, "k h w 3"], height: int, width: int, factor: int
) -> UInt8[np.ndarray, "f h2 w2 3"]:
    """Return key frames at another size, bicubic, each shown `factor` times."""
    large = resize(key_frames, height, width, "bicubic")
    return large if factor == 1 else np.repeat(large, factor, axis=0)


def compress(frames: UInt8[np.ndarray, "k h w 3"], crf: int) -> UInt8[np.ndarray, "k h w 3"]:
    """Return frames after H.264 in 8-bit 4:2:0.

    Raises:
        ValueError: a side is odd.
    """
    _, height, width, _ = frames.shape
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compressed.mp4"
        writing = Writing(width=width, height=height, rate=Fraction(8), crf=crf)
        write_video(file, iter(frames), writing, sound_from=None)
        return np.stack(list(read_frames(probe(file))))
