"""From a network that predicts v to a `denoise(x, sigma)` that a solver can walk with, in wrappers.

The pipeline binds the conditions of a window to its networks and composes, innermost first:

    predict = partial(predict_velocities, networks, key_frames)           # x_t, timesteps, prompts -> one v a prompt
    predict_v = Guided(predict, prompt, negative_prompt, guidance_scale=7.5, guidance_rescale=0.2)
    denoise = Denoiser(predict_v, schedule, dtype=unet.dtype)            # x, sigma -> x0

and `divided` makes one such `denoise` per tile and window, once a segment, under `Tiled` and `Windowed`; `Continued`
joins the parts of a clip that is longer than memory. Guidance acts on v, whose spread the rescale is defined on, inside
a window; only x0 is blended. That order is the published one. Networks see their own dtype; all else is float32.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from venhancer.diffusion.schedule import Schedule, noisy_from_solver
from venhancer.progress import SILENT, Progress
from venhancer.windows import Tile

Latents: TypeAlias = Float[Tensor, "b c f h w"]
Timesteps: TypeAlias = Int64[Tensor, "b"]
Prompt = TypeVar("Prompt")

Denoise: TypeAlias = Callable[[Latents, float], Latents]
"""Return x0 for a solver's x = x0 + sigma * eps at noise level sigma; at infinite sigma, x is the noise itself."""

OnStep: TypeAlias = Callable[[int, float, Latents], Latents]
"""Given the number of an evaluation, its timestep and x0, returns the x0 to go on with."""

Each: TypeAlias = Callable[[Callable[[Any], Latents], Sequence[Any]], Iterable[Latents]]
"""Apply a function to every item, as `map` does, and return the results in order."""

PredictV: TypeAlias = Callable[[Latents, Timesteps], Latents]
"""Return v for noisy latents x_t at whole timesteps."""


@dataclass(frozen=True, slots=True)
class Guided(Generic[Prompt]):
    """Steer v from what the negative prompt gives to what the prompt gives (classifier-free guidance).

    A guidance scale of exactly 1 asks for the prompt alone: one branch, no rescale.

    Attributes:
        predict: Returns one v for each prompt of a sequence, so that a network may run both as a batch and share what
            does not depend on the text. Prompts are passed on unseen.
        prompt: Where to go, as `predict` wants it.
        negative_prompt: What to go away from.
        guidance_scale: 1 for no guidance; above, further away from the negative prompt.
        guidance_rescale: 0 keeps the guided v; 1 gives it the spread of the prompt's v, which guidance inflates (Lin et
            al. 2024, eq. 16), one factor a sample over channels, frames and pixels.
    """

    predict: Callable[[Latents, Timesteps, Sequence[Prompt]], Sequence[Latents]]
    prompt: Prompt
    negative_prompt: Prompt
    _: KW_ONLY
    guidance_scale: float
    guidance_rescale: float

    def __call__(self, x_t: Latents, timesteps: Timesteps) -> Latents:
        """Return the guided v in float32: itself a `PredictV`."""
        if self.guidance_scale == 1:
            (prompted,) = self.predict(x_t, timesteps, [self.prompt])
            return prompted.float()
        prompted, unprompted = self.predict(x_t, timesteps, [self.prompt, self.negative_prompt])
        prompted, unprompted = prompted.float(), unprompted.float()
        guided = unprompted + self.guidance_scale * (prompted - unprompted)
        if self.guidance_rescale == 0:
            return guided
        shrink = prompted.std(dim=(1, 2, 3, 4), keepdim=True) / guided.std(dim=(1, 2, 3, 4), keepdim=True)
        return guided * (self.guidance_rescale * shrink + (1 - self.guidance_rescale))


@dataclass(frozen=True, slots=True)
class Denoiser:
    """Turn a prediction of v into a `Denoise`: scale, cast, predict, convert.

    The network knows whole timesteps only: it gets the nearest one, and v is read with that one's coefficients,
    while the solver continues with the exact sigma. The published program does the same; the two are at most 1 % apart.

    Attributes:
        predict_v: The network with its conditions bound, guided or not.
        schedule: The one the network was trained with.
        dtype: What `predict_v` wants x_t in.
    """

    predict_v: PredictV
    schedule: Schedule
    _: KW_ONLY
    dtype: torch.dtype = torch.float32

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Return x0 in float32."""
        timestep = self.schedule.nearest_timestep(sigma)
        timesteps = torch.full((x.shape[0],), timestep, dtype=torch.int64, device=x.device)
        x_t = noisy_from_solver(x, sigma)
        v = self.predict_v(x_t.to(self.dtype), timesteps)
        return self.schedule.x0_from_v(v.float(), x_t, timestep)


def in_turn(denoisers: Iterable[Denoise]) -> Denoise:
    """Return a `denoise` whose every call goes to the next of some others: evaluations may differ in what they do."""
    turns = iter(denoisers)

    def evaluate(x: Latents, sigma: float) -> Latents:
        return next(turns)(x, sigma)

    return evaluate


@dataclass(frozen=True, slots=True)
class Windowed:
    """Denoise a clip as overlapping windows in time and blend their x0: itself a `Denoise`.

    The solver steps on the whole clip, so windows meet again at every step and stay one film.

    Attributes:
        denoise_window: Returns x0 of x cut to a window, at sigma, for that window: a range of frames of the clip, by
            which the conditions are to be cut too.
        windows: Ranges that together cover every frame.
        weights: For each window, one weight a frame. At every frame of the clip they sum to 1 over the windows, or to
            less where `Continued` adds the rest.
        each: How a function is applied to all windows: one after the other, or at once, on several devices.
    """

    denoise_window: Callable[[Latents, float, range], Latents]
    windows: Sequence[range]
    weights: Sequence[Float[Tensor, "_"] | Float[np.ndarray, "_"]]
    each: Each = map

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Return x0 of the whole clip."""
        blended = torch.zeros_like(x)
        parts = self.each(
            lambda window: self.denoise_window(x[:, :, window.start : window.stop], sigma, window), self.windows
        )
        for window, frame_weights, denoised in zip(self.windows, self.weights, parts, strict=True):
            weights = torch.as_tensor(frame_weights, dtype=x.dtype, device=x.device).view(-1, 1, 1)
            blended[:, :, window.start : window.stop] += weights * denoised
        return blended


