"""Frames between two key frames, moved along the optical flow: where the networks may start from.

The flow is OpenCV's DIS (Kroeger et al. 2016), both ways between two pictures and brought to any time between them as
in Super SloMo (Jiang et al. 2018, sec. 3.2). Each key frame counts by how near it is in time and by how well the two
flows agree; where both disagree, the frame between is close to a plain blend, and the networks have to do the rest.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

FINEST_SCALE = 2
"""Flows are computed at a quarter of the pictures' size: as good between enlarged pictures, and far cheaper."""

SMALLEST_SIDE = 32
"""Pictures below this size hold too little for a flow; they are blended."""

AGREEMENT = 1.0
"""Disagreement of the two flows, in pixels, at which a key frame's weight has fallen to 1/e."""

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
    if min(before.shape[-2:]) < SMALLEST_SIDE:
        yield from (torch.lerp(before, after, time) for time in times)
        return
    pictures = before[None], after[None]
    flows = estimate_flows(*pictures)
    trust = _trust(flows.forward, flows.backward), _trust(flows.backward, flows.forward)
    for time in times:
        # Super SloMo, eq. 4: the flows from the frame between to both sides, as if motion were even and smooth.
        to_before = (time - 1) * time * flows.forward + time * time * flows.backward
        to_after = (1 - time) ** 2 * flows.forward - time * (1 - time) * flows.backward
        weight_before = (1 - time) * warp(trust[0], to_before)
        weight_after = time * warp(trust[1], to_after)
        moved = weight_before * warp(pictures[0], to_before) + weight_after * warp(pictures[1], to_after)
        yield (moved / (weight_before + weight_after))[0]


def estimate_flows(before: Float[Tensor, "1 3 h w"], after: Float[Tensor, "1 3 h w"]) -> Flows:
    """Return the optical flow between two pictures in [-1, 1], both ways; the same on any number of cores."""
    first, second = _grey(before), _grey(after)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(FINEST_SCALE)
    with one_thread():
        flows = [
            dis.calc(*pair, np.zeros((*first.shape, 2), np.float32)) for pair in ((first, second), (second, first))
        ]
    return Flows(*(torch.from_numpy(flow).movedim(-1, 0)[None].to(before.device) for flow in flows))


def warp(pictures: Float[Tensor, "1 c h w"], flow: Float[Tensor, "1 2 h w"]) -> Float[Tensor, "1 c h w"]:
    """Return what a flow points at, bilinear; outside, the edge."""
    height, width = pictures.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[:, 0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(pictures, grid.to(pictures.dtype), padding_mode="border", align_corners=True)


def _trust(flow: Tensor, back: Tensor) -> Float[Tensor, "1 1 h w"]:
    """Return how far a flow can be believed: less, the further from its origin the other flow leads back."""
    astray = (flow + warp(back, flow)).norm(dim=1, keepdim=True)
    return torch.exp(-astray / AGREEMENT) + _LEAST_TRUST


def _grey(picture: Float[Tensor, "1 3 h w"]) -> UInt8[np.ndarray, "h w"]:
    pixels = ((picture[0].float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return cv2.cvtColor(np.ascontiguousarray(pixels.movedim(0, -1).cpu().numpy()), cv2.COLOR_RGB2GRAY)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, keep OpenCV to one thread: its DIS divides a picture by their number, and so depends on it."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
