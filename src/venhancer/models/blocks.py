"""The four blocks that the networks are built from, all called `block(x, context)`.

Dimension key: b clips, f frames, c channels, h w latent rows and columns, n pixels (h w) or text tokens, d embedding
width, a attention heads. Activations are `(b f) c h w`, channels-last in memory, so that every regrouping of frames
and pixels below (except into attention along time) is a view and costs nothing.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.models.attention import Attention, FeedForward, KeysValues
from venhancer.models.normalization import GroupNorm


class BlockContext(NamedTuple):
    """What every block may look at besides its input.

    Args:
        embeds: time embedding of each frame, activated; in the ControlNet, key frames carry more in it.
        text: keys and values of each cross-attention in the order of construction. They may be of more prompts than
            there are clips: nothing before the first cross-attention depends on the prompt, so features are computed
            once up to there and repeated, all clips for the first prompt, then all clips for the next.
        num_frames: f, to unfold `(b f)`.
        max_tokens: most tokens that attention and feed-forward hold at once; None means all. Results do not change.
    """

    embeds: Float[Tensor, "bf d"]
    text: tuple[KeysValues, ...]
    num_frames: int
    max_tokens: int | None

    def slice_rows(self, sequence: int) -> int | None:
        """How many sequences of this length fit into `max_tokens`; at least one."""
        return None if self.max_tokens is None else max(1, self.max_tokens // sequence)


class BlockSequence(nn.ModuleList):
    """Blocks applied one after the other to the same context."""

    def forward(self, x: Float[Tensor, "bf c h w"], context: BlockContext) -> Float[Tensor, "pbf c2 h2 w2"]:
        """Return the last block's output."""
        for block in self:
            x = block(x, context)
        return x


class TemporalConv(nn.Module):
    """Norm over all frames, activation and a convolution over three of them, at every pixel.

    The weight keeps the (3, 1, 1) shape of the published state dict; it is applied as a two-dimensional convolution
    over frames and pixels, which is several times faster than `Conv3d` and needs none of its scratch memory.
    """

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(groups, channels)
        self.conv = nn.Conv3d(channels, channels, (3, 1, 1))

    def forward(self, x: Float[Tensor, "b c f n"]) -> Float[Tensor, "b c f n"]:
        """Mix each pixel with the same pixel one frame before and after."""
        return F.conv2d(F.silu(self.norm(x)), self.conv.weight.squeeze(-1), self.conv.bias, padding=(1, 0))


class ResBlock(nn.Module):
    """Two spatial convolutions with the frame's embedding between them, then the temporal ones, four as published."""

    def __init__(
        self, channels_in: int, channels: int, *, embed_dim: int, groups: int, temporal_convs: int = 4
    ) -> None:
        super().__init__()
        self.norm_in = group_norm(groups, channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.embed = nn.Linear(embed_dim, channels)
        self.norm_out = group_norm(groups, channels)
        self.conv_out = zeroed(nn.Conv2d(channels, channels, 3, padding=1))
        self.skip = nn.Conv2d(channels_in, channels, 1) if channels_in != channels else nn.Identity()
        temporal = [TemporalConv(channels, groups=groups) for _ in range(temporal_convs)]
        if temporal:
            zeroed(temporal[-1].conv)
        self.temporal = nn.ModuleList(temporal)

    def forward(self, x: Float[Tensor, "bf c h w"], context: BlockContext) -> Float[Tensor, "bf c2 h w"]:
        """Return the block's output; a fresh block is its skip connection."""
        hidden = self.conv_in(F.silu(self.norm_in(x)))
        hidden = hidden + self.embed(context.embeds[: len(x)])[:, :, None, None]
        hidden = self.conv_out(F.silu(self.norm_out(hidden)))
        x = self.skip(x) + hidden
        if not self.temporal:
            return x

        hidden = rearrange(x, "(b f) c h w -> b c f (h w)", f=context.num_frames)
        for temporal_conv in self.temporal:
            hidden = temporal_conv(hidden)
        return x + rearrange(hidden, "b c f (h w) -> (b f) c h w", h=x.shape[2])


class SpatialTransformer(nn.Module):
    """Attention among the pixels of a frame, then to the prompt, then a feed-forward; starts as the identity.

    Args:
        text_slot: which entry of `BlockContext.text` belongs to this block.
    """

    def __init__(self, channels: int, *, head_dim: int, text_dim: int, text_slot: int, groups: int) -> None:
        super().__init__()
        self.text_slot = text_slot
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.norm_self = nn.LayerNorm(channels)
        self.self_attention = Attention(channels, head_dim=head_dim, context_channels=channels)
        self.norm_text = nn.LayerNorm(channels)
        self.text_attention = Attention(channels, head_dim=head_dim, context_channels=text_dim)
        self.norm_feed_forward = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels)
        self.proj_out = zeroed(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "bf c h w"], context: BlockContext) -> Float[Tensor, "pbf c h w"]:
        """Return x plus what each pixel takes from the frame's pixels and the prompt."""
        rows = context.slice_rows(x.shape[2] * x.shape[3])
        text = context.text[self.text_slot]
        tokens = self.proj_in(rearrange(self.norm(x), "s c h w -> s (h w) c"))
        tokens = tokens + self.self_attention.over_pixels(self.norm_self(tokens), rows)
        x, tokens = (repeat_rows(each, len(text.keys) * context.num_frames) for each in (x, tokens))
        tokens = tokens + self.text_attention.to_text(self.norm_text(tokens), text)
        tokens = tokens + self.feed_forward(self.norm_feed_forward(tokens), rows)
        return x + rearrange(self.proj_out(tokens), "s (h w) c -> s c h w", h=x.shape[2])


