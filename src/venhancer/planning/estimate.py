"""What a plan will cost, by pure arithmetic from a network's shape: floating-point operations and values moved.

FLOPs are exact products, 2 a multiply-add, of every convolution, linear layer and attention, in the order the network
runs them; normalisations, activations and sums only move values, and are counted so: each operator reads its inputs and
writes its result. `venhancer.planning.footprint` tells the bytes held. It knows shapes and ranges only, and loads no
torch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, takewhile
from typing import NamedTuple, TypeAlias

from venhancer.diffusion.timetable import Evaluation
from venhancer.model_files.network_shape import Block, Grid, NetworkShape
from venhancer.model_files.traits import ModelTraits

CONTROL, ENCODER, DECODER = "control", "encoder", "decoder"
ELEMENTWISE = "elementwise"


class Product(NamedTuple):
    """One layer's share of the work.

    Args:
        part: of the networks.
        kind: of layer.
        macs: multiply-adds.
        values: read and written, weights included.
    """

    part: str
    kind: str
    macs: int
    values: int = 0


Measure: TypeAlias = Callable[[Product], float]
"""What a layer costs, in whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Forward:
    """What one forward of both networks with one prompt costs, in FLOPs, or in seconds.

    Args:
        by_part: "control", "encoder" (the base network's way down and middle) and "decoder".
        by_kind: the same total by kind of layer.
        before_text: the share that comes before the first cross-attention of each network, so that two prompts give the
            same: it is needed once for both branches of guidance.
    """

    by_part: Mapping[str, float]
    by_kind: Mapping[str, float]
    before_text: float

    @property
    def total(self) -> float:
        """Cost of the whole forward."""
        return sum(self.by_part.values())

    @property
    def guided(self) -> float:
        """Cost of a guided step: two prompts, what comes before the text shared."""
        return 2 * self.total - self.before_text

    def of(self, evaluation: Evaluation, *, shares_prompts: bool) -> float:
        """Return the cost of an evaluation; where it reuses features, that of the way up."""
        if evaluation.reuses:
            return (2 if evaluation.is_guided else 1) * self.by_part[DECODER]
        if not evaluation.is_guided:
            return self.total
        return self.guided if shares_prompts else 2 * self.total


def flops(product: Product) -> int:
    """Return a layer's FLOPs."""
    return 2 * product.macs


@lru_cache(maxsize=1024)  # a plan weighs many layouts, of which most have windows and tiles in common
def network_flops(
    shape: NetworkShape,
    frames: int,
    height: int,
    width: int,
    text_tokens: int,
    *,
    key_frames: int | None = None,
    measure: Measure = flops,
) -> Forward:
    """Return the FLOPs of one forward over `frames` of `height` x `width` latents, or what else is measured of it.

    Text keys and values are counted once a frame, as the published program computes them; computed once a prompt they
    save less than 0.1 %.

    Args:
        shape: of the networks.
        frames: frames in the window.
        height: rows of latents.
        width: columns of latents.
        text_tokens: length of the text embeddings.
        key_frames: how many of the frames are key frames; all if left out.
        measure: what to add up, layer by layer.
    """
    grid = Grid(frames, height, width)
    keys = grid._replace(frames=frames if key_frames is None else key_frames)
    control, base, decoder = (
        _Layers(part, of_part, text_tokens)
        for part, of_part in ((CONTROL, shape.control), (ENCODER, shape), (DECODER, shape))
    )
    way_in = [control.convolution(keys, shape.in_channels, control.shape.base_channels, "control convolutions")]
    halves = [[*way_in, *control.way_down(grid)], list(base.way_down(grid))]

    by_part, by_kind = dict[str, float](), dict[str, float]()
    for product in chain(*halves, control.control_outputs(grid, shape), decoder.way_up(grid)):
        if cost := measure(product):
            by_part[product.part] = by_part.get(product.part, 0) + cost
            by_kind[product.kind] = by_kind.get(product.kind, 0) + cost
    shared = halves if shape.attends_to_text else []
    before_text = [product for half in shared for product in takewhile(_is_before_text, half)]
    return Forward(by_part, by_kind, sum(map(measure, before_text)))


def _is_before_text(product: Product) -> bool:
    return not product.kind.startswith("cross-attention")


