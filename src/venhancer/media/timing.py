"""The exact frame rate of a clip, from its timestamps.

Containers round times and declare rates that do not hold; the probe asks here, so that a rate is believed only after
every timestamp has been compared with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from venhancer.errors import InputError

JITTER = Fraction(1, 10)  # of a frame: what cameras and rounding programs add to even timing, invisibly
IN_STEP = Fraction(
    1, 1000
)  # seconds: how far the last frame of even timing may be from its place, for the sound's sake
ROUNDED = Fraction(1, 100_000)  # by which containers that store durations or averages miss the rate they mean
LARGEST_DENOMINATOR = 100_000  # keeps rates inside the 32-bit fractions of containers


class FrameRate(NamedTuple):
    """A rate in frames a second, whether every frame keeps to it, and the seconds by which frames are off it at most.

    What the file's clock rounds is not counted.
    """

    rate: Fraction
    is_constant: bool
    jitter: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Timing:
    """The part of `ClipInfo` about when frames are shown."""

    frames: int
    rate: Fraction
    duration: Fraction
    start: Fraction
    timestamps: tuple[int, ...] | None
    time_base: Fraction
    jitter: Fraction


def find_timing(
    times: Sequence[int], time_base: Fraction, last_duration: int, declared: Sequence[Fraction], path: Path
) -> Timing:
    """Return when frames are shown; arguments as those of `find_rate`.

    Raises:
        InputError: nothing states the rate of the clip at `path`.
    """
    timing = find_rate(times, time_base, last_duration, declared)
    if timing is None:
        raise InputError(f"{path} states no frame rate; convert it to mp4 with a rate first")
    frames, is_even = len(times), timing.is_constant
    last = last_duration * time_base or 1 / timing.rate
    return Timing(
        frames=frames,
        rate=timing.rate,
        duration=frames / timing.rate if is_even else (times[-1] - times[0]) * time_base + last,
        start=times[0] * time_base,
        timestamps=None if is_even else tuple(time - times[0] for time in times),
        time_base=time_base,
        jitter=timing.jitter,
    )


def find_rate(
    times: Sequence[int], time_base: Fraction, last_duration: int, declared: Sequence[Fraction]
) -> FrameRate | None:
    """Return the rate that all timestamps keep to, or their average if none; None if nothing tells.

    >>> find_rate([0, 33, 67, 100], Fraction(1, 1000), 33, [Fraction(24)])
    FrameRate(rate=Fraction(30, 1), is_constant=True, jitter=Fraction(0, 1))

    Args:
        times: when each frame is shown, ascending, in units of `time_base` (seconds).
        time_base: seconds per unit.
        last_duration: how long the last frame is shown, same unit, 0 if unknown.
        declared: rates the file claims, most trusted first; each must be positive.
    """
    span = (times[-1] - times[0]) * time_base
    if span == 0:
        shown = last_duration * time_base * len(times)
        rate = declared[0] if declared else (1 / shown if shown else None)
        return FrameRate(rate, is_constant=True, jitter=(len(times) - 1) / rate) if rate else None
    mean = ((len(times) - 1) / span).limit_denominator(LARGEST_DENOMINATOR)
    shown = span + last_duration * time_base if last_duration else span + 1 / mean
    usual = _usual_rates(len(times) / shown)
    if abs(len(times) / usual[0] - len(times) / usual[1]) < time_base:
        usual.sort(key=lambda rate: rate.denominator)  # the clock cannot tell one from the other: the whole one
    meant = [rate for rate in usual for candidate in declared if abs(candidate / rate - 1) < ROUNDED]
    for rate in (*meant, *declared, *usual, mean):
        tick = rate * time_base  # in frames; times rounded to ticks are off by one at most
        if _furthest(times, tick, allowed=tick if tick < Fraction(1, 3) else Fraction(0)) is not None:
            return FrameRate(rate, is_constant=True)
    for rate in (*usual, *declared, mean):
        off = _furthest(times, rate * time_base, allowed=JITTER)
        if off is not None and abs((len(times) - 1) / rate - span) <= max(IN_STEP, time_base):
            return FrameRate(rate, is_constant=True, jitter=off / rate)
    length = span + (last_duration * time_base or span / (len(times) - 1))
    return FrameRate((len(times) / length).limit_denominator(LARGEST_DENOMINATOR), is_constant=False)


def _usual_rates(mean: Fraction) -> list[Fraction]:
    """Return whole and 1000/1001 rates near `mean`, nearest first."""
    whole = [Fraction(max(1, round(mean))), Fraction(max(1, round(mean * 1001 / 1000)))]
    return sorted([whole[0], whole[1] * 1000 / 1001], key=lambda rate: abs(rate - mean))


def _furthest(times: Sequence[int], frames_per_tick: Fraction, allowed: Fraction) -> Fraction | None:
    """Return how far any frame i is from i frames' distance to the first, in frames; None if above `allowed`."""
    ticks, frames = frames_per_tick.denominator, frames_per_tick.numerator
    most, furthest = allowed * ticks, 0
    for index, time in enumerate(times):
        furthest = max(furthest, abs((time - times[0]) * frames - index * ticks))
        if furthest > most:
            return None
    return Fraction(furthest, ticks)
