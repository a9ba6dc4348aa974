"""The most memory a plan holds at once, by following what is alive through one forward, without running anything.

What is counted is what the process holds in all: the program, all weights, the latents of a segment in all their
copies, and the tensors alive at the *crests* of the work, where a block holds the most. Tensors are told by their
sizes, since the C library keeps freed blocks below a size for itself (measured with glibc; never on a GPU). A test
counts the tensors of real forwards against it, and `benchmarks/memory_plan.py` the process. Knows shapes and numbers
only, and loads no torch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from venhancer.model_files.network_shape import NetworkShape
from venhancer.model_files.traits import ModelTraits
from venhancer.planning.estimate import Grid, skip_sizes
from venhancer.settings import Offload, Solver

Crest = list[int]
"""Sizes of the tensors alive at one moment, in values."""

PROGRAM = 540_000_000  # bytes of interpreter and libraries, before any model is loaded
HEAP_BLOCK = 32 * 2**20  # bytes: freed blocks below stay with the C library (glibc's largest threshold), so that ...
HEAP_SHARE = 0.7  # ... of the most that such blocks take, about this share comes on top of all that lives
LATENT_COPIES = {"ddim": 5, "dpmpp_2m_sde": 9, "heun": 9}  # float32: start, keys, x now and before, x0, noise, blend
FLOW_COPIES = 48  # float32 values a pixel while a frame is moved along the flow
FRAME_COPIES = 12  # float32 values a pixel while a frame is resized, or cropped and rounded
ENCODED_WIDTHS = 2.5  # of the image autoencoder's second width at every pixel of a frame; counted, not fitted
DECODED_WIDTHS, DECODED_TOGETHER_WIDTHS = 3, 4  # frames one by one, or several together
FRAMES_READ, FRAMES_WRITTEN = 24, 64  # that decoder and encoder hold, at one and a half bytes a pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How the work is carried out: it costs time or memory and changes no picture.

    Args:
        slice_tokens: most tokens that attention and feed-forward hold at once, in whole frames; None means all.
        batches_guidance: whether both prompts go through the networks together.
        offload: which weights wait in main memory until the device needs them.
    """

    slice_tokens: int | None = None
    batches_guidance: bool = True
    offload: Offload = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is in memory together.

    Args:
        grid: the largest window, or of tiles the largest tile of it.
        context: frames of the longest segment.
        height: rows of latents in all.
        width: columns of latents in all.
        carried: float32 latents that a segment hands on, over all evaluations.
        is_guided: whether each evaluation takes two prompts.
        solver: that walks from noise to latents.
        input_pixels: of a frame of the clip.
        coded: pixels that the autoencoder works on at once, as rows and columns of latents.
    """

    grid: Grid
    context: int
    height: int
    width: int
    carried: int
    is_guided: bool
    solver: Solver
    input_pixels: int
    coded: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The most memory held at once, in bytes, by what holds it.

    Args:
        program: interpreter and libraries.
        weights: of the networks, the autoencoder and the text encoder, as many as are on the device at once.
        latents: of a segment, in all copies.
        frames: pictures on their way in and out.
        activations: of networks and autoencoder, whichever take more.
    """

    program: int
    weights: int
    latents: int
    frames: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.program + self.weights + self.latents + self.frames + self.activations


def footprint(traits: ModelTraits, work: Work, execution: Execution, value_bytes: int) -> Footprint:
    """Return the most memory that some work holds at once.

    Args:
        traits: of the model.
        work: what is in memory together.
        execution: how it is carried out.
        value_bytes: bytes of a network's value, 4 or 2.
    """
    frame = work.height * work.width
    pixels = frame * traits.pixels_per_latent**2
    prompts = 2 if work.is_guided and execution.batches_guidance else 1
    held = _network_resident(traits.network, work.grid, prompts, execution.slice_tokens, value_bytes)
    coding = _resident(autoencoder_crests(traits, *work.coded), value_bytes)
    tensors = max(held.alive, coding.alive) + round(HEAP_SHARE * max(held.small, coding.small))
    return Footprint(
        program=PROGRAM,
        weights=value_bytes * resident_weights(traits, execution.offload),
        latents=_latents(traits, work, frame),
        frames=(3 * FRAMES_READ * work.input_pixels + 3 * FRAMES_WRITTEN * pixels) // 2 + 4 * FRAME_COPIES * pixels,
        activations=max(tensors, 4 * FLOW_COPIES * pixels if traits.moves_frames or traits.steadying else 0),
    )


def resident_weights(traits: ModelTraits, offload: Offload) -> int:
    """Return how many values of all weights are on the device at once."""
    if offload == "components":
        return traits.largest_component
    return traits.largest_group if offload == "groups" else traits.parameters + traits.companion_parameters


class Resident(NamedTuple):
    """Bytes of tensors at their most: of all together, and of the small ones, which are not given back when freed."""

    alive: int
    small: int


@cache
def _network_resident(
    shape: NetworkShape, grid: Grid, prompts: int, slice_tokens: int | None, value_bytes: int
) -> Resident:
    return _resident(network_crests(shape, grid, prompts, slice_tokens), value_bytes)


