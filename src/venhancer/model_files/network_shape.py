"""The hyper-parameters of both networks and the order of their blocks.

The networks are built, and a plan's FLOPs and memory counted, by the same walk over the blocks. Loads nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

EXTRA_ROWS = 2  # of latents: every level pads its rows by two more than it halves


class Grid(NamedTuple):
    """Where a level works: latents of `height` x `width` in each of `frames`."""

    frames: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Latents in a frame."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Latents in all frames."""
        return self.frames * self.pixels

    def at(self, level: int) -> "Grid":
        """Return the grid so many levels down; one level pads two rows above and below, so h becomes h/2 + 1."""
        return self if level == 0 else Grid(self.frames, self.height // 2 + 1, self.width // 2).at(level - 1)


class Block(NamedTuple):
    """What a network runs at once.

    Args:
        kind: "entry" is the first convolution and a temporal transformer, "stage" a ResBlock and, with attention, both
            transformers, "middle" a stage and another ResBlock, "down" and "up" a convolution between levels.
        level: on which its output lies.
        entering: channels of its input, the skip it takes in included.
        leaving: channels of its output, which is kept as a skip on the way down.
        attention: whether it has the two transformers.
    """

    kind: Literal["entry", "stage", "middle", "down", "up"]
    level: int
    entering: int
    leaving: int
    attention: bool = False


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
        entry_heads: heads of the temporal transformer that follows the first convolution; 0 leaves it out.
        norm_groups: groups of every group normalisation; 0 leaves them out.
        temporal_convs: convolutions along time in a ResBlock.
        middle_attention: whether the middle carries the two transformers; in a network without any transformer that
            reads the prompt, the mean of the prompt's embeddings is added to the time embedding.
        control_channels: width of the ControlNet's first level; None if it is a copy of the base network's encoder.

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
    temporal_convs: int = 4
    middle_attention: bool = True
    control_channels: int | None = None

    def __post_init__(self) -> None:
        levels, attended = len(self.channel_mults), len(self.attention_levels)
        if levels != attended:
            raise ValueError(
                f"channel_mults has {levels} levels and attention_levels {attended}; set one entry per level in both"
            )
        for width in (self.base_channels, *self.widths):
            if width % max(1, self.norm_groups) or width % self.head_dim:
                divisors = f"norm_groups {self.norm_groups} and head_dim {self.head_dim}"
                raise ValueError(f"width {width} must be a multiple of {divisors}")

    @property
    def control(self) -> "NetworkShape":
        """The shape of the ControlNet's encoder."""
        return replace(self, base_channels=self.control_channels or self.base_channels, control_channels=None)

    def arguments(self) -> dict[str, Any]:
        """Return what the base network is built with."""
        return {name: value for name, value in asdict(self).items() if name != "control_channels"}

    @property
    def attends_to_text(self) -> bool:
        """Whether any transformer reads the prompt."""
        return self.middle_attention or any(self.attention_levels)

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
    def period(self) -> int:
        """The step of sizes the networks accept: `period` k + `EXTRA_ROWS` rows of latents by `period` k columns."""
        return 2**self.downsamplings

    def way_down(self) -> Iterator[Block]:
        """Yield the blocks that both networks share, in the order they run; the middle is the last."""
        channels = self.base_channels
        yield Block("entry", 0, self.in_channels, channels)
        for level, (width, attention) in enumerate(zip(self.widths, self.attention_levels, strict=True)):
            if level > 0:
                yield Block("down", level, channels, channels)
            for _ in range(self.blocks_per_level):
                yield Block("stage", level, channels, width, attention)
                channels = width
        yield Block("middle", self.downsamplings, channels, channels, self.middle_attention)

    def way_up(self) -> Iterator[Block]:
        """Yield the blocks of the base network after the middle, without its last convolution."""
        skips, channels = self.skips, self.widths[-1]
        for level in reversed(range(len(self.widths))):
            for _ in range(self.blocks_per_level + 1):
                yield Block(
                    "stage", level, channels + skips.pop().leaving, self.widths[level], self.attention_levels[level]
                )
                channels = self.widths[level]
            if level > 0:
                yield Block("up", level - 1, channels, channels)

    @property
    def skips(self) -> list[Block]:
        """The blocks whose outputs the way up takes in again, first to last: all of the way down but the middle."""
        return [*self.way_down()][:-1]
