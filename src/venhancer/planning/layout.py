"""The layout of an output's pixels and frames: size, padding, tiles, segments and their windows.

Each function meets one part of a request exactly or refuses it in one line; the plan puts their answers together. Pure
arithmetic in integers and fractions.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from venhancer.errors import InputError, SettingsError
from venhancer.media.clip import ClipInfo
from venhancer.model_files.network_shape import EXTRA_ROWS
from venhancer.model_files.traits import ModelTraits
from venhancer.published import Program
from venhancer.settings import DEFAULT_SCALE, LARGEST_SIDE, SMALLEST_SIDE, EnhanceSettings
from venhancer.windows import Tile, split_tiles, split_windows

LARGEST_FACTOR = 8  # of size and of rate, as trained (VEnhancer, sec. 3.3)
TILE_SHARE = 6  # of a tile's side, what two neighbours share
SAME_SHAPE = Fraction(1, 50)  # shapes that differ less, as even sizes of odd ones do, are one
SEGMENT_WINDOWS = 4  # denoised and written together: bounds memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """Pixels added on each side to reach the network's grid, and cropped off again; the picture is in the middle."""

    left: int
    right: int
    top: int
    bottom: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A run of output frames of one shot that is denoised, decoded and written together.

    Neighbours of one shot share frames: what the earlier one makes of them is carried over to the later one, blended
    there with what that makes of them, and only then settled.

    Args:
        shot: all frames of its shot.
        context: frames denoised.
        windows: what the network sees at once, in numbers of the whole output; together they cover `context`.
        carried: how many of the first frames of `context` the segment before has denoised too.
        settled: frames whose latents are final afterwards: `context` without what the next segment shares.
        frames: written; over all segments every frame once, in order. They lag behind `settled` where the autoencoder
            decodes several frames together.
    """

    shot: range
    context: range
    windows: tuple[range, ...]
    carried: int
    settled: range
    frames: range

    @property
    def handed_on(self) -> int:
        """How many of the last frames of the context the next segment shares."""
        return self.context.stop - self.settled.stop

    @property
    def is_whole_shot(self) -> bool:
        """Whether the shot has no other segment."""
        return self.context == self.shot

    @property
    def ends_shot(self) -> bool:
        """Whether no segment of the same shot follows."""
        return self.context.stop == self.shot.stop


def shots_together(segments: Sequence[Segment], most: int) -> Iterator[Sequence[Segment]]:
    """Yield runs of up to `most` neighbouring segments that are whole shots; every other segment is a run of its own.

    Nothing passes from one segment of a run to another, so several devices can work on all of them.
    """
    run: list[Segment] = []
    for segment in segments:
        if run and (len(run) == most or not (segment.is_whole_shot and run[-1].is_whole_shot)):
            yield run
            run = []
        run.append(segment)
    if run:
        yield run


def output_size(clip: ClipInfo, settings: EnhanceSettings, program: Program | None = None) -> tuple[int, int]:
    """Return width and height of the output: the requested size, or each side scaled to the nearest even number.

    A side halfway between two even numbers takes the larger. A published program has sizes of its own.

    Raises:
        InputError: a side of the clip is below 16 pixels.
        SettingsError: the size is outside 1 to 8 times the clip's on a side, or a side above 16384.
    """
    if min(clip.width, clip.height) < SMALLEST_SIDE:
        size = f"{clip.width}x{clip.height}"
        raise InputError(f"{clip.path} is {size}; sides must be at least {SMALLEST_SIDE} pixels: use a larger clip")
    if program is not None:
        height, width, _ = program.size(clip.height, clip.width, settings.scale)
        return width, height
    if settings.size is None:
        scale = Fraction(str(settings.scale or DEFAULT_SCALE))
        width, height = (2 * math.floor(side * scale / 2 + Fraction(1, 2)) for side in (clip.width, clip.height))
        if max(width, height) > LARGEST_SIDE:
            largest = LARGEST_SIDE / max(clip.width, clip.height)
            advice = f"pass --scale 1 to {math.floor(largest * 100) / 100:g}" if largest >= 1 else "use a smaller clip"
            raise SettingsError(f"scale {float(scale):g} makes {width}x{height}, a side above {LARGEST_SIDE}; {advice}")
        return width, height
    width, height = settings.size
    sides = ((clip.width, width), (clip.height, height))
    if any(not side <= output <= LARGEST_FACTOR * side for side, output in sides):
        least = "x".join(str(side + side % 2) for side, _ in sides)
        most = "x".join(str(LARGEST_FACTOR * side) for side, _ in sides)
        raise SettingsError(
            f"size {width}x{height} is not 1 to {LARGEST_FACTOR} times the clip's {clip.width}x{clip.height} on both "
            f"sides; pass --size {least} to {most}"
        )
    return width, height


def pixel_shape(clip: ClipInfo, width: int, height: int) -> Fraction:
    """Return the width of an output pixel by its height.

    It is the clip's, unless the requested size has the shape in which the clip is shown: then pixels become square.
    """
    stored = Fraction(width * clip.height, height * clip.width)
    is_as_stored, is_as_shown = (abs(shape - 1) <= SAME_SHAPE for shape in (stored, stored / clip.sample_aspect_ratio))
    return Fraction(1) if is_as_shown and not is_as_stored else clip.sample_aspect_ratio


def pad_to_grid(width: int, height: int, traits: ModelTraits, program: Program | None = None) -> Padding:
    """Return the least padding to a size the network accepts, see `NetworkShape.period`.

    Less than one grid step on each axis, the odd pixel right or below. A published program pads more.

    Raises:
        SettingsError: more would be padding than picture.
    """
    if program is not None:
        left, right, top, bottom = program.padding(height, width)
        return Padding(left=left, right=right, top=top, bottom=bottom)
    unit = traits.pixels_per_latent
    step, extra = unit * traits.network.period, unit * EXTRA_ROWS
    across = -width % step
    down = (extra - height) % step
    if across > width or down > height:
        smallest = f"{math.ceil(step / 2)}x{math.ceil((step + extra) / 2)}"
        raise SettingsError(
            f"output size {width}x{height} is too small for model {traits.name}, whose grid is {step} pixels; pass a "
            f"--scale or --size that makes at least {smallest}"
        )
    return Padding(left=across // 2, right=across - across // 2, top=down // 2, bottom=down - down // 2)


def lay_tiles(
    latent_width: int, latent_height: int, tile: tuple[int, int] | None, traits: ModelTraits
) -> tuple[Tile, ...]:
    """Return the tiles that the networks and the autoencoder see at once, row by row; one tile is the whole picture.

    Neighbours share a sixth of a tile or more.

    Args:
        latent_width: columns of latents, padding included.
        latent_height: rows of latents, padding included.
        tile: largest width and height in pixels; None for the whole picture.
        traits: of the model.

    Raises:
        SettingsError: tiles of this size cannot share so much on the network's grid.
    """
    unit, step = traits.pixels_per_latent, traits.network.period
    width, height = (latent_width * unit, latent_height * unit) if tile is None else tile
    sides: list[tuple[range, ...]] = []
    for total, most in ((latent_height, height // unit), (latent_width, width // unit)):
        try:
            sides.append(split_tiles(total, most, -(-most // TILE_SHARE), step))
        except ValueError as error:
            least = smallest_tile(traits)
            raise SettingsError(
                f"tile {width}x{height} is too small for model {traits.name}, whose grid is {step * unit} pixels; "
                f"pass --tile {least}x{least} or larger"
            ) from error
    return tuple(Tile(rows, columns) for rows in sides[0] for columns in sides[1])


def smallest_tile(traits: ModelTraits) -> int:
    """Return the least side of a tile, in pixels."""
    return traits.pixels_per_latent * 3 * traits.network.period


def divide(
    shots: Sequence[range],
    key_frames: Sequence[int],
    traits: ModelTraits,
    *,
    window_frames: int,
    window_overlap: int,
) -> tuple[Segment, ...]:
    """Return the segments of an output, each of a few windows that start on key frames.

    The windows are laid out over a whole shot and dealt to segments in turn, so that a long clip costs no more windows
    than it needs; neighbouring segments share what their neighbouring windows share.

    Args:
        shots: ranges that together cover all output frames; each begins with a key frame.
        key_frames: numbers of all key frames.
        traits: of the model, which say how its autoencoder decodes.
        window_frames: most frames in a window.
        window_overlap: frames that two windows share, about.

    Raises:
        SettingsError: a window is too short to reach from one key frame to the next.
    """
    gap = longest_gap(shots, key_frames)
    needed = gap + min(window_overlap, 1)
    if window_frames < min(needed, shots[-1].stop):
        raise SettingsError(
            f"window_frames {window_frames} cannot reach from one key frame to the next, {gap} frames on; "
            f"pass --window-frames {needed} to 512"
        )
    segments: list[Segment] = []
    for shot in shots:
        keys = key_frames[bisect_left(key_frames, shot.start) : bisect_left(key_frames, shot.stop)]
        starts = [key - shot.start for key in keys]
        windows = split_windows(len(shot), window_frames, window_overlap, starts)
        segments += _deal(shot, [range(shot.start + one.start, shot.start + one.stop) for one in windows], traits)
    return tuple(segments)


def one_segment(windows: tuple[range, ...]) -> tuple[Segment, ...]:
    """Return a whole output as one segment, which every solver step goes over together."""
    whole = range(windows[-1].stop)
    return (Segment(shot=whole, context=whole, windows=windows, carried=0, settled=whole, frames=whole),)


def longest_gap(shots: Sequence[range], key_frames: Sequence[int]) -> int:
    """Return the most frames from one key frame to the next, or to the end."""
    return max(after - before for before, after in pairwise([*key_frames, shots[-1].stop]))


def _deal(shot: range, windows: Sequence[range], traits: ModelTraits) -> Iterator[Segment]:
    """Yield the segments of one shot."""
    count = -(-len(windows) // SEGMENT_WINDOWS)
    edges = [len(windows) * index // count for index in range(count + 1)]
    written, carried, first = shot.start, 0, 0
    for last in edges[1:]:
        ends_shot = last == len(windows)
        context = range(windows[first].start, windows[last - 1].stop)
        settled = range(context.start, context.stop if ends_shot else windows[last].start)
        ready = settled.stop if ends_shot else traits.decodable(written, settled.stop)
        if ready == written:
            continue  # nothing could be written: one segment with the next windows
        yield Segment(
            shot=shot,
            context=context,
            windows=tuple(windows[first:last]),
            carried=carried,
            settled=settled,
            frames=range(written, ready),
        )
        written, carried, first = ready, context.stop - settled.stop, last


def cut_at(cuts: Sequence[int], key_inputs: Sequence[int], key_frames: Sequence[int], frames: int) -> tuple[range, ...]:
    """Return the shots of an output, in output frames.

    Each begins with the key frame of its first input frame that has one; the frames before it hold the shot before.

    Args:
        cuts: input frames that begin a shot, without the clip's first.
        key_inputs: input frame behind each key frame.
        key_frames: numbers of the key frames.
        frames: output frames.

    >>> cut_at([2], [0, 1, 2, 3], [0, 3, 6, 9], 12)
    (range(0, 6), range(6, 12))
    """
    firsts = {bisect_left(key_inputs, cut) for cut in cuts} - {0, len(key_inputs)}
    edges = [0, *sorted(key_frames[first] for first in firsts), frames]
    return tuple(range(start, stop) for start, stop in pairwise(edges))


def format_number(value: Fraction | float) -> str:
    """Return a number to five digits, without trailing zeros."""
    return f"{float(value):.5g}"
