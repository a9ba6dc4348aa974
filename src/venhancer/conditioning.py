"""What the networks get of the input: one module for inference and training.

Key frames are the output frames that have an input frame behind them. Only they carry a condition (video-aware
conditioning, VEnhancer, sec. 3.2): their latents with some noise on them, how much noise, and how much smaller the
input was. Every frame, key or not, also has *start latents*: the best guess at it before the network runs.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, Self, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from venhancer.diffusion.schedule import Schedule
from venhancer.frames.steadying import steadied
from venhancer.models.controlnet import KeyFrames
from venhancer.planning.layout import Segment
from venhancer.settings import MOST_NOISE
from venhancer.windows import Tile

Between: TypeAlias = Literal["repeat", "blend", "interpolate"]
Encode: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The input as the networks see it, for one batch of clips.

    Args:
        start_latents: the resized input at every frame; where denoising starts.
        key_frames: what the ControlNet gets.
    """

    start_latents: Float[Tensor, "b c f h w"]
    key_frames: KeyFrames

    def frames(self, window: range) -> Self:
        """Return the conditions of some consecutive frames of a single clip.

        Raises:
            ValueError: there is no key frame among them.
        """
        frames = slice(window.start, window.stop)
        (is_key,) = self.key_frames.mask.tolist()
        before, inside = sum(is_key[: window.start]), sum(is_key[frames])
        keys = slice(before, before + inside)
        if not inside:
            raise ValueError(f"frames {window.start} to {window.stop - 1} hold no key frame; widen the window")
        told = self.key_frames.noise_timesteps, self.key_frames.downscale_factor
        return type(self)(
            start_latents=self.start_latents[:, :, frames],
            key_frames=KeyFrames(
                self.key_frames.latents[:, :, keys],
                self.key_frames.mask[:, frames],
                *(each[:, keys] if each.ndim == 2 else each for each in told),
            ),
        )

    def crop(self, tile: Tile) -> Self:
        """Return the conditions of a rectangle of latents."""
        return type(self)(
            start_latents=self.start_latents[tile.of()],
            key_frames=self.key_frames._replace(latents=self.key_frames.latents[tile.of()]),
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """The output frames that a segment's conditions are made from.

    Attributes:
        context: frames that have conditions.
        frames: frames encoded: `context`, and on to the next key frame where its last ones start between two.
        key_frames: numbers of the key frames read: those among `frames`, and those that steady the outermost of them.
        steadiness: how strongly they are, see `encode_clip`.
    """

    context: range
    frames: range
    key_frames: list[int]
    steadiness: float

    @property
    def lead(self) -> int:
        """How many of the key frames come before `frames`."""
        return sum(number < self.frames.start for number in self.key_frames)


def reach_of(segment: Segment, is_key: Sequence[bool], between: Between, steadiness: float) -> Reach:
    """Return what a segment's conditions reach to.

    Args:
        segment: of an output.
        is_key: of every output frame, whether it is a key frame.
        between: how frames between key frames start.
        steadiness: how strongly key frames are averaged with their neighbours.
    """
    shot, frames = segment.shot, segment.context
    if between != "repeat" and not segment.ends_shot and not is_key[frames.stop - 1]:
        following = (number for number in range(frames.stop, shot.stop) if is_key[number])
        frames = range(frames.start, next(following, frames.stop - 1) + 1)
    before = (number for number in reversed(range(shot.start, frames.start)) if is_key[number])
    after = (number for number in range(frames.stop, shot.stop) if is_key[number])
    inside = [number for number in frames if is_key[number]]
    neighbours = 1 if steadiness else 0
    numbers = [*islice(before, neighbours), *inside, *islice(after, neighbours)]
    return Reach(segment.context, frames, numbers, steadiness)


def make_conditions(
    key_frame_latents: Float[Tensor, "b c k h w"],
    key_frame_mask: Bool[Tensor, "b f"],
    start_latents: Float[Tensor, "b c f h w"],
    *,
    noise: Float[Tensor, "b c k h w"],
    noise_augmentation: Int[Tensor, " b"],
    downscale_factor: Float[Tensor, " b"],
    schedule: Schedule,
    is_own: Bool[Tensor, "b k"] | None = None,
) -> Conditions:
    """Return the conditions of clips whose key frames have been resized and encoded.

    Args:
        key_frame_latents: clean latents of the key frames, in order.
        key_frame_mask: which frames are key frames; as many True a clip as there are latents.
        start_latents: what is known of every frame, see `encode_clip`.
        noise: unit noise for the key frames.
        noise_augmentation: 0 for none, else n of 1..300 puts the noise of timestep n - 1 on the key frames.
        downscale_factor: the scale that the network assumes.
        schedule: the noise schedule.
        is_own: which key frames are pictures of the output's size: they get no noise and are told with a factor of 1.
    """
    latents, noise_timesteps = augment_noise(key_frame_latents, noise, noise_augmentation, schedule)
    if is_own is not None:
        latents = torch.where(is_own[:, None, :, None, None], key_frame_latents, latents)
        noise_timesteps = noise_timesteps[:, None].where(~is_own, 0)
        downscale_factor = downscale_factor[:, None].where(~is_own, 1.0)
    return Conditions(
        start_latents=start_latents,
        key_frames=KeyFrames(latents, key_frame_mask, noise_timesteps, downscale_factor),
    )


def augment_noise(
    latents: Float[Tensor, "b c k h w"],
    noise: Float[Tensor, "b c k h w"],
    noise_augmentation: Int[Tensor, " b"],
    schedule: Schedule,
) -> tuple[Float[Tensor, "b c k h w"], Int[Tensor, " b"]]:
    """Return the latents with their noise on, and the timestep index that the network gets (sec. 3.3).

    0 leaves the latents clean and tells index 0.
    """
    timesteps = (noise_augmentation - 1).clamp(min=0)
    noisy = schedule.add_noise(latents, noise, timesteps)
    untouched = (noise_augmentation == 0)[:, None, None, None, None]
    return torch.where(untouched, latents, noisy), timesteps


def encode_clip(
    key_frames: Iterable[Float[Tensor, "3 h w"]],
    key_frame_mask: Bool[Tensor, " f"],
    between: Between,
    encode: Encode,
    *,
    steadiness: float = 0.0,
    lead: int = 0,
    fixed: Container[int] = (),
    at_once: int = 1,
) -> tuple[Float[Tensor, "1 c k h2 w2"], Float[Tensor, "1 c f h2 w2"]]:
    """Return the latents of a clip's key frames, and those that all its frames start from; few frames are held.

    Args:
        key_frames: resized to the output's size, in [-1, 1].
        key_frame_mask: which frames of the clip they are.
        between: how the frames between key frames start: as a copy of the one before, or as a blend of both. With
            "interpolate" there are none: they are made from finished key frames.
        encode: frames to latents, `1 3 f h w` to `1 c f h2 w2`.
        steadiness: how strongly key frames are averaged with their neighbours along the motion, see `steadied`.
        lead: how many of the first key frames come before the clip; they and those after it only steady their
            neighbours.
        fixed: places among the key frames of those that are not averaged themselves.
        at_once: key frames that are encoded together.
    """
    keys = int(key_frame_mask.sum())
    pictures = islice(steadied(key_frames, steadiness, fixed), lead, lead + keys)
    parts = iter(lambda: list(islice(pictures, at_once)), [])
    latents = torch.cat([encode(torch.stack(part, dim=1)[None]) for part in parts], dim=2)
    return latents, spread_key_frames(latents, key_frame_mask[None], "blend" if between == "blend" else "repeat")


def steadiness_of(noise_augmentation: int, steadying: float) -> float:
    """Return how strongly key frames are steadied: the more, the less a user wants to stay close to the input."""
    return steadying * noise_augmentation / MOST_NOISE


def spread_key_frames(
    key_frame_latents: Float[Tensor, "b c k h w"],
    key_frame_mask: Bool[Tensor, "b f"],
    between: Literal["repeat", "blend"],
) -> Float[Tensor, "b c f h w"]:
    """Return latents for every frame: the key frames' own, and their neighbours' in between.

    Frames after the last key frame hold it, frames before the first one show it early.
    """
    keys = key_frame_latents.shape[2]
    before = (key_frame_mask.cumsum(dim=1) - 1).clamp(min=0)
    start = _take(key_frame_latents, before)
    if between == "repeat":
        return start
    frame = torch.arange(key_frame_mask.shape[1], device=key_frame_mask.device)
    positions = torch.stack([mask.nonzero().flatten() for mask in key_frame_mask])
    after = (before + 1).clamp(max=keys - 1)
    gap = (positions.gather(1, after) - positions.gather(1, before)).clamp(min=1)
    share = ((frame - positions.gather(1, before)) / gap).clamp(0, 1)
    return torch.lerp(start, _take(key_frame_latents, after), share.to(start)[:, None, :, None, None])


def _take(latents: Float[Tensor, "b c k h w"], order: Int[Tensor, "b f"]) -> Float[Tensor, "b c f h w"]:
    return torch.stack([clip[:, index] for clip, index in zip(latents, order, strict=True)])