class _Layers(NamedTuple):
    """The layers of one part of the networks, in the order they run."""

    part: str
    shape: NetworkShape
    text_tokens: int

    def way_down(self, grid: Grid) -> Iterator[Product]:
        """Yield what both networks have: embedding, first convolution, way down, middle."""
        weights = self.shape.base_channels * self.shape.embed_dim + self.shape.embed_dim**2
        yield Product(self.part, "embeddings", weights, weights)
        for block in self.shape.way_down():
            yield from self.block(block, grid.at(block.level))

    def way_up(self, grid: Grid) -> Iterator[Product]:
        """Yield the way up and the last convolution."""
        for block in self.shape.way_up():
            if block.kind == "stage":  # x and a skip become one
                yield self.elementwise(grid.at(block.level), block.entering, 2)
            yield from self.block(block, grid.at(block.level))
        yield self.elementwise(grid, self.shape.widths[0], 4)
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
        weights = shape.base_channels * shape.embed_dim + 2 * shape.embed_dim**2
        yield Product(self.part, "embeddings", weights, weights)
        for own, block in zip(shape.way_down(), base.way_down(), strict=True):  # each skip's, and the middle's
            here = grid.at(block.level)
            yield self.linear(here, own.leaving, block.leaving, "control convolutions")
            yield self.elementwise(here, block.leaving, 3)  # what it adds to the base network's

    def stage(self, grid: Grid, entering: int, width: int, *, attention: bool) -> Iterator[Product]:
        """Yield a ResBlock and, where there is attention, both transformers."""
        normed = 4 if self.shape.norm_groups else 2  # values read and written by a norm and an activation
        yield self.elementwise(grid, entering, normed)
        yield self.convolution(grid, entering, width)
        weights = self.shape.embed_dim * width
        yield Product(self.part, "embeddings", grid.frames * weights, weights)
        yield self.elementwise(grid, width, 2 + normed)
        yield self.convolution(grid, width, width)
        if entering != width:
            yield self.linear(grid, entering, width, "spatial convolutions")
        yield self.elementwise(grid, width, 3)
        for _ in range(self.shape.temporal_convs):
            yield self.elementwise(grid, width, normed)
            yield self.linear(grid, width, width, "temporal convolutions", taps=3)
        if self.shape.temporal_convs:
            yield self.elementwise(grid, width, 3)
        if attention:
            yield from self.spatial_transformer(grid, width)
            yield from self.temporal_transformer(grid, width, width)

    def elementwise(self, grid: Grid, width: int, times: int) -> Product:
        """Return operators that read and write features of a width so many times in all."""
        return Product(self.part, ELEMENTWISE, 0, times * grid.tokens * width)

    def convolution(self, grid: Grid, entering: int, leaving: int, kind: str = "spatial convolutions") -> Product:
        """Return a 3x3 convolution onto `grid`."""
        return self.linear(grid, entering, leaving, kind, taps=9)

    def linear(self, grid: Grid, entering: int, leaving: int, kind: str, *, taps: int = 1) -> Product:
        """Return a layer that makes every token of as many as it has taps."""
        weights = taps * entering * leaving
        return Product(self.part, kind, grid.tokens * weights, grid.tokens * (entering + leaving) + weights)

    def attention(self, grid: Grid, width: int, others: int, kind: str) -> Product:
        """Return the attention of every token to some others, queries, keys, values and result moved once."""
        return Product(self.part, kind, 2 * grid.tokens * others * width, 4 * grid.tokens * width)

    def spatial_transformer(self, grid: Grid, width: int) -> Iterator[Product]:
        """Yield self-attention within each frame, cross-attention to the text and a GEGLU feed-forward."""
        shape = self.shape
        yield self.elementwise(grid, width, 2)
        yield self.linear(grid, width, width, "spatial projections")
        yield self.elementwise(grid, width, 2)
        for _ in range(4):
            yield self.linear(grid, width, width, "spatial self-attention linears")
        yield self.attention(grid, width, grid.pixels, "spatial self-attention")
        yield self.elementwise(grid, width, 5)
        text = 2 * grid.frames * self.text_tokens * shape.text_dim * width
        yield Product(self.part, "cross-attention linears", text, 2 * shape.text_dim * width)
        for _ in range(2):
            yield self.linear(grid, width, width, "cross-attention linears")
        yield self.attention(grid, width, self.text_tokens, "cross-attention")
        yield self.elementwise(grid, width, 5)
        yield from self.feed_forward(grid, width, "spatial")
        yield self.linear(grid, width, width, "spatial projections")
        yield self.elementwise(grid, width, 3)

    def feed_forward(self, grid: Grid, width: int, where: str) -> Iterator[Product]:
        """Yield a GEGLU feed-forward, its gate and the sum after it."""
        yield self.linear(grid, width, 8 * width, f"{where} feed-forward")
        yield self.elementwise(grid, width, 8 + 12)
        yield self.linear(grid, 4 * width, width, f"{where} feed-forward")
        yield self.elementwise(grid, width, 3)

    def temporal_transformer(self, grid: Grid, width: int, inner: int) -> Iterator[Product]:
        """Yield two self-attentions over the frames at each latent and a GEGLU feed-forward, `inner` wide."""
        yield self.elementwise(grid, width, 2)
        yield self.linear(grid, width, inner, "temporal projections")
        for _ in range(2):
            yield self.elementwise(grid, inner, 2 + 4)  # the norm, and tokens regrouped to pixels and back
            for _ in range(4):
                yield self.linear(grid, inner, inner, "temporal attention linears")
            yield self.attention(grid, inner, grid.frames, "temporal attention")
            yield self.elementwise(grid, inner, 3)
        yield self.elementwise(grid, inner, 2)
        yield from self.feed_forward(grid, inner, "temporal")
        yield self.linear(grid, inner, width, "temporal projections")
        yield self.elementwise(grid, width, 3)


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
    forwards = {length: network_flops(traits.network, length, rows, columns, traits.text_tokens) for length in lengths}
    work = sum(
        count * forwards[length].of(evaluation, shares_prompts=shares_prompts)
        for length, count in lengths.items()
        for evaluation in evaluations
    )
    pixels = height * width * traits.pixels_per_latent**2
    coded_pixels = sum(len(context) for context, _ in segments) * pixels
    return Estimate(
        network_flops=round(tiles * work),
        autoencoder_flops=0 if traits.autoencoder_width else 2 * 2 * 3 * traits.latent_channels * coded_pixels,
    )
