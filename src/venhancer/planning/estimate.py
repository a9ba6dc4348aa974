"""What a plan will cost, by pure arithmetic from a network's shape: floating-point operations.

FLOPs are exact products, 2 a multiply-add, of every convolution, linear layer and attention, in the order the network
runs them; normalisations, activations and copies are not counted. `venhancer.planning.footprint` tells the bytes. It
knows shapes and ranges only, and loads no torch.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import NamedTuple

from venhancer.diffusion.timetable import Evaluation
from venhancer.model_files.network_shape import Block, Grid, NetworkShape
from venhancer.model_files.traits import ModelTraits

CONTROL, ENCODER, DECODER = "control", "encoder", "decoder"
FEED_FORWARD_WIDTHS = 8 + 4  # GEGLU: value and gate side by side, then their product


class Product(NamedTuple):
    """One layer's share of the work: in which part of the networks, of which kind, how many multiply-adds."""

    part: str
    kind: str
    macs: int


@dataclass(frozen=True, slots=True)
class Flops:
    """FLOPs of one forward of both networks with one prompt.

    Args:
        by_part: "control", "encoder" (the base network's way down and middle) and "decoder".
        by_kind: the same total by kind of layer.
        before_text: the share that comes before the first cross-attention of each network, so that two prompts give the
            same: it is needed once for both branches of guidance.
    """

    by_part: Mapping[str, int]
    by_kind: Mapping[str, int]
    before_text: int

    @property
    def total(self) -> int:
        """FLOPs of the whole forward."""
        return sum(self.by_part.values())

    @property
    def guided(self) -> int:
        """FLOPs of a guided step: two prompts, what comes before the text shared."""
        return 2 * self.total - self.before_text

    def of(self, evaluation: Evaluation, *, shares_prompts: bool) -> int:
        """Return the FLOPs of an evaluation; where it reuses features, those of the way up."""
        if evaluation.reuses:
            return (2 if evaluation.is_guided else 1) * self.by_part[DECODER]
        if not evaluation.is_guided:
            return self.total
        return self.guided if shares_prompts else 2 * self.total


def network_flops(
    shape: NetworkShape, frames: int, height: int, width: int, text_tokens: int, *, key_frames: int | None = None
) -> Flops:
    """Return the FLOPs of one forward over `frames` of `height` x `width` latents.

    Text keys and values are counted once a frame, as the published program computes them; computed once a prompt they
    save less than 0.1 %.

    Args:
        shape: of the networks.
        frames: frames in the window.
        height: rows of latents.
        width: columns of latents.
        text_tokens: length of the text embeddings.
        key_frames: how many of the frames are key frames; all if left out.
    """
    grid = Grid(frames, height, width)
    keys = grid._replace(frames=frames if key_frames is None else key_frames)
    control, base, decoder = (
        _Layers(part, of_part, text_tokens)
        for part, of_part in ((CONTROL, shape.control), (ENCODER, shape), (DECODER, shape))
    )
    way_in = [control.convolution(keys, shape.in_channels, control.shape.base_channels, "control convolutions")]
    halves = [[*way_in, *control.way_down(grid)], list(base.way_down(grid))]

    by_part, by_kind = Counter[str](), Counter[str]()
    for part, kind, macs in chain(*halves, control.control_outputs(grid, shape), decoder.way_up(grid)):
        by_part[part] += 2 * macs
        by_kind[kind] += 2 * macs
    shared = halves if shape.attends_to_text else []
    before_text = [product for half in shared for product in takewhile(_is_before_text, half)]
    return Flops(dict(by_part), dict(by_kind), 2 * sum(product.macs for product in before_text))


def _is_before_text(product: Product) -> bool:
    return not product.kind.startswith("cross-attention")


