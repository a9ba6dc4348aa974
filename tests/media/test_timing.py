"""The rate told by timestamps."""

import doctest
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from venhancer.media import timing
from venhancer.media.timing import find_rate

RATES = [Fraction(r) for r in (8, 10, 15, 24, 25, 30, 50, 60, 120)] + [Fraction(r * 1000, 1001) for r in (24, 30, 60)]


def stamps(rate: Fraction, frames: int, time_base: Fraction, start: int = 0) -> list[int]:
    return [start + round(i / rate / time_base) for i in range(frames)]


def test_examples_hold():
    assert doctest.testmod(timing).failed == 0


@given(st.sampled_from(RATES), st.integers(2, 500), st.integers(-10_000, 10_000))
def test_fine_clock_tells_the_exact_rate(rate, frames, start):
    found = find_rate(stamps(rate, frames, Fraction(1, 90_000), start), Fraction(1, 90_000), 0, [rate])
    assert found == (rate, True)


@given(st.sampled_from(RATES), st.integers(2, 500))
def test_declared_rate_survives_millisecond_rounding(rate, frames):
    assert find_rate(stamps(rate, frames, Fraction(1, 1000)), Fraction(1, 1000), 0, [rate]) == (rate, True)


@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(500, 1000))
def test_lying_rate_is_found_out(rate, lie, frames):
    assert find_rate(stamps(rate, frames, Fraction(1, 90_000)), Fraction(1, 90_000), 0, [lie]) == (rate, True)


@given(st.lists(st.integers(1, 5), min_size=3, max_size=60).filter(lambda steps: max(steps) >= 2 * min(steps)))
def test_uneven_timing_is_said_and_keeps_the_length(steps):
    times = [0]
    for step in steps:
        times.append(times[-1] + step * 1000)
    rate, is_constant = find_rate(times, Fraction(1, 24_000), 1000, [Fraction(24)])
    length = Fraction(times[-1] + 1000, 24_000)
    assert not is_constant
    assert abs(len(times) / rate - length) < Fraction(1, 1000)


def test_a_tenth_of_a_frame_off_is_still_constant_and_a_tick_more_is_not():
    """Steps of 3, 4 and 3: the two frames within are exactly a tenth of a frame early and late."""
    clock = Fraction(1, 24_000)
    assert find_rate([0, 3000, 7000, 10_000], clock, 0, []) == (Fraction(36, 5), True)
    assert not find_rate([0, 2999, 7000, 10_000], clock, 0, []).is_constant
    assert not find_rate([0, 3000, 7001, 10_000], clock, 0, []).is_constant


def test_one_missing_frame_is_not_constant():
    times = [0, 1, 2, 3, 5, 6, 7]
    assert not find_rate(times, Fraction(1, 25), 1, [Fraction(25)]).is_constant


def test_single_frame_takes_declared_rate_or_its_duration_or_none():
    assert find_rate([7], Fraction(1, 100), 4, [Fraction(30)]) == (30, True)
    assert find_rate([7], Fraction(1, 100), 4, []) == (25, True)
    assert find_rate([7], Fraction(1, 100), 0, []) is None
