"""The hyper-parameters of both networks, checked once: what the networks are built from and the plan's cost counted by.

It stands below everything that needs it and loads nothing.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Skip(NamedTuple):
    """One output of the way down that the way up takes in again."""

    channels: int
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """Widths and levels of both networks; the defaults are the published ones.

    Args:
        in_channels: channels of the latents.
        out_channels: channels of the base network's prediction.
        base_channels: width of the first level; embeddings are four times as wide.
        channel_mults: width of each level over `base_channels`.
        blocks_per_level: ResBlocks on each level of the way down; the way up has one more.
        attention_levels: which levels carry the two transformers; the middle always does.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings.
        entry_heads: heads of the temporal transformer that follows the first convolution.
        norm_groups: groups of every group normalisation.

    Raises:
        ValueError: no network can have this shape.
    """

    in_channels: int = 4
    out_channels: int = 4
    base_channels: int = 320
    channel_mults: tuple[int, ...] = (1, 2, 4, 4)
    blocks_per_level: int = 2
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    head_dim: int = 64
    text_dim: int = 1024
    entry_heads: int = 8
    norm_groups: int = 32

    def __post_init__(self) -> None:
        levels, attended = len(self.channel_mults), len(self.attention_levels)
        if levels != attended:
            raise ValueError(
                f"channel_mults has {levels} levels and attention_levels {attended}; give one entry a level in both"
            )
        for width in (self.base_channels, *self.widths):
            if width % self.norm_groups or width % self.head_dim:
                divisors = f"norm_groups {self.norm_groups} and of head_dim {self.head_dim}"
                raise ValueError(f"width {width} must be a multiple of {divisors}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.base_channels * mult for mult in self.channel_mults)

    @property
    def embed_dim(self) -> int:
        """Width of the time embedding."""
        return 4 * self.base_channels

    @property
    def entry_width(self) -> int:
        """Inner width of the first temporal transformer."""
        return self.entry_heads * self.head_dim

    @property
    def downsamplings(self) -> int:
        """How many times the way down halves rows and columns."""
        return len(self.channel_mults) - 1

    @property
    def skips(self) -> list[Skip]:
        """Every skip, first to last: the entry's, then each stage's of the way down."""
        skips = [Skip(self.base_channels, 0)]
        for level, width in enumerate(self.widths):
            if level > 0:
                skips.append(Skip(skips[-1].channels, level))
            skips += [Skip(width, level)] * self.blocks_per_level
        return skips

    @property
    def skip_channels(self) -> list[int]:
        """Channels of every skip, first to last."""
        return [skip.channels for skip in self.skips]
