"""Which windows, which tiles and which way of working: of all that fit into the memory there is, the fastest.

Settings that the user gave stay. The others are tried from the largest window and the whole picture downwards, each
with the ways of working that change no picture: attention in slices, one prompt after the other. Whatever fits by its
footprint and has least to compute is taken; if nothing fits, one line says so.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from venhancer.errors import SettingsError
from venhancer.model_files.network_shape import Grid
from venhancer.model_files.traits import ModelTraits
from venhancer.planning.estimate import Estimate, estimate_cost
from venhancer.planning.execution import ITEMS_A_DEVICE, Execution, duration, executions, moved_bytes
from venhancer.planning.footprint import Footprint, Work, footprint
from venhancer.planning.layout import (
    Segment,
    divide,
    lay_tiles,
    longest_gap,
    one_segment,
    shots_together,
    smallest_tile,
)
from venhancer.planning.sampling import Sampling
from venhancer.published import program_of
from venhancer.settings import EnhanceSettings, format_memory
from venhancer.windows import Tile

Size = tuple[int, int]
Tiles = tuple[Tile, ...]
Division = tuple[int, int, tuple[Segment, ...]]
"""Most frames in a window, those that two share, and the segments so made."""

SURE_SHARE = 1 / 1.15  # of the memory: measured peaks lie up to 15 % above the footprint
SHORTEST_WINDOW = 8  # frames: below, there is too little to see of a motion
SMALLEST_TILE = 256  # pixels: smaller tiles show too little of a picture; the user may ask for them
WINDOW_SHARES = (0.75, 0.5, 0.375, 0.25)
OUT_OF_MEMORY_ERRORS = {"MemoryError", "OutOfMemoryError"}
OUT_OF_MEMORY = re.compile(
    "out of memory|[Cc]an('t|not) allocate memory|not enough memory|[Ii]nsufficient memory|bad_alloc|"
    "could not create a memory object|could not (create|execute) a primitive(?! descriptor)"  # oneDNN's words
)
MOST_TILES = 12  # on a side


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the work runs on.

    Args:
        memory: bytes that there are for it; None sets no limit.
        number_format: of the networks: fp32, bf16 or fp16.
        has_own_memory: whether it is a GPU with its own memory, so that weights can wait in main memory.
        devices: how many of them share the work on one video; `memory` is that of each.
    """

    memory: int | None = None
    number_format: str = "fp32"
    has_own_memory: bool = False
    devices: int = 1

    @property
    def value_bytes(self) -> int:
        """Bytes of a network's value."""
        return 4 if self.number_format == "fp32" else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be divided.

    Args:
        settings: the request.
        traits: of the model.
        sampling: settings over the model's defaults.
        shots: output frames of each shot.
        key_frames: numbers of the output frames that are key frames.
        latent_height: rows of latents.
        latent_width: columns of latents.
        input_pixels: of a frame of the clip.
    """

    settings: EnhanceSettings
    traits: ModelTraits
    sampling: Sampling
    shots: tuple[range, ...]
    key_frames: tuple[int, ...]
    latent_height: int
    latent_width: int
    input_pixels: int

    def divide(self, window_frames: int, window_overlap: int) -> Division:
        """Return the segments of such windows; see `layout.divide`. The published program's are its own."""
        if (program := program_of(self.settings, self.traits)) is not None:
            gap = longest_gap(self.shots, self.key_frames)
            segments = one_segment(program.windows(self.shots[-1].stop, gap - 1))
            return window_frames, window_overlap, segments
        segments = divide(
            self.shots, self.key_frames, self.traits, window_frames=window_frames, window_overlap=window_overlap
        )
        return window_frames, window_overlap, segments

    def sampled(self, frames: range) -> range:
        """Return which of the frames that go through the networks some output frames are."""
        if not self.traits.samples_keys:
            return frames
        return range(*(bisect_left(self.key_frames, end) for end in (frames.start, frames.stop)))

    def lay_tiles(self, tile: Size | None) -> Tiles:
        """Return the tiles of a size in pixels; see `layout.lay_tiles`."""
        return lay_tiles(self.latent_width, self.latent_height, tile, self.traits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the output is divided and worked on.

    Args:
        task: what was divided.
        window_frames: most frames in a window.
        window_overlap: frames that two windows share, about.
        segments: of the output.
        shots_at_once: of neighbouring segments that are whole shots, how many several devices work on together.
        tiles: of a picture, as the networks see it.
        coded_tiles: of a picture, as the autoencoder sees it.
        execution: how it is carried out.
        footprint: the most memory it takes.
        estimate: what it costs.
    """

    task: Task
    window_frames: int
    window_overlap: int
    segments: tuple[Segment, ...]
    shots_at_once: int
    tiles: Tiles
    coded_tiles: Tiles
    execution: Execution
    footprint: Footprint
    estimate: Estimate


def choose_layout(task: Task, machine: Machine) -> Layout:
    """Return the fastest layout that fits.

    Raises:
        SettingsError: the request is impossible, or nothing fits.
    """
    if machine.devices > 1 and (task.settings.compile or any(one.reuses for one in task.sampling.evaluations)):
        raise SettingsError(
            "several devices neither reuse features nor compile; omit --devices, or pass --feature-reuse 0 and omit "
            "--compile"
        )
    room = math.inf if machine.memory is None else machine.memory * SURE_SHARE
    divisions = [task.divide(task.sampling.window_frames, task.sampling.window_overlap)]
    tilings = [task.lay_tiles(task.settings.tile)]
    if (
        layout := _fastest(_layouts(task, machine, divisions, tilings=tilings, codings=tilings, room=room), room)
    ) is not None:
        return layout
    if task.settings.window_frames is None and not task.settings.published:
        divisions += _shorter_windows(task)
    codings = [*tilings, *_smaller_tiles(task)]
    every = _layouts(
        task, machine, divisions, tilings=tilings if task.settings.tile else codings, codings=codings, room=room
    )
    if (layout := _fastest(every, room)) is not None:
        return layout
    raise SettingsError(_nothing_fits(task, machine, min(every, key=lambda one: one.footprint.total)))


def smaller_layout(machine: Machine, layout: Layout) -> Layout | None:
    """Return the fastest layout that needs clearly less memory and has the same segments; None if there is none.

    One segment hands frames of the whole picture to the next, so that tiles and ways of working may
    change from one segment to the next, and windows may not.
    """
    task, divisions = layout.task, [(layout.window_frames, layout.window_overlap, layout.segments)]
    smaller = list(_smaller_tiles(task))
    room = layout.footprint.total * SURE_SHARE
    tilings = [layout.tiles, *([] if task.settings.tile else smaller)]
    codings = [layout.coded_tiles, *smaller]
    return _fastest(_layouts(task, machine, divisions, tilings=tilings, codings=codings, room=room), room)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on any device and in any library."""
    kinds = {kind.__name__ for kind in type(error).__mro__}  # torch's own is known by its name: torch may not be loaded
    return not kinds.isdisjoint(OUT_OF_MEMORY_ERRORS) or bool(OUT_OF_MEMORY.search(str(error)))


def _fastest(layouts: Sequence[Layout], room: float) -> Layout | None:
    fitting = (layout for layout in layouts if layout.footprint.total <= room)
    return min(fitting, default=None, key=lambda one: (duration(one.estimate, one.execution), len(one.coded_tiles)))


def _layouts(
    task: Task,
    machine: Machine,
    divisions: Sequence[Division],
    *,
    tilings: Sequence[Tiles],
    codings: Sequence[Tiles],
    room: float,
) -> list[Layout]:
    """Return every combination of windows, tiles and ways of working.

    The autoencoder sees the largest tiles, of those in `codings`, with which a combination has room.
    """
    layouts = []
    ways = list(executions(task.settings, is_guided=task.sampling.is_guided, has_own_memory=machine.has_own_memory))
    counted = [(division, _sample(task, division[2])) for division in divisions]
    for ((frames, overlap, segments), samples), tiles in product(counted, tilings):
        estimates = {together: _estimate(task, samples, tiles, batched=together) for together in (True, False)}
        parts = len(tiles) * sum(len(segment.windows) for segment in segments)
        counts = {
            "evaluations": parts * len(task.sampling.evaluations),
            "guided_evaluations": parts * task.sampling.guided_evaluations,
        }
        at_once = len(tiles) * samples.most_windows
        shots = max(map(len, shots_together(segments, -(-machine.devices // at_once))))
        for execution in ways:
            if shots * at_once < machine.devices and task.sampling.is_guided and execution.batches_guidance:
                continue  # prompts apart give the other devices something to do
            choices = codings if task.traits.autoencoder_width else codings[:1]
            works = (_work(task, samples, tiles, one, shots=shots, devices=machine.devices) for one in choices)
            costs = [footprint(task.traits, work, execution, machine.value_bytes) for work in works]
            fits = (number for number, cost in enumerate(costs) if cost.total <= room)
            index = next(fits, len(costs) - 1)
            moved = moved_bytes(task.traits, execution, machine.value_bytes, **counts)
            layouts.append(
                Layout(
                    task=task,
                    window_frames=frames,
                    window_overlap=overlap,
                    segments=segments,
                    shots_at_once=shots,
                    tiles=tiles,
                    coded_tiles=choices[index],
                    execution=execution,
                    footprint=costs[index],
                    estimate=replace(estimates[execution.batches_guidance], moved_bytes=moved),
                )
            )
    return layouts


def _shorter_windows(task: Task) -> Iterator[Division]:
    longest, overlap = task.sampling.window_frames, task.sampling.window_overlap
    least = max(SHORTEST_WINDOW, longest_gap(task.shots, task.key_frames) + 1)
    for share in WINDOW_SHARES:
        frames = max(round(share * longest), least)
        shared = min(overlap, frames // 2) if task.settings.window_overlap is None else overlap
        if shared < frames < longest:
            yield task.divide(frames, shared)


def _smaller_tiles(task: Task) -> Iterator[Tiles]:
    """Yield divisions into more and more tiles, the longer side first; none where the published ones are requested."""
    if task.settings.published:
        return
    unit = task.traits.pixels_per_latent
    width, height = task.latent_width * unit, task.latent_height * unit
    least = max(SMALLEST_TILE, smallest_tile(task.traits))
    tilings = set()
    for count in range(2, 2 * MOST_TILES + 1):
        across, down = ((count + 1) // 2, count // 2) if width >= height else (count // 2, (count + 1) // 2)
        size = _tile_side(width, across, least), _tile_side(height, down, least)
        try:
            tiles = task.lay_tiles(size)
        except SettingsError:  # the grid has no tiles of this size
            continue
        if len(tiles) > 1 and tiles not in tilings:
            tilings.add(tiles)
            yield tiles


def _tile_side(total: int, count: int, least: int) -> int:
    """Return the side of `count` tiles that cover `total` pixels and share a sixth, even."""
    return total if count < 2 else max(least, 2 * math.ceil(total * 6 / (5 * count + 1) / 2))


class _Samples(NamedTuple):
    """Segments in frames that go through the networks.

    Args:
        segments: context and windows of each.
        shared: most frames that one takes over and hands on.
    """

    segments: Sequence[tuple[range, tuple[range, ...]]]
    shared: int

    @property
    def most_windows(self) -> int:
        """Windows of the segment with most."""
        return max(len(windows) for _, windows in self.segments)


def _sample(task: Task, segments: Sequence[Segment]) -> _Samples:
    ends = [(one.context[: one.carried], one.context[len(one.context) - one.handed_on :]) for one in segments]
    return _Samples(
        segments=[(task.sampled(one.context), tuple(map(task.sampled, one.windows))) for one in segments],
        shared=max(sum(len(task.sampled(end)) for end in both) for both in ends),
    )


def _estimate(task: Task, samples: _Samples, tiles: Sequence[Tile], *, batched: bool) -> Estimate:
    return estimate_cost(
        task.traits,
        height=task.latent_height,
        width=task.latent_width,
        segments=samples.segments,
        evaluations=task.sampling.evaluations,
        tile=(len(tiles[0].rows), len(tiles[0].columns)),
        tiles=len(tiles),
        shares_prompts=batched,
    )


def _work(
    task: Task, samples: _Samples, tiles: Sequence[Tile], coded: Sequence[Tile], *, shots: int, devices: int
) -> Work:
    """Return the parts that are in memory together."""
    frames = max(len(window) for _, windows in samples.segments for window in windows)
    rows, columns = len(tiles[0].rows), len(tiles[0].columns)
    frame = task.latent_height * task.latent_width * task.traits.latent_channels
    return Work(
        grid=Grid(frames, rows, columns),
        context=shots * max(len(context) for context, _ in samples.segments),
        height=task.latent_height,
        width=task.latent_width,
        carried=len(task.sampling.evaluations) * samples.shared * frame,
        is_guided=task.sampling.is_guided,
        solver=task.sampling.solver,
        input_pixels=task.input_pixels,
        coded=(len(coded[0].rows), len(coded[0].columns)),
        kept_parts=len(tiles) * samples.most_windows if task.sampling.keeps_features else 0,
        coded_ahead=ITEMS_A_DEVICE * devices if devices > 1 and task.traits.autoencoder_width else 0,
    )


def _nothing_fits(task: Task, machine: Machine, smallest: Layout) -> str:
    needed = format_memory(math.ceil(smallest.footprint.total / SURE_SHARE))
    memory = format_memory(machine.memory or 0)
    flags = [f"--{name}" for name in ("window-frames", "tile") if getattr(task.settings, name.replace("-", "_"))]
    where = f"the {memory} of --memory are" if task.settings.memory else f"the {memory} of free memory are"
    advice = f"pass --memory {needed}" if task.settings.memory else f"free {needed}"
    smaller = f"omit {' and '.join(flags)}" if flags else "pass a smaller --scale or --size"
    if machine.value_bytes == 4 and smallest.footprint.weights > smallest.footprint.total / 2:
        smaller = f"--dtype bf16, or {smaller}"
    return f"{where} too little, even with the smallest tiles and windows; {advice} or more, or {smaller}"
