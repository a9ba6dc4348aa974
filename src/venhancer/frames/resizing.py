"""Pictures at another size, and wider by their own edges."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def resize_frames(
    frames: Float[Tensor, "b c f h w"], height: int, width: int, enlargement: float | None = None
) -> Float[Tensor, "b c f h2 w2"]:
    """Return frames at another size, bilinear as the networks were trained with.

    Args:
        frames: of any size.
        height: of the result, in pixels.
        width: of the result, in pixels.
        enlargement: places pixels by this factor instead of the sizes' ratio; it must make the same size.
    """
    pictures = rearrange(frames, "b c f h w -> (b f) c h w")
    size = (height, width) if enlargement is None else None
    resized = F.interpolate(pictures, size, scale_factor=enlargement, mode="bilinear", align_corners=False)
    return rearrange(resized, "(b f) c h w -> b c f h w", b=frames.shape[0])


def pad_with_edges(
    picture: Float[Tensor, "3 h w"], left: int, right: int, above: int, below: int
) -> Float[Tensor, "3 h2 w2"]:
    """Return a picture with its outermost pixels repeated around it."""
    return F.pad(picture[None], (left, right, above, below), mode="replicate")[0]
