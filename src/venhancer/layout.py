"""Where an output's pixels and frames lie: its size, the padding, the key frames, the segments and their windows.

Each function meets one part of a request exactly or refuses it in one line; the plan puts their answers together. Pure
arithmetic in integers and fractions.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from venhancer.errors import InputError, SettingsError
from venhancer.media.probe import ClipInfo
from venhancer.settings import DEFAULT_SCALE, LARGEST_RATE, LARGEST_SIDE, SMALLEST_SIDE, EnhanceSettings
from venhancer.traits import ModelTraits
from venhancer.windows import split_windows

LARGEST_FACTOR = 8  # of size and of rate, as trained (VEnhancer, sec. 3.3)
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
    """A run of output frames that is denoised, decoded and written together.

    Args:
        frames: written; over all segments every frame once, in order.
        context: denoised; reaches up to half a window overlap further than `frames` on both inner sides.
        windows: what the network sees at once, in numbers of the whole output; together they cover `context`.
    """

    frames: range
    context: range
    windows: tuple[range, ...]

    @property
    def local_windows(self) -> tuple[range, ...]:
        """The windows counted from the context's first frame."""
        first = self.context.start
        return tuple(range(window.start - first, window.stop - first) for window in self.windows)


def output_size(clip: ClipInfo, settings: EnhanceSettings) -> tuple[int, int]:
    """Return width and height of the output: the size asked for, or each side scaled to the nearest even number.

    A side halfway between two even numbers takes the larger.

    Raises:
        InputError: a side of the clip is below 16 pixels.
        SettingsError: the size is outside 1 to 8 times the clip's on a side, or a side above 16384.
    """
    if min(clip.width, clip.height) < SMALLEST_SIDE:
        size = f"{clip.width}x{clip.height}"
        raise InputError(f"{clip.path} is {size}; sides must be {SMALLEST_SIDE} pixels or more: give a larger clip")
    if settings.size is None:
        scale = Fraction(str(settings.scale or DEFAULT_SCALE))
        width, height = (2 * math.floor(side * scale / 2 + Fraction(1, 2)) for side in (clip.width, clip.height))
        if max(width, height) > LARGEST_SIDE:
            largest = LARGEST_SIDE / max(clip.width, clip.height)
            advice = f"pass --scale 1 to {math.floor(largest * 100) / 100:g}" if largest >= 1 else "give a smaller clip"
            raise SettingsError(f"scale {float(scale):g} makes {width}x{height}, a side above {LARGEST_SIDE}; {advice}")
        return width, height
    width, height = settings.size
    sides = ((clip.width, width), (clip.height, height))
    if any(not given <= asked <= LARGEST_FACTOR * given for given, asked in sides):
        least = "x".join(str(given + given % 2) for given, _ in sides)
        most = "x".join(str(LARGEST_FACTOR * given) for given, _ in sides)
        raise SettingsError(
            f"size {width}x{height} is not 1 to {LARGEST_FACTOR} times the clip's {clip.width}x{clip.height} on both "
            f"sides; pass --size {least} to {most}"
        )
    return width, height


def pad_to_grid(width: int, height: int, traits: ModelTraits) -> Padding:
    """Return the least padding to a size the network accepts: 2^d k + 2 rows of latents by 2^d k columns.

    Less than one grid step on each axis, the odd pixel right or below.

    Raises:
        SettingsError: more would be padding than picture.
    """
    unit = traits.pixels_per_latent
    step = unit * 2**traits.downsamplings
    across = -width % step
    down = (2 * unit - height) % step
    if across > width or down > height:
        smallest = f"{math.ceil(step / 2)}x{math.ceil((step + 2 * unit) / 2)}"
        raise SettingsError(
            f"output size {width}x{height} is too small for model {traits.name}, whose grid is {step} pixels; "
            f"pass a --scale or --size that makes {smallest} or more"
        )
    return Padding(left=across // 2, right=across - across // 2, top=down // 2, bottom=down - down // 2)


def temporal_factor(clip: ClipInfo, settings: EnhanceSettings) -> Fraction:
    """Return how many output frames there are for an input frame.

    Raises:
        SettingsError: fewer than 1 or more than 8.
    """
    rate = settings.fps or clip.rate
    factor = rate * settings.slow / clip.rate
    if 1 <= factor <= LARGEST_FACTOR:
        return factor
    made = f"makes {format_number(factor)} output frames of each input frame; 1 to {LARGEST_FACTOR} can be made"
    if settings.fps is None:
        raise SettingsError(f"slow {format_number(settings.slow)} {made}: pass --slow 1 to {LARGEST_FACTOR}")
    slowed = f" with slow {format_number(settings.slow)}" if settings.slow != 1 else ""
    given = f"fps {format_number(rate)}{slowed} at the clip's {format_number(clip.rate)}"
    least, most = clip.rate / settings.slow, min(LARGEST_FACTOR * clip.rate / settings.slow, LARGEST_RATE)
    raise SettingsError(f"{given} {made}: pass --fps {least} to {most}")


def key_layout(input_frames: int, factor: Fraction) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return, for every output frame, the input frame it starts from and whether it is that frame's key.

    Output i is shown at i and input j at j * factor, in output intervals; outputs go on to the end of the last input
    frame. Each input frame is the key of the nearest output, at most half an interval away, the later one of two.

    >>> key_layout(2, Fraction(5, 2))
    ((0, 0, 0, 1, 1), (True, False, False, True, False))
    """
    keys = [math.floor(index * factor + Fraction(1, 2)) for index in range(input_frames)]
    frames = math.ceil(input_frames * factor)
    source = tuple(index for index, (key, end) in enumerate(pairwise([*keys, frames])) for _ in range(key, end))
    own = set(keys)
    return source, tuple(index in own for index in range(frames))


def divide(frames: int, key_frames: Sequence[int], *, window_frames: int, window_overlap: int) -> tuple[Segment, ...]:
    """Return the segments of an output of so many frames, each of a few windows that start on key frames.

    The windows are laid out over the whole output and dealt to segments in turn, so that a long clip costs no more
    windows than it needs. Two segments meet at the key frame in the middle of what their windows share.

    Raises:
        SettingsError: a window is too short to reach from one key frame to the next.
    """
    gap = max(after - before for before, after in pairwise([*key_frames, frames]))
    needed = gap + min(window_overlap, 1)
    if window_frames < min(needed, frames):
        raise SettingsError(
            f"window_frames {window_frames} cannot reach from one key frame to the next, {gap} frames on; "
            f"pass --window-frames {needed} to 512"
        )
    windows = split_windows(frames, window_frames, window_overlap, key_frames)
    count = -(-len(windows) // SEGMENT_WINDOWS)
    edges = [len(windows) * index // count for index in range(count + 1)]
    groups = [windows[first:last] for first, last in pairwise(edges)]
    cuts = [_meeting_point(before[-1], after[0], key_frames) for before, after in pairwise(groups)]
    return tuple(
        Segment(frames=range(start, stop), context=range(group[0].start, group[-1].stop), windows=group)
        for group, (start, stop) in zip(groups, pairwise([0, *cuts, frames]), strict=True)
    )


def _meeting_point(before: range, after: range, key_frames: Sequence[int]) -> int:
    """Return the key frame nearest to the middle of what two windows share."""
    first, end = after.start, max(before.stop, after.start + 1)
    shared = key_frames[bisect_left(key_frames, first) : bisect_left(key_frames, end)]
    return min(shared, key=lambda key: abs(2 * key - after.start - before.stop))


def format_number(value: Fraction | float) -> str:
    """Return a number to five digits, without trailing zeros."""
    return f"{float(value):.5g}"
