"""The hyper-parameters of both networks, checked once and shared by everything that builds or counts them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """Widths and levels of a network; the defaults are the published ones.

    Args:
        in_channels: channels of the latents.
        base_channels: width of the first level; embeddings are four times as wide.
        channel_mults: width of each level over `base_channels`.
        blocks_per_level: ResBlocks on each level of the way down; the way up has one more.
        attention_levels: which levels carry the two transformers; the middle always does.
        head_dim: width of an attention head.
        text_dim: width of the text embeddings.
        entry_heads: heads of the temporal transformer that follows the first convolution.
        norm_groups: groups of every group normalisation.
    """

    in_channels: int = 4
    base_channels: int = 320
    channel_mults: tuple[int, ...] = (1, 2, 4, 4)
    blocks_per_level: int = 2
    attention_levels: tuple[bool, ...] = (True, True, True, False)
    head_dim: int = 64
    text_dim: int = 1024
    entry_heads: int = 8
    norm_groups: int = 32

    def __post_init__(self) -> None:
        if len(self.channel_mults) != len(self.attention_levels):
            raise ValueError(
                f"channel_mults has {len(self.channel_mults)} levels and attention_levels {len(self.attention_levels)}; "
                "give one entry a level in both"
            )
        for width in (self.base_channels, *self.widths):
            if width % self.norm_groups or width % self.head_dim:
                raise ValueError(
                    f"width {width} must be a multiple of norm_groups {self.norm_groups} and of head_dim {self.head_dim}"
                )

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.base_channels * mult for mult in self.channel_mults)

    @property
    def embed_dim(self) -> int:
        """Width of the time embedding."""
        return 4 * self.base_channels

    @property
    def downsamplings(self) -> int:
        """How many times the way down halves rows and columns."""
        return len(self.channel_mults) - 1

    @property
    def skip_channels(self) -> list[int]:
        """Channels of every skip, first to last: the entry's, then each stage's of the way down."""
        channels = [self.base_channels]
        for level, width in enumerate(self.widths):
            if level > 0:
                channels.append(channels[-1])
            channels.extend([width] * self.blocks_per_level)
        return channels
