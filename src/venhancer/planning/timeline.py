"""When each output frame is shown, and which input frame it comes from.

The output's times are laid out first; then each input frame becomes the key frame of the output nearest to it. Rates go
up and down by any fraction, and clips of varying timing keep their times to the tick unless a rate is requested. Pure
arithmetic in integers and fractions.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median_high

from venhancer.errors import InputError, SettingsError
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.cadence import Cadence
from venhancer.media.source import WAYS_ON
from venhancer.planning.layout import LARGEST_FACTOR, format_number
from venhancer.published import Program
from venhancer.settings import LARGEST_RATE, EnhanceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The frames of an output in time.

    Args:
        inputs: the input frames it is made from, before any is left out.
        start: seconds at which the first of them is shown, on the file's clock.
        end: seconds at which the sound must end on that clock; None where the clip does.
        rate: output frames a second; the average if the timing varies.
        factor: output frames per input frame.
        source: for each output frame, the input frame it starts from: its own, or that of the key frame before it.
        is_key: for each output frame, whether `source` is its own, so that it is a key frame.
        duration: seconds of output.
        timestamps: when each output frame is shown, and when the last one ends, in units of `time_base` from the first;
            None if all keep to `rate`.
        time_base: seconds per unit.
    """

    inputs: range
    start: Fraction
    end: Fraction | None
    rate: Fraction
    factor: Fraction
    source: tuple[int, ...]
    is_key: tuple[bool, ...]
    duration: Fraction
    timestamps: tuple[int, ...] | None = None
    time_base: Fraction = Fraction(1)

    @property
    def keys(self) -> int:
        """How many input frames are the key frame of an output frame."""
        return len(set(self.source))

    @property
    def unused_inputs(self) -> int:
        """How many input frames are not, because another one is nearer to every output frame."""
        return len(self.inputs) - self.keys

    @property
    def repeats(self) -> int:
        """How many key frames repeat the one before, which is shown for long."""
        return sum(self.is_key) - self.keys

    def frame_time(self, index: int) -> Fraction:
        """Return when an output frame is shown, in seconds from the first."""
        return index / self.rate if self.timestamps is None else self.timestamps[index] * self.time_base


