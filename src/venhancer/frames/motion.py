"""Frames between two key frames, moved along the optical flow: where the networks may start from.

The flow is OpenCV's DIS (Kroeger et al. 2016), both ways between two pictures. How anything moves past a pixel at a
time between is a guess: what either flow says of that pixel, a mean of both as in Super SloMo (Jiang et al. 2018,
eq. 4), the motion of the surroundings, or none. Each guess counts by how alike the two key frames look where it leads,
and each key frame by how near it is in time and by how well the two flows agree there. Where nothing fits, the guesses
average out to a blend, which is easier on the eye than a torn picture, and the networks have to do the rest.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

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

SURROUNDINGS = 32
"""Sides of the squares, in pixels, whose motion a pixel may share."""

COMPARED = 17
"""Sides of the windows, in pixels, over which the two key frames are compared to judge a guess."""

LIKENESS = 0.1
"""Mean difference of those, in [-1, 1], at which the weight of a guess has fallen to 1/e."""

_LEAST_TRUST = 1e-3


class Flows(NamedTuple):
    """Where every pixel of one picture is in the other, in pixels (x, y)."""

    forward: Float[Tensor, "1 2 h w"]
    backward: Float[Tensor, "1 2 h w"]


def frames_between(
    before: Float[Tensor, "3 h w"], after: Float[Tensor, "3 h w"], times: Sequence[float]
) -> Iterator[Float[Tensor, "3 h w"]]:
    """Yield the frames at some times between two, moved along the flow.

    Args:
        before: the frame at time 0, in [-1, 1].
        after: the frame at time 1.
        times: above 0 and below 1.
    """
    if min(before.shape[-2:]) < SMALLEST_FOR_FLOW:
        yield from (torch.lerp(before, after, time) for time in times)
        return
    pictures = before[None], after[None]
    flows = estimate_flows(*pictures)
    trust = trust_in(flows.forward, flows.backward), trust_in(flows.backward, flows.forward)
    around = Flows(*(_of_surroundings(flow, sure) for flow, sure in zip(flows, trust, strict=True)))
    sides = torch.cat([pictures[0], trust[0]], dim=1), torch.cat([pictures[1], trust[1]], dim=1)
    for time in times:
        guesses = (
            flows.forward,
            -flows.backward,
            torch.lerp(flows.forward, -flows.backward, time),
            torch.lerp(around.forward, -around.backward, time),
            torch.zeros_like(flows.forward),
        )
        total, weights = torch.zeros_like(pictures[0]), torch.zeros_like(trust[0])
        for guess in guesses:
            frame, weight = along(guess, time, *sides)
            total, weights = total + weight * frame, weights + weight
        yield (total / weights)[0]


def along(
    motion: Float[Tensor, "1 2 h w"], time: float, before: Float[Tensor, "1 4 h w"], after: Float[Tensor, "1 4 h w"]
) -> tuple[Float[Tensor, "1 3 h w"], Float[Tensor, "1 1 h w"]]:
    """Return the frame at a time if things move past its pixels like this, and how far to believe it.

    Args:
        motion: from one picture to the other.
        time: between them.
        before: picture and trust.
        after: picture and trust.
    """
    before, after = warp(before, -time * motion), warp(after, (1 - time) * motion)
    weight_before, weight_after = (1 - time) * before[:, 3:], time * after[:, 3:]
    before, after = before[:, :3], after[:, :3]
    frame = (weight_before * before + weight_after * after) / (weight_before + weight_after)
    unlike = (before - after).abs().mean(dim=1, keepdim=True)
    unlike = F.avg_pool2d(unlike, COMPARED, stride=4, padding=COMPARED // 2, count_include_pad=False)
    unlike = F.interpolate(unlike, frame.shape[-2:], mode="bilinear")
    return frame, torch.exp(-unlike / LIKENESS)


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


def warp(pictures: Float[Tensor, "1 c h w"], flow: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "1 c h w"]:
    """Return what a flow points at, bilinear; outside, the edge."""
    height, width = pictures.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(pictures, grid.to(pictures.dtype), padding_mode="border", align_corners=True)


def trust_in(flow: Float[Tensor, "1 2 h w"], back: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Return how far a flow can be believed: less, the further from its origin the other flow leads back."""
    astray = (flow + warp(back, flow)).norm(dim=1, keepdim=True)
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
