"""What a result owes its input, however it was made: grey stays grey, and made small again it is the input.

Both hold by construction, for any scale, and are no matter of training. The second is one step of back-projection
(Irani and Peleg 1991): the difference between the input and the result made small is enlarged and added.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from venhancer.frames.enlarging import Enlarging, resize
from venhancer.settings import MOST_NOISE

GREYISH = 2 / 127.5
"""Colour, in [-1, 1] from the mean of a pixel's channels, at which half of what a network changes of it counts."""

NEIGHBOURHOOD = 9
"""Side of the square, in pixels, whose strongest colour counts."""


def faithful(
    picture: Float[Tensor, "3 h w"], source: Float[Tensor, "3 h2 w2"], enlarging: Enlarging, consistency: float
) -> Float[Tensor, "3 h w"]:
    """Return a picture that is as faithful to its input as requested.

    Args:
        picture: what was made of the input, in [-1, 1].
        source: the input.
        enlarging: how it was enlarged.
        consistency: what share of the difference between the input and the picture made small is taken out.
    """
    height, width = picture.shape[-2:]
    enlarged = resize(source[None], height, width, enlarging)[0]
    change = picture - enlarged
    brightness = change.mean(dim=0, keepdim=True)
    colour = (enlarged - enlarged.mean(dim=0, keepdim=True)).abs().amax(dim=0, keepdim=True)
    colour = F.max_pool2d(colour, NEIGHBOURHOOD, stride=1, padding=NEIGHBOURHOOD // 2)
    picture = enlarged + brightness + (change - brightness) * colour**2 / (colour**2 + GREYISH**2)
    if not consistency:
        return picture
    small = F.interpolate(picture[None], size=source.shape[-2:], mode="bicubic", antialias=True)
    return picture + consistency * resize(source[None] - small, height, width, "bicubic")[0]


def consistency_of(noise_augmentation: int, consistency: float) -> float:
    """Return how much of a picture's difference from its input is taken out: little, once the input is not trusted."""
    return consistency * (1 - noise_augmentation / MOST_NOISE) ** 4
