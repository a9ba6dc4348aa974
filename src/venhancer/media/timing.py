"""Which exact frame rate a clip's timestamps tell.

Containers round times and declare rates that do not hold; the probe asks here, so that a rate is believed only after
every timestamp has been compared with it.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

JITTER = Fraction(1, 10)  # of a frame: what cameras and rounding programs put on even timing, and nobody sees
LARGEST_DENOMINATOR = 100_000  # keeps rates inside the 32-bit fractions of containers


class FrameRate(NamedTuple):
    """A rate in frames a second, and whether every frame keeps to it."""

    rate: Fraction
    is_constant: bool


def find_rate(
    times: Sequence[int], time_base: Fraction, last_duration: int, declared: Sequence[Fraction]
) -> FrameRate | None:
    """Return the rate that all timestamps keep to, or their average if none; None if nothing tells.

    >>> find_rate([0, 33, 67, 100], Fraction(1, 1000), 33, [Fraction(24)])
    FrameRate(rate=Fraction(30, 1), is_constant=True)

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
        return FrameRate(rate, is_constant=len(times) == 1) if rate else None
    mean = ((len(times) - 1) / span).limit_denominator(LARGEST_DENOMINATOR)
    usual = _usual_rates(mean)
    for rate in (*declared, *usual, mean):
        tick = rate * time_base  # in frames; times rounded to ticks are off by one at most
        if _fits(times, tick, jitter=tick if tick < Fraction(1, 3) else Fraction(0)):
            return FrameRate(rate, is_constant=True)
    for rate in (*usual, *declared, mean):
        if _fits(times, rate * time_base, jitter=JITTER):
            return FrameRate(rate, is_constant=True)
    length = span + (last_duration * time_base or span / (len(times) - 1))
    return FrameRate((len(times) / length).limit_denominator(LARGEST_DENOMINATOR), is_constant=False)


def _usual_rates(mean: Fraction) -> list[Fraction]:
    """Return whole and 1000/1001 rates near `mean`, nearest first."""
    whole = [Fraction(max(1, round(mean))), Fraction(max(1, round(mean * 1001 / 1000)))]
    return sorted([whole[0], whole[1] * 1000 / 1001], key=lambda rate: abs(rate - mean))


def _fits(times: Sequence[int], frames_per_tick: Fraction, jitter: Fraction) -> bool:
    """Tell whether frame i is shown at i frames' distance from the first, to within `jitter` frames."""
    ticks, frames = frames_per_tick.denominator, frames_per_tick.numerator
    allowed = jitter * ticks
    return all(abs((time - times[0]) * frames - index * ticks) <= allowed for index, time in enumerate(times))
