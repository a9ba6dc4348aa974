"""Frames between two key frames, moved along the optical flow: where the networks may start from.

The flow is OpenCV's DIS (Kroeger et al. 2016), both ways between two pictures. How anything moves past a pixel at a
time between is a guess: what either flow says of that pixel, a mean of both as in Super SloMo (Jiang et al. 2018,
eq. 4), the motion of the surroundings, or none. The guess is taken under which the two key frames look most alike
around the pixel; each key frame then counts by how near it is in time and by how well the two flows agree where it is
looked at, so that what only one of them shows comes from that one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from venhancer.frames.levels import to_levels

FINEST_SCALE = 2
"""Flows are computed at a quarter of the pictures' size: as good between enlarged pictures, and far cheaper."""

SMALLEST_FOR_FLOW = 32
"""Pictures below this size hold too little for a flow; they are blended."""

AGREEMENT = 1.0
"""Disagreement of the two flows, in pixels, at which a key frame's weight has fallen to 1/e."""

QUARTER = 4
"""Guesses are judged at a quarter of the pictures' size, where the flows were found."""

SURROUNDINGS = 8
"""Sides of the squares, in such pixels, whose motion a pixel may share."""

COMPARED = 5
"""Sides of the windows, in such pixels, over which the two key frames are compared to judge a guess."""

JUDGED, SOFTENED = 17, 9
"""Sides of the squares, in pixels, over which two ways to move pictures are compared, and their border softened."""

CLEARLY = 0.8
"""How much less unlike two moved pictures must be to be clearly more alike."""

_LEAST_TRUST = 1e-3


class Flows(NamedTuple):
    """Where every pixel of one picture is in the other, in pixels (x, y)."""

    forward: Float[Tensor, "1 2 h w"]
    backward: Float[Tensor, "1 2 h w"]


class Moved(NamedTuple):
    """Two pictures moved to one time between them.

    Args:
        before: the earlier one.
        after: the later one.
        share: how much of every pixel is of the later one.
    """

    before: Float[Tensor, "3 h w"]
    after: Float[Tensor, "3 h w"]
    share: Float[Tensor, "1 h w"]

    def blended(self) -> Float[Tensor, "3 h w"]:
        """Return the frame at that time."""
        return torch.lerp(self.before, self.after, self.share)

    def difference(self) -> Float[Tensor, "1 h w"]:
        """Return how unlike the two look around every pixel: 0 where the motion leads both to the same."""
        return _around((self.before - self.after).abs().mean(dim=0, keepdim=True), JUDGED)


Move: TypeAlias = Callable[[Tensor, Tensor, Sequence[float]], Iterator[Moved]]
"""Yields two frames, `3 h w` in [-1, 1], moved to some times between them."""


def clearer(one: Moved, other: Moved) -> Float[Tensor, "3 h w"]:
    """Return the frame of one way to move two pictures, and of another where its two look clearly more alike."""
    chosen = (other.difference() < CLEARLY * one.difference()).float()
    return torch.lerp(one.blended(), other.blended(), _around(chosen, SOFTENED))