def make_timeline(
    clip: ClipInfo, settings: EnhanceSettings, program: Program | None = None, cadence: Cadence | None = None
) -> Timeline:
    """Return the frames in time that the settings request of a clip; a published program has its own layout.

    Args:
        clip: the input.
        settings: what is asked for.
        program: to follow, if any.
        cadence: frames to leave out because they repeat the one before.

    Raises:
        InputError: frames between start and end are damaged.
        SettingsError: too many output frames per input frame, no input frame between start and end, or repeats to be
            left out of varying timing.
    """
    inputs = _part(clip, settings)
    if not settings.keep_damaged and (damage := clip.damage_in(inputs)):
        raise InputError(f"{clip.path} is damaged at {damage[0]}; {WAYS_ON}")
    if settings.drop_duplicates and clip.timestamps is not None:
        raise SettingsError(
            f"{clip.path} has varying timing, whose frames keep their times; leave out --drop-duplicates"
        )
    begin, is_whole_to_end = clip.frame_time(inputs.start), inputs.stop == clip.frames
    gap = None if program is None else program.frames_between(clip.rate, settings.fps, len(inputs)) + 1
    factor = _temporal_factor(clip, settings, inputs) if gap is None else Fraction(gap)
    rate = (settings.fps or clip.rate) if gap is None else clip.rate * gap
    timestamps, time_base = None, Fraction(1)
    if gap is not None:
        numbers = range((len(inputs) - 1) * gap + 1)
        source = tuple(inputs[number // gap] for number in numbers)
        is_key = tuple(number % gap == 0 for number in numbers)
        duration = len(source) / rate
    elif _keeps_times(clip, settings):
        source, timestamps, time_base = *_one_to_one(clip, settings, inputs), clip.time_base
        is_key = (True,) * len(source)
        duration = timestamps[-1] * time_base
        rate = (len(source) / duration).limit_denominator(100_000)
    else:
        kept: Sequence[int] = inputs
        if clip.timestamps is None:
            end, interval = Fraction(len(inputs)), 1 / factor
            kept, ticks = (inputs, range(len(inputs))) if cadence is None else cadence.times(inputs)
        else:
            ticks = clip.timestamps[inputs.start : inputs.stop]
            end = _end(clip, settings, inputs) / clip.time_base
            interval = 1 / (rate * settings.slow * clip.time_base)
        numbers, is_key = key_layout(ticks, end, interval)
        source = tuple(kept[number] for number in numbers)
        duration = len(source) / rate
    return Timeline(
        inputs=inputs,
        start=clip.start + begin,
        end=None if is_whole_to_end and settings.end is None else clip.start + begin + duration / settings.slow,
        rate=rate,
        factor=factor,
        source=source,
        is_key=is_key,
        duration=duration,
        timestamps=timestamps,
        time_base=time_base,
    )


def key_layout(
    ticks: Sequence[int | Fraction], end: Fraction, interval: Fraction
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return, for every output frame, the input frame it starts from and whether it is that frame's key.

    Outputs are shown from the first input on, an interval apart, to the end of the last. An input frame is the key of
    the output nearest to it, at most half an interval away, the later one of two; of several input frames, the nearest
    to the output, the first of two. A picture that stays longer than `LARGEST_FACTOR` intervals and one is its own key
    again every so many: it stands still until shortly before the next.

    >>> key_layout([0, 1], Fraction(2), Fraction(2, 5))
    ((0, 0, 0, 1, 1), (True, False, False, True, False))

    Args:
        ticks: when each input frame is shown, never descending.
        end: when the last one ends.
        interval: between two outputs, in ticks.
    """
    first, (step, parts) = ticks[0], interval.as_integer_ratio()
    frames = max(1, math.ceil((end - first) / interval))
    keys: dict[int, int] = {}  # output to input
    for number, tick in enumerate(ticks):
        output = (2 * (tick - first) * parts + step) // (2 * step)
        rival = keys.get(output)
        off = abs((tick - first) * parts - output * step)
        if output < frames and (rival is None or off < abs((ticks[rival] - first) * parts - output * step)):
            keys[output] = number
    source, is_key = [0] * frames, [False] * frames
    for (output, number), following in zip(keys.items(), [*list(keys)[1:], frames], strict=True):
        every = LARGEST_FACTOR if following - output > LARGEST_FACTOR + 1 else following
        for index in range(output, following):
            source[index], is_key[index] = number, (index - output) % every == 0
    return tuple(source), tuple(is_key)


def format_moment(seconds: Fraction) -> str:
    """Return a moment in seconds, cut to milliseconds.

    >>> format_moment(Fraction(200, 3))
    '66.666'
    """
    return f"{math.floor(seconds * 1000) / 1000:.3f}".rstrip("0").rstrip(".")


def _keeps_times(clip: ClipInfo, settings: EnhanceSettings) -> bool:
    """Tell whether a clip of varying timing keeps its times."""
    return clip.timestamps is not None and settings.fps is None and settings.slow == 1


def _part(clip: ClipInfo, settings: EnhanceSettings) -> range:
    """Return the input frames between start and end."""
    first = 0 if settings.start is None else _first_from(clip, settings.start)
    stop = clip.frames if settings.end is None else _first_from(clip, settings.end)
    if first < stop:
        return range(first, stop)
    last = clip.frame_time(clip.frames - 1)
    if first == clip.frames:
        request = f"start {format_moment(settings.start or Fraction(0))}"
        raise SettingsError(
            f"{request} is after the last frame of {clip.path}; pass --start 0 to {format_moment(last)}"
        )
    request = f"from {format_moment(settings.start or Fraction(0))} to {format_moment(settings.end or Fraction(0))}"
    following = format_moment(clip.frame_time(first))
    raise SettingsError(
        f"{clip.path} has no frame {request}; pass an --end above {following}, the time of the next frame"
    )


def _first_from(clip: ClipInfo, moment: Fraction) -> int:
    """Return the number of the first frame shown at a moment or later; the count of frames if there is none."""
    if clip.timestamps is None:
        return min(clip.frames, math.ceil(moment * clip.rate))
    return bisect_left(clip.timestamps, math.ceil(moment / clip.time_base))


def _temporal_factor(clip: ClipInfo, settings: EnhanceSettings, inputs: range) -> Fraction:
    """Return how many output frames there are for an input frame, of varying timing on average."""
    if _keeps_times(clip, settings):
        return Fraction(1)
    rate = settings.fps or clip.rate
    usual = clip.rate
    if clip.timestamps is not None and len(inputs) > 1:  # what most frames are apart: a few long holds do not count
        gaps = [after - before for before, after in pairwise(clip.timestamps[inputs.start : inputs.stop])]
        usual = 1 / (max(1, median_high(gaps)) * clip.time_base)
    gap = rate * settings.slow / usual
    if gap <= LARGEST_FACTOR:
        return rate * settings.slow / clip.rate
    makes = f"makes {format_number(gap)} output frames per input frame; at most {LARGEST_FACTOR} are possible"
    if settings.fps is None:
        raise SettingsError(f"slow {format_number(settings.slow)} {makes}: pass --slow 1 to {LARGEST_FACTOR}")
    slowed = f" with slow {format_number(settings.slow)}" if settings.slow != 1 else ""
    request = f"fps {format_number(rate)}{slowed} at the clip's {format_number(usual)}"
    most = min(LARGEST_FACTOR * usual / settings.slow, LARGEST_RATE)
    raise SettingsError(f"{request} {makes}: pass --fps up to {most}")


def _one_to_one(clip: ClipInfo, settings: EnhanceSettings, inputs: range) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the input frames that are shown for any time, and when, with the end of the last."""
    times = clip.timestamps or ()
    source = [number for number in inputs if number + 1 == inputs.stop or times[number] < times[number + 1]]
    end = math.ceil(_end(clip, settings, inputs) / clip.time_base)
    first = times[inputs.start]
    return tuple(source), (*(times[number] - first for number in source), max(end, times[source[-1]] + 1) - first)


def _end(clip: ClipInfo, settings: EnhanceSettings, inputs: range) -> Fraction:
    """Return when the last input frame ends, in seconds from the clip's first."""
    end = clip.frame_time(inputs.stop)
    return end if settings.end is None else min(end, settings.end)
