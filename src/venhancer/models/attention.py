"""Attention and feed-forward over tokens, sliceable without changing a number.

Both transformers of the network keep their tokens in one layout, `(b f) n c`: frames in the batch, pixels in the
sequence. Linear layers and norms do not care which way attention looks, so only the attention product itself regroups
the tokens: spatial attention looks over the pixels of a frame, temporal attention over the frames of a pixel.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class KeysValues(NamedTuple):
    """The text's keys and values for one cross-attention, heads apart; they depend on the prompt only."""

    keys: Float[Tensor, "b a n d"]
    values: Float[Tensor, "b a n d"]


def in_slices(function: Callable[..., Tensor], rows: int | None, *inputs: Tensor) -> Tensor:
    """Apply `function` to at most `rows` leading rows of all inputs at a time; None means all at once."""
    if rows is None or rows >= inputs[0].shape[0]:
        return function(*inputs)
    return torch.cat([function(*parts) for parts in zip(*(x.split(rows) for x in inputs), strict=True)])


class Attention(nn.Module):
    """Multi-head attention whose projections keep the `(b f) n c` layout.

    Args:
        channels: width of the queries and of the output.
        head_dim: width of one head; `channels` must be a multiple of it.
        context_channels: width of what keys and values are made from; `channels` for self-attention.
    """

    def __init__(self, channels: int, *, head_dim: int, context_channels: int) -> None:
        super().__init__()
        self.heads = channels // head_dim
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_channels, channels, bias=False)
        self.to_v = nn.Linear(context_channels, channels, bias=False)
        self.to_out = nn.Linear(channels, channels)

    def over_pixels(self, x: Float[Tensor, "bf n c"], rows: int | None) -> Float[Tensor, "bf n c"]:
        """Attend among the pixels of each frame, at most `rows` frames at a time."""
        return in_slices(self._over_sequence, rows, x)

    def over_frames(self, x: Float[Tensor, "bf n c"], num_frames: int, rows: int | None) -> Float[Tensor, "bf n c"]:
        """Attend among the frames of each pixel, at most `rows` pixels (of all clips) at a time.

        They are laid out anew first: of a view, linear layers would make one small product a pixel.
        """
        tokens = rearrange(x, "(b f) n c -> (b n) f c", f=num_frames)
        attended = in_slices(lambda part: self._over_sequence(part.contiguous()), rows, tokens)
        return rearrange(attended, "(b n) f c -> (b f) n c", n=x.shape[1])

    def to_text(self, x: Float[Tensor, "bf n c"], text: KeysValues) -> Float[Tensor, "bf n c"]:
        """Attend from every pixel of every frame to the tokens of its clip's prompt."""
        clips = text.keys.shape[0]
        queries = rearrange(self.to_q(x), "(b f) n (a d) -> b a (f n) d", b=clips, a=self.heads)
        attended = F.scaled_dot_product_attention(queries, text.keys, text.values)
        return self.to_out(rearrange(attended, "b a (f n) d -> (b f) n (a d)", n=x.shape[1]))

    def keys_values(self, context: Float[Tensor, "b n c"]) -> KeysValues:
        """Project a context to keys and values, once for all frames and steps that look at it."""
        split = "b n (a d) -> b a n d"
        keys = rearrange(self.to_k(context), split, a=self.heads)
        return KeysValues(keys, rearrange(self.to_v(context), split, a=self.heads))

    def _over_sequence(self, x: Float[Tensor, "s n c"]) -> Float[Tensor, "s n c"]:
        queries = rearrange(self.to_q(x), "s n (a d) -> s a n d", a=self.heads)
        attended = F.scaled_dot_product_attention(queries, *self.keys_values(x))
        return self.to_out(rearrange(attended, "s a n d -> s n (a d)"))


class FeedForward(nn.Module):
    """GEGLU: a gated hidden layer four times as wide (Shazeer 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.to_hidden = nn.Linear(channels, 8 * channels)
        self.to_out = nn.Linear(4 * channels, channels)

    def forward(self, x: Float[Tensor, "bf n c"], rows: int | None) -> Float[Tensor, "bf n c"]:
        """Transform every token on its own, at most `rows` frames at a time."""
        return in_slices(self._transform, rows, x)

    def _transform(self, x: Float[Tensor, "s n c"]) -> Float[Tensor, "s n c"]:
        hidden, gate = self.to_hidden(x).chunk(2, dim=-1)
        return self.to_out(hidden * F.gelu(gate))