class TemporalTransformer(nn.Module):
    """Attention along time at every pixel, twice, and a feed-forward; starts as the identity.

    There is no position along time: frames are distinguished by their content.
    """

    def __init__(self, channels: int, *, inner_channels: int, head_dim: int, groups: int) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, inner_channels)
        self.norm_first = nn.LayerNorm(inner_channels)
        self.first_attention = Attention(inner_channels, head_dim=head_dim, context_channels=inner_channels)
        self.norm_second = nn.LayerNorm(inner_channels)
        self.second_attention = Attention(inner_channels, head_dim=head_dim, context_channels=inner_channels)
        self.norm_feed_forward = nn.LayerNorm(inner_channels)
        self.feed_forward = FeedForward(inner_channels)
        self.proj_out = zeroed(nn.Linear(inner_channels, channels))

    def forward(self, x: Float[Tensor, "bf c h w"], context: BlockContext) -> Float[Tensor, "bf c h w"]:
        """Return x plus what each pixel takes from the other frames."""
        num_frames = context.num_frames
        pixels = context.slice_rows(num_frames)
        frames = context.slice_rows(x.shape[2] * x.shape[3])
        clips = rearrange(x, "(b f) c h w -> b c f (h w)", f=num_frames)
        tokens = self.proj_in(rearrange(self.norm(clips), "b c f n -> (b f) n c"))
        tokens = tokens + self.first_attention.over_frames(self.norm_first(tokens), num_frames, pixels)
        tokens = tokens + self.second_attention.over_frames(self.norm_second(tokens), num_frames, pixels)
        tokens = tokens + self.feed_forward(self.norm_feed_forward(tokens), frames)
        return x + rearrange(self.proj_out(tokens), "s (h w) c -> s c h w", h=x.shape[2])


class Downsample(nn.Module):
    """Halves rows and columns; the published padding of two rows gives h/2 + 1 rows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=(2, 1))

    def forward(self, x: Float[Tensor, "bf c h w"], _: BlockContext) -> Float[Tensor, "bf c h2 w2"]:
        """Return the frames at half size."""
        return self.conv(x)


class Upsample(nn.Module):
    """Doubles rows and columns and drops the two rows that `Downsample` put in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "bf c h w"], _: BlockContext) -> Float[Tensor, "bf c h2 w2"]:
        """Return the frames at double size, 2 h - 2 rows."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")[:, :, 1:-1])


def repeat_rows(x: Float[Tensor, "bf ..."], rows: int) -> Float[Tensor, "rows ..."]:
    """Return x repeated along its first axis to `rows`, or x itself if it has as many."""
    return x if len(x) == rows else torch.cat([x] * (rows // len(x)))


def group_norm(groups: int, channels: int) -> nn.Module:
    """Return a group normalisation, or what does nothing if there are no groups."""
    return GroupNorm(groups, channels, eps=1e-5) if groups else nn.Identity()


def zeroed(module: nn.Module) -> nn.Module:
    """Set a layer's parameters to zero, so that the branch it ends starts silent; returns the layer."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def sinusoid(values: Float[Tensor, " b"], dim: int) -> Float[Tensor, "b d"]:
    """Embed numbers as cosines, then sines, of `dim / 2` geometric frequencies from 1 down to 1/10000."""
    half = dim // 2
    frequencies = torch.exp(-math.log(10000.0) / half * torch.arange(half, dtype=torch.float32, device=values.device))
    angles = values.float()[:, None] * frequencies[None, :]
    return torch.cat([angles.cos(), angles.sin()], dim=1)