def _around(values: Float[Tensor, "1 h w"], side: int) -> Float[Tensor, "1 h w"]:
    """Return means over squares."""
    return F.avg_pool2d(values[None], side, stride=1, padding=side // 2, count_include_pad=False)[0]


def frames_between(
    before: Float[Tensor, "3 h w"],
    after: Float[Tensor, "3 h w"],
    times: Sequence[float],
    move: Move | None = None,
) -> Iterator[Float[Tensor, "3 h w"]]:
    """Yield the frames at some times between two, moved along the flow.

    Args:
        before: the frame at time 0, in [-1, 1].
        after: the frame at time 1.
        times: above 0 and below 1.
        move: another way to move them, which is followed wherever the flow is not clearer.
    """
    if min(before.shape[-2:]) < SMALLEST_FOR_FLOW:
        yield from (torch.lerp(before, after, time) for time in times)
    elif move is None:
        yield from (pair.blended() for pair in move_by_flow(before, after, times))
    else:
        ways = move(before, after, times), move_by_flow(before, after, times)
        yield from (clearer(one, by_flow) for one, by_flow in zip(*ways, strict=True))


def move_by_flow(
    before: Float[Tensor, "3 h w"], after: Float[Tensor, "3 h w"], times: Sequence[float]
) -> Iterator[Moved]:
    """Yield both frames moved to each time along the flow; see `frames_between`."""
    pictures = before[None].float(), after[None].float()
    flows = Flows(*(_quarter(flow) for flow in estimate_flows(*pictures)))
    trust = _trust_in(flows.forward, flows.backward), _trust_in(flows.backward, flows.forward)
    around = Flows(*(_of_surroundings(flow, sure) for flow, sure in zip(flows, trust, strict=True)))
    sides = [torch.cat([_quarter(picture), sure], dim=1) for picture, sure in zip(pictures, trust, strict=True)]
    height, width = before.shape[-2:]
    for time in times:
        guesses = (
            flows.forward,
            -flows.backward,
            torch.lerp(flows.forward, -flows.backward, time),
            torch.lerp(around.forward, -around.backward, time),
            torch.zeros_like(flows.forward),
        )
        chosen = _best_guess(torch.cat(guesses), time, *sides)
        chosen = F.interpolate(chosen, scale_factor=float(QUARTER), mode="bilinear")[..., :height, :width]
        motion, share = chosen[:, :2], chosen[0, 2:]
        yield Moved(moved(pictures[0], -time * motion), moved(pictures[1], (1 - time) * motion), share)


def _best_guess(
    guesses: Float[Tensor, "g 2 h w"], time: float, before: Float[Tensor, "1 4 h w"], after: Float[Tensor, "1 4 h w"]
) -> Float[Tensor, "1 3 h w"]:
    """Return the likeliest motion past every pixel at a time, and how much of what is seen there is of `after`.

    Args:
        guesses: motions from one picture to the other.
        time: between them.
        before: a quarter of a picture, and the trust in the flow that leads away from it.
        after: the same of the other picture.
    """
    sides = [
        warp(side.expand(len(guesses), -1, -1, -1), way * guesses / QUARTER)
        for side, way in ((before, -time), (after, 1 - time))
    ]
    unlike = (sides[0][:, :3] - sides[1][:, :3]).abs().mean(dim=1, keepdim=True)
    unlike = F.avg_pool2d(unlike, COMPARED, stride=1, padding=COMPARED // 2, count_include_pad=False)
    best = unlike.argmin(dim=0, keepdim=True)
    motion = guesses.gather(0, best.expand(-1, 2, -1, -1))
    of_before, of_after = (side[:, 3:].gather(0, best) for side in sides)
    return torch.cat([motion, time * of_after / ((1 - time) * of_before + time * of_after)], dim=1)


def moved(picture: Float[Tensor, "1 3 h w"], flow: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "3 h w"]:
    """Return what a flow points at, in pixels (x, y), bicubic; outside, the edge."""
    height, width = picture.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[0, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[0, 1]
    if picture.device.type != "cpu":
        grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)[None]
        return F.grid_sample(picture, grid, mode="bicubic", padding_mode="border", align_corners=True)[0]
    pixels = np.ascontiguousarray(picture[0].movedim(0, -1).numpy())
    with one_thread():  # many times faster than torch on a processor
        moved = cv2.remap(pixels, x.numpy(), y.numpy(), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(moved).movedim(-1, 0)


def _quarter(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h2 w2"]:
    return F.avg_pool2d(pictures, QUARTER, ceil_mode=True, count_include_pad=False)


def _of_surroundings(flow: Tensor, trust: Tensor) -> Tensor:
    """Return the flow where it can be trusted, elsewhere the trusted flow around, smoothed."""
    size = flow.shape[-2:]
    cells = (max(1, size[0] // SURROUNDINGS), max(1, size[1] // SURROUNDINGS))
    means = F.adaptive_avg_pool2d(torch.cat([flow * trust, trust], dim=1), cells)
    around = F.interpolate(means, size, mode="bilinear")
    return torch.lerp(around[:, :2] / around[:, 2:], flow, trust.clamp(max=1))


def estimate_flows(before: Float[Tensor, "1 3 h w"], after: Float[Tensor, "1 3 h w"]) -> Flows:
    """Return the optical flow between two pictures in [-1, 1], both ways; the same on any number of cores."""
    flows = dense_flows(*(to_levels(picture[0], 8) for picture in (before, after)), finest_scale=FINEST_SCALE)
    return Flows(*(torch.from_numpy(flow).movedim(-1, 0)[None].to(before.device) for flow in flows))


def dense_flows(
    frame: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"], *, finest_scale: int | None = None
) -> tuple[Float[np.ndarray, "h w 2"], Float[np.ndarray, "h w 2"]]:
    """Return how far, in pixels across and down, each pixel is away in the other frame: there and back.

    Args:
        frame: RGB.
        other: RGB.
        finest_scale: flows are computed at 1 / 2^n of the size; OpenCV's own choice if left out.
    """
    grey, other_grey = (cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2GRAY) for one in (frame, other))
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if finest_scale is not None:
        dis.setFinestScale(finest_scale)
    still = np.zeros((*grey.shape, 2), np.float32)  # without a first guess, small pictures get another flow every time
    with one_thread():
        return dis.calc(grey, other_grey, still.copy()), dis.calc(other_grey, grey, still.copy())


def warp(pictures: Float[Tensor, "n c h w"], flow: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n c h w"]:
    """Return what a flow points at, bilinear; outside, the edge."""
    height, width = pictures.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(pictures, grid.to(pictures.dtype), padding_mode="border", align_corners=True)


def _trust_in(flow: Float[Tensor, "1 2 h w"], back: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Return how far a flow, at a quarter of its size, can be believed: less, the further astray it leads and back."""
    astray = (flow + warp(back, flow / QUARTER)).norm(dim=1, keepdim=True)
    return torch.exp(-astray / AGREEMENT) + _LEAST_TRUST


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, keep OpenCV to one thread: its DIS divides a picture by their number, and so depends on it."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