def _resident(crests: Iterable[Crest], value_bytes: int) -> Resident:
    largest = HEAP_BLOCK // value_bytes
    alive, small = 0, 0
    for sizes in crests:
        alive = max(alive, sum(sizes))
        small = max(small, sum(size for size in sizes if size < largest))
    return Resident(value_bytes * alive, value_bytes * small)


def _latents(traits: ModelTraits, work: Work, frame: int) -> int:
    """Return the bytes of a segment's latents in all copies, gaps included where a copy is small."""
    copy = 4 * work.context * frame * traits.latent_channels
    latents = LATENT_COPIES[work.solver] * copy + 4 * work.carried
    return latents if copy >= HEAP_BLOCK else round((1 + HEAP_SHARE) * latents)


def autoencoder_crests(traits: ModelTraits, height: int, width: int) -> Iterator[Crest]:
    """Yield the crests of coding latents of so many rows and columns; none for a linear autoencoder, which is small."""
    features = traits.autoencoder_width * height * width * traits.pixels_per_latent**2
    if features:
        copies = DECODED_WIDTHS if traits.decode_window == 1 else DECODED_TOGETHER_WIDTHS
        yield [round(ENCODED_WIDTHS * features / 5)] * 5
        yield [traits.decode_window * features] * copies


def network_crests(shape: NetworkShape, grid: Grid, prompts: int, slice_tokens: int | None = None) -> Iterator[Crest]:
    """Yield the crests of a forward of both networks, in the order they come.

    Args:
        shape: of the networks.
        grid: of the latents.
        prompts: that go through together.
        slice_tokens: see `Execution`.
    """
    walk = _Walk(shape, prompts, slice_tokens)
    residuals = [prompts * channels * level.tokens for channels, level in skip_sizes(shape, grid)]
    middle = residuals[-1]
    yield from walk.encoder(grid, [])
    yield from walk.encoder(grid, [*residuals, middle])
    yield from walk.decoder(grid, residuals, middle)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Goes through a network as its forward does; each method yields the crests of a part, with what is held beside."""

    shape: NetworkShape
    prompts: int
    slice_tokens: int | None

    def encoder(self, grid: Grid, held: Crest) -> Iterator[Crest]:
        """Yield the crests of the way down and the middle; every stage's output is kept as a skip."""
        shape, rows, channels = self.shape, 1, self.shape.base_channels
        alive = [*held, channels * grid.tokens]
        yield alive + self._transformer(grid, 1, shape.entry_width, across_time=True)
        for level, (width, attention) in enumerate(zip(shape.widths, shape.attention_levels, strict=True)):
            if level > 0:
                grid = grid.down()
                alive = [*alive, rows * channels * grid.tokens]
            for _ in range(shape.blocks_per_level):
                yield from self._stage(grid, rows, channels, width, alive, attention=attention)
                rows, channels = self.prompts if attention else rows, width
                alive = [*alive, rows * channels * grid.tokens]
        yield from self._stage(grid, rows, channels, channels, alive, attention=True)
        repeated = [size * self.prompts for size in alive[len(held) :] if rows < self.prompts]
        yield alive + repeated

    def decoder(self, grid: Grid, skips: Crest, middle: int) -> Iterator[Crest]:
        """Yield the crests of the way up; every skip goes as it is used."""
        shape, sizes, x = self.shape, skip_sizes(self.shape, grid), middle
        kept = list(skips)
        for level in reversed(range(len(shape.widths))):
            width = shape.widths[level]
            for block in range(shape.blocks_per_level + 1):
                here = sizes.pop()[1]
                joined = x + kept[-1]
                yield [*kept, x, joined]
                kept.pop()
                entering = joined // (self.prompts * here.tokens)
                alive = [*kept, joined]
                yield from self._stage(
                    here, self.prompts, entering, width, alive, attention=shape.attention_levels[level]
                )
                x = self.prompts * width * here.tokens
                if level > 0 and block == shape.blocks_per_level:
                    above = self.prompts * width * sizes[-1][1].tokens
                    yield [*alive, x, above, above]
                    x = above

    def _stage(
        self, grid: Grid, rows: int, entering: int, width: int, alive: Crest, *, attention: bool
    ) -> Iterator[Crest]:
        """Yield the crests of a ResBlock and, where there is attention, of both transformers."""
        tokens = rows * grid.tokens
        before, after = tokens * entering, tokens * width
        yield alive + max([before] * 2, [before, after], [after] * 4, key=sum)
        if attention:
            x = self.prompts * grid.tokens * width
            yield [*alive, x, *self._transformer(grid, self.prompts, width)]

    def _transformer(self, grid: Grid, rows: int, inner: int, *, across_time: bool = False) -> Crest:
        """Return what a transformer holds beside its input: most in its feed-forward, else in its attention."""
        tokens = rows * grid.tokens
        whole = inner * tokens
        slice_tokens = tokens if self.slice_tokens is None else max(self.slice_tokens, grid.pixels)
        if slice_tokens >= tokens:
            return _feed_forward(whole, whole)
        part = inner * (slice_tokens // grid.pixels) * grid.pixels
        attended = [whole] * (4 if across_time else 6)
        return max(attended, [*_feed_forward(whole, part), whole - part], key=sum)


def _feed_forward(whole: int, part: int) -> Crest:
    """Return the sizes of tokens, their norm, value and gate side by side, the activated gate and the product."""
    return [whole, whole, 8 * part, 4 * part, 4 * part]
