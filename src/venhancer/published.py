"""The published program, number for number: all that `--published` changes, and nothing else.

The authors' two releases lay out sizes, times, windows and tiles in their own way, draw from the autoencoder's
posterior, pad with white, and start and round differently: the published results were made so. Tests hold every
function here to tables recorded from both. No torch: tensors come from the pipeline.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from venhancer.errors import SettingsError
from venhancer.model_files.traits import ModelTraits, SamplingDefaults
from venhancer.settings import DEFAULT_SCALE, EnhanceSettings
from venhancer.windows import Tile, rising_weights

if TYPE_CHECKING:
    from torch import Tensor  # named, not loaded

PIXELS_PER_LATENT = 8
GRID, ABOVE_GRID = 64, 16  # pixels: padded widths are multiples of the one, padded heights the other more
WHITE = 1.0
FAST_STEPS = 14  # evaluations of the mode that is called "fast, 15 steps"
WINDOW, OVERLAP = 32, 16  # frames at once from v2 on, and what two windows share
DECODE_WINDOW, DECODE_OVERLAP = 5, 2
MOST_TOKENS = 77  # of a prompt; the rest is cut off
REST = 1.33  # of a window: a rest up to this long is left to the last window
FEATHER = 0.02  # variance of a decode tile's weights, of its side squared
AREAS = (720 * 1280 * 1.5, 1152 * 2048)  # of v2's pictures, least and most
TOLD_FACTOR = 8.0  # the downscaling that v2 tells its network, whatever it is


_SAMPLING: Mapping[str, Any] = {
    "solver": "dpmpp_2m_sde",
    "penultimate": "drop",
    "guidance_scale": 7.5,
    "guidance_rescale": 0.2,
    "guidance_from": 999,
    "guidance_until": 0,
    "feature_reuse": 0.0,
    "noise_augmentation": 200,
    "start_timestep": 899,
    "start_noise": 1.0,
    "posterior": "sample",
    "window_frames": WINDOW,
    "window_overlap": OVERLAP,
    "window_fade": "published",
    "color_fix": "none",
}
_REFUSED = (
    "size",
    "slow",
    "tile",
    "downscale_factor",
    "guidance_from",
    "guidance_until",
    "feature_reuse",
    "penultimate",
    "start_noise",
    "posterior",
    "window_frames",
    "window_overlap",
    "window_fade",
    "color_fix",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of the two releases.

    Args:
        release: "v1" or "v2".
        height: least height of the pictures that the networks see, in pixels; v1 enlarges to it.
        width: least width of them.
        tile: rows and columns of latents that v2 decodes at once.
        most_frames: of an output; v1 leaves out the rest.
        most_between: frames between two input frames.
        sampling: how it samples, regardless of the model's own defaults.
        refused: settings it leaves no choice of.
    """

    release: str
    height: int = 720
    width: int = 1280
    tile: tuple[int, int] = (72, 128)
    most_frames: int | None = None
    most_between: int | None = None
    sampling: Mapping[str, Any]
    refused: tuple[str, ...]

    # Before any work: used by the plan.

    def refuse(self, settings: EnhanceSettings) -> None:
        """Refuse settings that contradict the program.

        Raises:
            SettingsError: naming the first of them.
        """
        for name in self.refused:
            value, own = getattr(settings, name), {**self.sampling, "slow": 1}.get(name)
            if value not in (None, own):
                raise _contradiction(name, value, "it has no such choice" if own is None else f"it uses {own}")
        if settings.solver not in (None, "dpmpp_2m_sde", "heun"):
            raise _contradiction("solver", settings.solver, "it has only dpmpp_2m_sde and heun")
        if settings.noise_augmentation == 0:
            raise _contradiction("noise_augmentation", 0, "it turns 0 into pure noise; pass 1 to 300")
        is_fast = (settings.timetable or self.sampling["timetable"]) == "fast"
        if is_fast and settings.steps not in (None, FAST_STEPS):
            raise _contradiction("steps", settings.steps, f"its fast timetable has {FAST_STEPS} steps")

    def sampled(self, defaults: SamplingDefaults) -> SamplingDefaults:
        """Return a model's sampling defaults as the program has them."""
        return replace(defaults, **self.sampling)

    def size(self, height: int, width: int, scale: float | None) -> tuple[int, int, float]:
        """Return height and width of the output, and the enlargement they come from.

        v1 enlarges what would be too low, v2 keeps the area within bounds; both cut off fractions.

        Raises:
            SettingsError: a side would be odd, which video cannot store; the program fails there after its work.
        """
        requested = factor = DEFAULT_SCALE if scale is None else scale
        if self.release == "v1":
            factor = max(factor, self.height / height)
            enlarged = int(height * factor), int(width * factor)
        else:
            area, (least, most) = height * width * factor**2, AREAS
            if not least <= area <= most:
                factor = math.sqrt((least if area < least else most) / (height * width))
            enlarged = int(height * factor) // 2 * 2, int(width * factor) // 2 * 2
        if enlarged[0] % 2 or enlarged[1] % 2:
            raise SettingsError(
                f"scale {requested:g} makes {enlarged[1]}x{enlarged[0]} in the published program, which video cannot "
                f"store; pass another --scale, or omit --published"
            )
        return *enlarged, factor

    def told_factor(self, height: int, width: int, scale: float | None) -> float:
        """Return the downscaling that the network assumes."""
        return float(int(self.size(height, width, scale)[2])) if self.release == "v1" else TOLD_FACTOR

    def join_prompt(self, prompt: str, suffix: str) -> str:
        """Return the prompt with its suffix, nothing between them."""
        return prompt + suffix

    def padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the white pixels put left, right, above and below: around what is small, else right and below."""
        return *_padding(width, self.width, 0), *_padding(height, self.height, ABOVE_GRID)

    def frames_between(self, input_rate: Fraction, rate: Fraction | None, inputs: int) -> int:
        """Return how many frames are made between two of so many input frames, halves rounded to even.

        Raises:
            SettingsError: v1 would leave out the end of the clip.
        """
        between = 0 if rate is None else max(round(float(rate) / float(input_rate)) - 1, 0)
        between = between if self.most_between is None else min(between, self.most_between)
        frames, most = (inputs - 1) * (between + 1) + 1, self.most_frames
        if most is not None and frames > most:
            raise SettingsError(
                f"{inputs} input frames make {frames} output frames; the published {self.release} program makes up to "
                f"{most}: pass an earlier --end, or omit --published"
            )
        return between

    def windows(self, frames: int, between: int) -> tuple[range, ...]:
        """Return the windows of an output, which start on key frames; v1 has one."""
        if self.release == "v1" or frames <= WINDOW:
            return (range(frames),)
        gap = between + 1
        length, overlap = ((most - 1) // gap * gap + 1 for most in (WINDOW, OVERLAP))
        return _spans(frames, length, overlap)

    # At work: used by the pipeline.

    def enlargement(self, height: int, width: int, scale: float | None) -> float | None:
        """Return the enlargement that pixels are placed by; None where it follows from the sizes, as in v2."""
        return self.size(height, width, scale)[2] if self.release == "v1" else None

    def pad(self, picture: "Tensor", left: int, right: int, above: int, below: int) -> "Tensor":
        """Return a picture `3 h w` with white around it."""
        channels, height, width = picture.shape
        padded = picture.new_full((channels, above + height + below, left + width + right), WHITE)
        padded[:, above : above + height, left : left + width] = picture
        return padded

    def fades(self, windows: Sequence[range]) -> tuple[np.ndarray, ...]:
        """Return each window's weights: every window is laid over all before it, from 0 on, linearly."""
        weights = tuple(np.ones(len(window)) for window in windows)
        for number, (earlier, later) in enumerate(pairwise(windows)):
            shared = earlier.stop - later.start
            rising = rising_weights(shared, "published")
            weights[number + 1][:shared] = rising
            for window, weight in zip(windows[: number + 1], weights[: number + 1], strict=True):
                overlap = max(window.stop - later.start, 0)
                weight[len(window) - overlap :] *= 1 - rising[:overlap]
        return weights

    def start(self, noisy: "Tensor", sigma: float) -> "Tensor":
        """Return what the solver starts from: the noisy latents times `sigma`, not divided by their alpha."""
        return noisy if math.isinf(sigma) else noisy * sigma

    def decoding(self, rows: int, columns: int, frames: int) -> dict[str, Any]:
        """Return how latents are decoded, as options of the autoencoder's `decode_each`."""
        if self.release == "v1":
            return {}
        down, across = (
            _spans(total, side, side // share)
            for total, side, share in zip((rows, columns), self.tile, (6, 5), strict=True)
        )
        tiles = [Tile(above, beside) for above in down for beside in across]
        windows = _spans(frames, DECODE_WINDOW, DECODE_OVERLAP)
        return {"tiles": tiles, "feathers": feathers(tiles), "windows": windows, "fade": "published"}

    def whole(self, levels: "Tensor") -> "Tensor":
        """Return levels as whole numbers: cut off, not rounded."""
        return levels.floor()


PROGRAMS = {
    "v1": Program(
        release="v1",
        most_frames=48,
        sampling=_SAMPLING | {"steps": 50, "timetable": "trailing", "window_frames": 48, "window_overlap": 0},
        refused=(*_REFUSED, "timetable"),
    ),
    "v2": Program(
        release="v2",
        most_between=8,
        sampling=_SAMPLING | {"steps": FAST_STEPS, "timetable": "fast", "start_timestep": 899},
        refused=(*_REFUSED, "start_timestep"),
    ),
}


def program_of(settings: EnhanceSettings, traits: ModelTraits) -> Program | None:
    """Return the program to follow; None without `published`.

    Raises:
        SettingsError: the model is none of the published kinds, or a setting contradicts the program.
    """
    if not settings.published:
        return None
    if traits.release is None:
        raise SettingsError(f"model {traits.name} has no published program; pass --model v1 or v2, or omit --published")
    program = PROGRAMS[traits.release]
    program.refuse(settings)
    return program


def feathers(tiles: Sequence[Tile]) -> tuple[np.ndarray, ...]:
    """Return the weights of decoded tiles, one a pixel: bell-shaped, 1 in all at every pixel."""
    bells = [
        np.outer(
            bell(len(tile.rows) * PIXELS_PER_LATENT, len(tile.rows) * PIXELS_PER_LATENT / 2),
            bell(len(tile.columns) * PIXELS_PER_LATENT, (len(tile.columns) * PIXELS_PER_LATENT - 1) / 2),
        )
        for tile in tiles
    ]
    rows, columns = (PIXELS_PER_LATENT * max(side.stop for side in sides) for sides in zip(*tiles, strict=True))
    total = np.zeros((rows, columns))
    for tile, weights in zip(tiles, bells, strict=True):
        total[tile.of(PIXELS_PER_LATENT)] += weights
    return tuple(weights / total[tile.of(PIXELS_PER_LATENT)] for tile, weights in zip(tiles, bells, strict=True))


def bell(size: int, middle: float) -> np.ndarray:
    """Return a normal density along a side; the program's middle of rows is half a pixel below that of columns."""
    distance = (np.arange(size) - middle) / size
    return np.exp(-(distance**2) / (2 * FEATHER)) / math.sqrt(2 * math.pi * FEATHER)


def _spans(total: int, length: int, overlap: int) -> tuple[range, ...]:
    """Return windows of one length that share so much; a short rest is left to the last."""
    spans, first = [], 0
    while first + max(round(REST * length), length) < total:
        spans.append(range(first, first + length))
        first += length - overlap
    return (*spans, range(first, total))


def _padding(size: int, least: int, above_grid: int) -> tuple[int, int]:
    """Return the padding before and after a side: to `least`, or else to the next grid line after it."""
    if size <= least:
        return (least - size) // 2, least - size - (least - size) // 2
    return 0, GRID - (size - above_grid) % GRID


def _contradiction(name: str, value: object, reason: str) -> SettingsError:
    text = "x".join(map(str, value)) if isinstance(value, tuple) else value
    flag = name.replace("_", "-")
    return SettingsError(f"{name} {text} is not in the published program: {reason}; omit --{flag} or --published")