class _Layers(NamedTuple):
    """The layers of one part of the networks, in the order they run."""

    part: str
    shape: NetworkShape
    text_tokens: int

    def way_down(self, grid: Grid) -> Iterator[Product]:
        """Yield what both networks have: embedding, first convolution, way down, middle."""
        yield Product(
            self.part, "embeddings", self.shape.base_channels * self.shape.embed_dim + self.shape.embed_dim**2
        )
        for block in self.shape.way_down():
            yield from self.block(block, grid.at(block.level))

    def way_up(self, grid: Grid) -> Iterator[Product]:
        """Yield the way up and the last convolution."""
        for block in self.shape.way_up():
            yield from self.block(block, grid.at(block.level))
        yield self.convolution(grid, self.shape.widths[0], self.shape.out_channels)

    def block(self, block: Block, grid: Grid) -> Iterator[Product]:
        """Yield the layers of one block, `grid` being that of its output."""
        if block.kind in ("stage", "middle"):
            yield from self.stage(grid, block.entering, block.leaving, attention=block.attention)
        else:
            yield self.convolution(grid, block.entering, block.leaving)
        if block.kind == "entry" and self.shape.entry_heads:
            yield from self.temporal_transformer(grid, block.leaving, self.shape.entry_width)
        elif block.kind == "middle":
            yield from self.stage(grid, block.leaving, block.leaving, attention=False)

    def control_outputs(self, grid: Grid, base: NetworkShape) -> Iterator[Product]:
        """Yield the ControlNet's own: embeddings of noise level and scale, and a 1x1 convolution for each output."""
        shape = self.shape
        yield Product(self.part, "embeddings", shape.base_channels * shape.embed_dim + 2 * shape.embed_dim**2)
        for own, block in zip(shape.way_down(), base.way_down(), strict=True):  # each skip's, and the middle's
            macs = grid.at(block.level).tokens * own.leaving * block.leaving
            yield Product(self.part, "control convolutions", macs)

    def stage(self, grid: Grid, entering: int, width: int, *, attention: bool) -> Iterator[Product]:
        """Yield a ResBlock and, where there is attention, both transformers."""
        yield self.convolution(grid, entering, width)
        yield Product(self.part, "embeddings", grid.frames * self.shape.embed_dim * width)
        yield self.convolution(grid, width, width)
        if entering != width:
            yield Product(self.part, "spatial convolutions", grid.tokens * entering * width)
        yield Product(self.part, "temporal convolutions", self.shape.temporal_convs * 3 * grid.tokens * width**2)
        if attention:
            yield from self.spatial_transformer(grid, width)
            yield from self.temporal_transformer(grid, width, width)

    def convolution(self, grid: Grid, entering: int, leaving: int, kind: str = "spatial convolutions") -> Product:
        """Return a 3x3 convolution onto `grid`."""
        return Product(self.part, kind, 9 * grid.tokens * entering * leaving)

    def spatial_transformer(self, grid: Grid, width: int) -> Iterator[Product]:
        """Yield self-attention within each frame, cross-attention to the text and a GEGLU feed-forward."""
        square = grid.tokens * width**2
        text = 2 * grid.frames * self.text_tokens * self.shape.text_dim * width
        yield Product(self.part, "spatial projections", square)
        yield Product(self.part, "spatial self-attention linears", 4 * square)
        yield Product(self.part, "spatial self-attention", 2 * grid.tokens * grid.pixels * width)
        yield Product(self.part, "cross-attention linears", 2 * square + text)
        yield Product(self.part, "cross-attention", 2 * grid.tokens * self.text_tokens * width)
        yield Product(self.part, "spatial feed-forward", FEED_FORWARD_WIDTHS * square)
        yield Product(self.part, "spatial projections", square)

    def temporal_transformer(self, grid: Grid, width: int, inner: int) -> Iterator[Product]:
        """Yield two self-attentions over the frames at each latent and a GEGLU feed-forward, `inner` wide."""
        square = grid.tokens * inner**2
        yield Product(self.part, "temporal projections", grid.tokens * width * inner)
        yield Product(self.part, "temporal attention linears", 2 * 4 * square)
        yield Product(self.part, "temporal attention", 2 * 2 * grid.tokens * grid.frames * inner)
        yield Product(self.part, "temporal feed-forward", FEED_FORWARD_WIDTHS * square)
        yield Product(self.part, "temporal projections", grid.tokens * inner * width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan will cost.

    Args:
        network_flops: of all evaluations, windows and guidance branches.
        autoencoder_flops: of the linear autoencoder; 0 for another, which is not counted.
        moved_bytes: of weights, between main memory and a GPU and back.
    """

    network_flops: int
    autoencoder_flops: int
    moved_bytes: int = 0


def estimate_cost(
    traits: ModelTraits,
    *,
    height: int,
    width: int,
    segments: Iterable[tuple[range, tuple[range, ...]]],
    evaluations: Sequence[Evaluation],
    tile: tuple[int, int] | None = None,
    tiles: int = 1,
    shares_prompts: bool = True,
) -> Estimate:
    """Return what enhancing will cost.

    Args:
        traits: of the model.
        height: rows of latents.
        width: columns of latents.
        segments: each one's context and windows, as the plan lays them out.
        evaluations: every time the solver asks for x0.
        tile: rows and columns of a tile of latents; the whole picture if left out.
        tiles: how many of them.
        shares_prompts: whether what comes before the text is computed once for both prompts.
    """
    segments = list(segments)
    lengths = Counter(len(window) for _, windows in segments for window in windows)
    rows, columns = (height, width) if tile is None else tile
    flops = {length: network_flops(traits.network, length, rows, columns, traits.text_tokens) for length in lengths}
    work = sum(
        count * flops[length].of(evaluation, shares_prompts=shares_prompts)
        for length, count in lengths.items()
        for evaluation in evaluations
    )
    pixels = height * width * traits.pixels_per_latent**2
    coded_pixels = sum(len(context) for context, _ in segments) * pixels
    return Estimate(
        network_flops=tiles * work,
        autoencoder_flops=0 if traits.autoencoder_width else 2 * 2 * 3 * traits.latent_channels * coded_pixels,
    )