@dataclass(frozen=True, slots=True)
class Tiled:
    """Denoise pictures as overlapping tiles and blend their x0: itself a `Denoise`.

    Attributes:
        denoise_tile: Returns x0 of x cut to a tile, at sigma, for that tile, by which the conditions are to be cut too.
        tiles: Rectangles that together cover every latent.
        weights: For each tile, one weight a latent; they sum to 1 over the tiles.
        each: How a function is applied to all tiles, as in `Windowed`.
    """

    denoise_tile: Callable[[Latents, float, Tile], Latents]
    tiles: Sequence[Tile]
    weights: Sequence[Float[Tensor, "_ _"] | Float[np.ndarray, "_ _"]]
    each: Each = map

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Return x0 of whole pictures."""
        if len(self.tiles) == 1:
            return self.denoise_tile(x, sigma, self.tiles[0])
        blended = torch.zeros_like(x)
        parts = self.each(lambda tile: self.denoise_tile(x[tile.of()], sigma, tile), self.tiles)
        for tile, tile_weights, denoised in zip(self.tiles, self.weights, parts, strict=True):
            weights = torch.as_tensor(tile_weights, dtype=x.dtype, device=x.device)
            blended[tile.of()] += weights * denoised
        return blended


def divided(
    denoiser: Callable[[range, Tile], Denoise],
    windows: Sequence[range],
    fades: Sequence[Float[np.ndarray, "_"]],
    tiles: Sequence[Tile],
    feathers: Sequence[Float[np.ndarray, "_ _"]],
    *,
    device: torch.device,
    each: Each = map,
    progress: Progress = SILENT,
) -> Windowed:
    """Return a `Windowed` of `Tiled`s, with all that the parts need made once, on the device.

    Args:
        denoiser: makes the `Denoise` of a tile of a window.
        windows: of the clip.
        fades: each window's weights.
        tiles: of pictures.
        feathers: each tile's weights.
        device: where latents are.
        each: how a function is applied to all windows, and to all tiles.
        progress: advanced by every evaluation of a window's tile.
    """
    denoisers = {(window, tile): denoiser(window, tile) for window in windows for tile in tiles}
    weights, tile_weights = (
        [torch.as_tensor(each, dtype=torch.float32, device=device) for each in part] for part in (fades, feathers)
    )

    def denoise_window(x: Latents, sigma: float, window: range) -> Latents:
        def denoise_tile(x: Latents, sigma: float, tile: Tile) -> Latents:
            denoised = denoisers[window, tile](x, sigma)
            progress.advance()
            return denoised

        return Tiled(denoise_tile, tiles, tile_weights, each)(x, sigma)

    return Windowed(denoise_window, windows, weights, each)


def watched(denoise: Denoise, timesteps: Sequence[float], on_step: OnStep) -> Denoise:
    """Return a `denoise` of which somebody is told at every evaluation; the last timestep stands for any beyond it."""
    numbers = itertools.count()

    def evaluate(x: Latents, sigma: float) -> Latents:
        number = next(numbers)
        return on_step(number, timesteps[min(number, len(timesteps) - 1)], denoise(x, sigma))

    return evaluate


@dataclass(frozen=True, slots=True)
class Continued:
    """Denoise a part of a clip as the continuation of the part before: itself a `Denoise`.

    At every evaluation, what the part before said of the shared frames is blended in as one more window would be. So
    parts that are denoised one after the other, each in the memory of one, meet as windows do; and where a solver takes
    a single step, they are what one run over the whole clip would have made.

    Attributes:
        denoise: Of this part, blended with weights that leave room for those of the part before.
        carried: For each evaluation in turn, x0 of the first frames by the part before; None if there is none.
        weights: Of those frames, one a frame.
        handed_on: How many of the last frames the next part shares.
        shared: For each evaluation so far, x0 of the last frames: what the next part takes as `carried`.
    """

    denoise: Denoise
    carried: Float[Tensor, "n c s h w"] | None
    weights: Float[Tensor, "_"] | Float[np.ndarray, "_"]
    handed_on: int
    shared: list[Float[Tensor, "c f h w"]] = field(default_factory=list)

    def __call__(self, x: Latents, sigma: float) -> Latents:
        """Return x0 of this part."""
        denoised = self.denoise(x, sigma)
        if self.carried is not None:
            frames = self.carried.shape[2]
            weights = torch.as_tensor(self.weights, dtype=x.dtype, device=x.device).view(-1, 1, 1)
            denoised[:, :, :frames] += weights * self.carried[len(self.shared)]
        self.shared.append(denoised[0, :, denoised.shape[2] - self.handed_on :].clone())
        return denoised
