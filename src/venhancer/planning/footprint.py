"""The most memory a plan holds at once, by following live tensors through one forward, without running anything.

What is counted is what the process holds in all: the program, all weights, the latents of a segment in all their
copies, and the tensors alive at the *peaks* of the work, where a block holds the most. Tensors are known by their
sizes, since the C library keeps freed blocks below a size for itself (measured with glibc; never on a GPU). A test
counts the tensors of real forwards against it, and `benchmarks/memory_plan.py` the process. Knows shapes and numbers
only, and loads no torch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from venhancer.model_files.network_shape import Block, Grid, NetworkShape
from venhancer.model_files.traits import ModelTraits
from venhancer.planning.execution import Execution
from venhancer.runtime.heap import KEPT
from venhancer.settings import Offload, Solver

Peak = list[int]
"""Sizes of the tensors alive at one moment, in values."""

PROGRAM = 540_000_000  # bytes of interpreter and libraries, before any model is loaded
HEAP_BLOCK = 32 * 2**20  # bytes: freed blocks below stay with the C library (glibc's largest threshold), so that ...
HEAP_SHARE = 0.7  # ... of the most that such blocks take, about this share comes on top of all that lives
LATENT_COPIES = {
    "ddim": 5,
    "dpmpp_2m_sde": 9,
    "dpmpp_2m": 9,
    "unipc": 11,
    "heun": 9,
}  # float32: start, keys, x now and before, x0, noise, blend
FLOW_COPIES = 48  # float32 values a pixel while a frame is moved along the flow
FRAME_COPIES = 12  # float32 values a pixel while a frame is resized, or cropped and rounded
ENCODED_WIDTHS = 2.5  # of the image autoencoder's second width at every pixel of a frame; counted, not fitted
TINY_WIDTHS = [64] * 8  # of a tiny decoder's block: what it takes in, its memories, both side by side, and its features
DECODED_WIDTHS, DECODED_TOGETHER_WIDTHS = 3, 4  # frames one by one, or several together
FRAMES_READ, FRAMES_WRITTEN = 24, 64  # that decoder and encoder hold, at one and a half bytes a pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is in memory together.

    Args:
        grid: the largest window, or of tiles the largest tile of it.
        context: frames of the longest segment.
        height: rows of latents in all.
        width: columns of latents in all.
        carried: float32 latents that a segment hands on, over all evaluations.
        is_guided: whether any evaluation takes two prompts.
        solver: that walks from noise to latents.
        input_pixels: of a frame of the clip.
        coded: pixels that the autoencoder works on at once, as rows and columns of latents.
        kept_parts: windows' tiles that keep features from one evaluation to the next.
        coded_ahead: parts that several devices decode, or have decoded before their turn.
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
    kept_parts: int = 0
    coded_ahead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The most memory held at once, in bytes, by what holds it.

    Args:
        program: interpreter and libraries.
        weights: of the networks, the autoencoder and the text encoder, as many as are on the device at once.
        latents: of a segment, in all copies.
        frames: pictures on their way in and out.
        activations: of networks and autoencoder, whichever take more.
        features: kept from one evaluation to the next.
    """

    program: int
    weights: int
    latents: int
    frames: int
    activations: int
    features: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.program + self.weights + self.latents + self.frames + self.activations + self.features


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
    heap = Heap(value_bytes, KEPT if traits.keeps_freed_memory else HEAP_BLOCK)
    network = _network_resident(traits.network, work.grid, prompts, execution.slice_tokens, heap)
    coding = _resident(autoencoder_peaks(traits, *work.coded, whole=frame, frames=execution.coded_frames), heap)
    tensors = max(network.alive, coding.alive) + round(HEAP_SHARE * max(network.small, coding.small))
    return Footprint(
        program=PROGRAM,
        weights=value_bytes * resident_weights(traits, execution.offload),
        latents=_latents(traits, work, frame, heap),
        frames=(3 * FRAMES_READ * work.input_pixels + 3 * FRAMES_WRITTEN * pixels) // 2
        + 4 * FRAME_COPIES * pixels
        + _coded_ahead(traits, work, execution),
        activations=max(tensors, 4 * FLOW_COPIES * pixels if traits.samples_keys or traits.steadying else 0),
        features=value_bytes
        * work.kept_parts
        * (2 if work.is_guided else 1)
        * kept_features(traits.network, work.grid),
    )


def _coded_ahead(traits: ModelTraits, work: Work, execution: Execution) -> int:
    """Return the bytes of the pictures that several devices decode before their turn."""
    rows, columns = work.coded
    frames = max(traits.decode_window, execution.coded_frames)
    return 4 * 3 * frames * rows * columns * traits.pixels_per_latent**2 * work.coded_ahead


def kept_features(shape: NetworkShape, grid: Grid) -> int:
    """Return how many values the way up takes in, for one prompt."""
    blocks = [*shape.skips, shape.skips[-1]]  # and the middle's, as large as the last
    return sum(block.leaving * grid.at(block.level).tokens for block in blocks)


def resident_weights(traits: ModelTraits, offload: Offload) -> int:
    """Return how many values of all weights are on the device at once."""
    if offload == "components":
        return traits.largest_component
    return traits.largest_group if offload == "groups" else traits.parameters + traits.companion_parameters


class Resident(NamedTuple):
    """Bytes of tensors at their most: of all together, and of the small ones, which are not given back when freed."""

    alive: int
    small: int


class Heap(NamedTuple):
    """Bytes of a value, and of the smallest block that does not stay with the process when it is freed."""

    value_bytes: int
    kept: int


