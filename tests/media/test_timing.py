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
    assert found == (rate, True, 0)


@given(st.sampled_from(RATES), st.integers(2, 500))
def test_declared_rate_survives_millisecond_rounding(rate, frames):
    assert find_rate(stamps(rate, frames, Fraction(1, 1000)), Fraction(1, 1000), 0, [rate]) == (rate, True, 0)


@given(st.sampled_from([8, 10, 12, 15, 20, 24, 25, 30]), st.integers(1, 4))
def test_whole_seconds_of_a_gif_have_a_whole_rate(rate, seconds):
    """Its clock counts in hundredths, in which 12 and 11.988 frames a second are the same for half a minute."""
    edges = stamps(Fraction(rate), rate * seconds + 1, Fraction(1, 100))
    assert find_rate(edges[:-1], Fraction(1, 100), edges[-1] - edges[-2], []).rate == rate


@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(500, 1000))
def test_lying_rate_is_found_out(rate, lie, frames):
    assert find_rate(stamps(rate, frames, Fraction(1, 90_000)), Fraction(1, 90_000), 0, [lie]) == (rate, True, 0)


@given(st.lists(st.integers(1, 5), min_size=3, max_size=60).filter(lambda steps: max(steps) >= 2 * min(steps)))
def test_uneven_timing_is_said_and_keeps_the_length(steps):
    times = [0]
    for step in steps:
        times.append(times[-1] + step * 1000)
    rate, is_constant, _ = find_rate(times, Fraction(1, 24_000), 1000, [Fraction(24)])
    length = Fraction(times[-1] + 1000, 24_000)
    assert not is_constant
    assert abs(len(times) / rate - length) < Fraction(1, 1000)


def test_a_tenth_of_a_frame_off_is_still_constant_and_a_tick_more_is_not():
    """Steps of 3, 4 and 3: the two frames within are exactly a tenth of a frame early and late."""
    clock = Fraction(1, 24_000)
    assert find_rate([0, 3000, 7000, 10_000], clock, 0, []) == (Fraction(36, 5), True, Fraction(1, 72))
    assert not find_rate([0, 2999, 7000, 10_000], clock, 0, []).is_constant
    assert not find_rate([0, 3000, 7001, 10_000], clock, 0, []).is_constant


def test_one_missing_frame_is_not_constant():
    times = [0, 1, 2, 3, 5, 6, 7]
    assert not find_rate(times, Fraction(1, 25), 1, [Fraction(25)]).is_constant


def test_single_frame_takes_declared_rate_or_its_duration_or_none():
    assert find_rate([7], Fraction(1, 100), 4, [Fraction(30)]) == (30, True, 0)
    assert find_rate([7], Fraction(1, 100), 4, []) == (25, True, 0)
    assert find_rate([7], Fraction(1, 100), 0, []) is None


def test_frames_of_one_time_take_the_declared_rate_and_it_is_said():
    assert find_rate([5, 5, 5], Fraction(1, 100), 0, [Fraction(25)]) == (25, True, Fraction(2, 25))


def test_a_rate_near_a_usual_one_is_not_taken_for_it_when_sound_would_drift():
    """29.968 frames a second for 10 minutes end 22 ms after 29.97; each frame alone would pass for even."""
    true = Fraction(29_968, 1000)
    times = stamps(true, 18_000, Fraction(1, 90_000))
    found = find_rate(times, Fraction(1, 90_000), 0, [Fraction(30_000, 1001)])
    assert found.is_constant
    assert abs(17_999 / found.rate - 17_999 / true) < Fraction(1, 1000)


def test_jitter_that_ends_in_step_is_smoothed_and_told():
    random = [0, 40, -35, 120, 87, -90, 10, 0]  # ticks of 1/90000 s, 3000 a frame
    found = find_rate([3000 * n + off for n, off in enumerate(random)], Fraction(1, 90_000), 0, [Fraction(30)])
    assert found == (30, True, Fraction(120, 90_000))
    late = find_rate([3000 * n + (n == 7) * 250 for n in range(8)], Fraction(1, 90_000), 0, [Fraction(30)])
    assert late.rate != 30  # 250 ticks are 2.8 ms: within a tenth of a frame, but out of step
