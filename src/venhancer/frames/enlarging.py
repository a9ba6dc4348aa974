"""Input frames at the output's size: bilinear as the published networks were trained with, or sharper.

*Sharp* is bicubic after a small filter that is the least-squares answer for pictures made smaller with a bicubic
kernel: it brings back what the reduction took from the highest frequencies that are left. A picture that keeps its size
has lost nothing, so the filter fades with the scale.
"""

from itertools import product
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Enlarging: TypeAlias = Literal["bilinear", "bicubic", "sharp"]

RADIUS = 3
FILTER = {
    (0, 0): 1.6324,
    (0, 1): -0.2803,
    (1, 1): 0.0454,
    (0, 2): 0.132,
    (1, 2): -0.0224,
    (2, 2): 0.0105,
    (0, 3): -0.0315,
    (1, 3): 0.0072,
    (2, 3): -0.0024,
    (3, 3): 0.001,
}
"""Weight of a pixel by its distance along the two sides, the smaller first."""

FULL_SCALE = 2.0
"""From this scale on the filter acts in full."""


def resize(
    pictures: Float[Tensor, "n c h w"], height: int, width: int, enlarging: Enlarging = "bilinear"
) -> Float[Tensor, "n c h2 w2"]:
    """Return pictures at another size, which is none of their sides' smaller.

    Args:
        pictures: any values.
        height: of the result.
        width: of the result.
        enlarging: how.
    """
    if enlarging == "bilinear":
        return F.interpolate(pictures, size=(height, width), mode="bilinear", align_corners=False)
    if enlarging == "sharp":
        strength = min(1.0, max(0.0, (width / pictures.shape[-1] - 1) / (FULL_SCALE - 1)))
        pictures = torch.lerp(pictures, sharpen(pictures), strength)
    return F.interpolate(pictures, size=(height, width), mode="bicubic", align_corners=False)


def sharpen(pictures: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return pictures through the filter, their edges continued."""
    offsets = range(-RADIUS, RADIUS + 1)
    weights = [FILTER[min(abs(y), abs(x)), max(abs(y), abs(x))] for y, x in product(offsets, offsets)]
    side, channels = len(offsets), pictures.shape[1]
    kernel = torch.tensor(weights, dtype=pictures.dtype, device=pictures.device).reshape(1, 1, side, side)
    padded = F.pad(pictures, (RADIUS,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(channels, 1, side, side), groups=channels)