@cache
def _network_resident(shape: NetworkShape, grid: Grid, prompts: int, slice_tokens: int | None, heap: Heap) -> Resident:
    return _resident(network_peaks(shape, grid, prompts, slice_tokens), heap)


def _resident(peaks: Iterable[Peak], heap: Heap) -> Resident:
    alive, small = 0, 0
    for sizes in peaks:
        alive = max(alive, sum(sizes))
        small = max(small, sum(size for size in sizes if size * heap.value_bytes < heap.kept))
    return Resident(heap.value_bytes * alive, heap.value_bytes * small)


def _latents(traits: ModelTraits, work: Work, frame: int, heap: "Heap") -> int:
    """Return the bytes of a segment's latents in all copies, gaps included where a copy is small."""
    copy = 4 * work.context * frame * traits.latent_channels
    latents = LATENT_COPIES[work.solver] * copy + 4 * work.carried
    return latents if copy >= heap.kept else round((1 + HEAP_SHARE) * latents)


def autoencoder_peaks(traits: ModelTraits, height: int, width: int, *, whole: int, frames: int = 1) -> Iterator[Peak]:
    """Yield the peaks of coding latents of so many rows and columns; none for a linear autoencoder, which is small.

    A tiny decoder takes whole pictures, of `whole` latents. `frames` are coded at once where each is by itself.
    """
    features = traits.autoencoder_width * height * width * traits.pixels_per_latent**2
    if not features:
        return
    yield [round(ENCODED_WIDTHS * frames * features / 5)] * 5
    if traits.decoder is None and traits.decode_window == 1:
        yield [frames * features] * DECODED_WIDTHS
    elif traits.decoder is None:
        yield [traits.decode_window * features] * DECODED_TOGETHER_WIDTHS
    else:
        yield [width * whole * traits.pixels_per_latent**2 for width in TINY_WIDTHS]


def network_peaks(shape: NetworkShape, grid: Grid, prompts: int, slice_tokens: int | None = None) -> Iterator[Peak]:
    """Yield the peaks of a forward of both networks, in the order they come.

    Args:
        shape: of the networks.
        grid: of the latents.
        prompts: that go through together.
        slice_tokens: see `Execution`.
    """
    walk, control = (_Walk(each, prompts, slice_tokens) for each in (shape, shape.control))
    residuals = [prompts * skip.leaving * grid.at(skip.level).tokens for skip in shape.skips]
    middle = residuals[-1]
    yield from control.way_down(grid, [])
    yield from walk.way_down(grid, [*residuals, middle])
    yield from walk.way_up(grid, residuals, middle)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Walks through a network as its forward does; each method yields the peaks of a part, with all that is alive."""

    shape: NetworkShape
    prompts: int
    slice_tokens: int | None

    def way_down(self, grid: Grid, held: Peak) -> Iterator[Peak]:
        """Yield the peaks of the way down and the middle; every output but the middle's is kept as a skip."""
        rows, alive = 1 if self.shape.attends_to_text else self.prompts, list(held)
        for block in self.shape.way_down():
            here = grid.at(block.level)
            if block.kind in ("stage", "middle"):
                yield from self._stage(here, rows, block, alive)
            if block.kind == "middle":
                break
            rows = self.prompts if block.attention else rows
            alive.append(rows * block.leaving * here.tokens)
            if block.kind == "entry":
                yield alive + self._transformer(here, 1, self.shape.entry_width, across_time=True)
        yield alive + [size * self.prompts for size in alive[len(held) :] if rows < self.prompts]

    def way_up(self, grid: Grid, residuals: Peak, middle: int) -> Iterator[Peak]:
        """Yield the peaks of the way up; every skip goes as it is used."""
        skips, x, alive = list(residuals), middle, []
        for block in self.shape.way_up():
            leaving = self.prompts * block.leaving * grid.at(block.level).tokens
            if block.kind == "up":
                yield [*alive, x, leaving, leaving]
            else:
                joined = x + skips[-1]
                yield [*skips, x, joined]
                skips.pop()
                alive = [*skips, joined]
                yield from self._stage(grid.at(block.level), self.prompts, block, alive)
            x = leaving

    def _stage(self, grid: Grid, rows: int, block: Block, alive: Peak) -> Iterator[Peak]:
        """Yield the peaks of a ResBlock and, where there is attention, of both transformers."""
        tokens = rows * grid.tokens
        before, after = tokens * block.entering, tokens * block.leaving
        yield alive + max([before] * 2, [before, after], [after] * 4, key=sum)
        if block.attention:
            x = self.prompts * grid.tokens * block.leaving
            yield [*alive, x, *self._transformer(grid, self.prompts, block.leaving)]

    def _transformer(self, grid: Grid, rows: int, inner: int, *, across_time: bool = False) -> Peak:
        """Return what a transformer holds beside its input: most in its feed-forward, else in its attention."""
        tokens = rows * grid.tokens
        whole = inner * tokens
        slice_tokens = tokens if self.slice_tokens is None else max(self.slice_tokens, grid.pixels)
        if slice_tokens >= tokens:
            return _feed_forward(whole, whole)
        part = inner * (slice_tokens // grid.pixels) * grid.pixels
        attended = [whole] * (4 if across_time else 6)
        return max(attended, [*_feed_forward(whole, part), whole - part], key=sum)


def _feed_forward(whole: int, part: int) -> Peak:
    """Return the sizes of tokens, their norm, value and gate side by side, the activated gate and the product."""
    return [whole, whole, 8 * part, 4 * part, 4 * part]
