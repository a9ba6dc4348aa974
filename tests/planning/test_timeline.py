"""Which output frame comes from which input frame, and when it is shown."""

import doctest
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venhancer.errors import SettingsError
from venhancer.media.clip import ClipInfo, describe_frames
from venhancer.planning import timeline
from venhancer.planning.timeline import key_layout, make_timeline
from venhancer.settings import parse_settings

RATES = [Fraction(rate) for rate in (8, 10, 24, 25, 30, 50, 60)] + [
    Fraction(rate * 1000, 1001) for rate in (24, 30, 60)
]


def even(frames: int, rate: Fraction | int) -> ClipInfo:
    return describe_frames(frames, 48, 64, Fraction(rate))


def varying(times, length: int, time_base: Fraction = Fraction(1, 1000), start: Fraction = Fraction(0)) -> ClipInfo:
    duration = length * time_base
    return ClipInfo(
        path=Path("clip.mp4"),
        width=64,
        height=48,
        frames=len(times),
        rate=len(times) / duration,
        duration=duration,
        codec="h264",
        pixel_format="yuv420p",
        color_matrix="bt601",
        full_range=False,
        sample_aspect_ratio=Fraction(1),
        has_audio=False,
        not_kept=(),
        start=start,
        timestamps=tuple(times),
        time_base=time_base,
    )


def made(clip: ClipInfo, **asked):
    return make_timeline(clip, parse_settings(**asked))


def shown(line) -> str:
    """Return the output as text: the input behind each key frame, and a dot for frames made."""
    return " ".join(str(source) if key else "." for source, key in zip(line.source, line.is_key, strict=True))


def test_examples_hold():
    assert doctest.testmod(timeline).failed == 0


@given(st.integers(1, 60), st.fractions(Fraction(1, 40), 8, max_denominator=1001))
def test_even_input_frames_are_keys_of_the_nearest_output(frames, factor):
    source, is_key = key_layout(range(frames), Fraction(frames), 1 / factor)
    assert len(source) == len(is_key) == -(-frames * factor.numerator // factor.denominator)
    keys = [(output, number) for output, (number, key) in enumerate(zip(source, is_key, strict=True)) if key]
    assert keys[0] == (0, 0)
    assert all(abs(output - number * factor) <= Fraction(1, 2) for output, number in keys)
    assert all(before[1] < after[1] for before, after in pairwise(keys))
    if factor >= 1:
        assert [number for _, number in keys] == list(range(frames))
    else:
        assert all(is_key[:-1])  # the last may lie beyond the last input frame
        for output, number in keys:  # none is nearer
            assert all(abs(output - number * factor) <= abs(output - other * factor) for other in range(frames))


@settings(max_examples=50)
@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(1, 200), st.fractions(1, 2, max_denominator=8))
def test_any_rate_becomes_any_rate_with_the_length_of_the_input(given_rate, rate, frames, slow):
    clip = even(frames, given_rate)
    if rate * slow / given_rate > 8:
        return
    line = made(clip, fps=rate, slow=slow)
    assert line.rate == rate
    assert 0 <= line.duration - clip.duration * slow < 1 / rate
    assert line.keys + line.unused_inputs == frames
    for output, (number, key) in enumerate(zip(line.source, line.is_key, strict=True)):
        if key:
            assert abs(line.frame_time(output) - slow * clip.frame_time(number)) <= 1 / rate / 2


@pytest.mark.parametrize(
    ("given_rate", "rate", "frames", "expected"),
    [
        (60, 30, 8, "0 2 4 6"),
        (30, 24, 10, "0 1 2 4 5 6 7 9"),
        (50, 25, 3, "0 2"),
        (25, 24, 26, " ".join(str(n) for n in range(26) if n != 13)),
        (8, 24, 3, "0 . . 1 . . 2 . ."),
        (24, 60, 4, "0 . . 1 . 2 . . 3 ."),
        (24, "23.976", 5, "0 1 2 3 4"),
    ],
)
def test_rates_up_and_down(given_rate, rate, frames, expected):
    assert shown(made(even(frames, given_rate), fps=rate)) == expected


def test_varying_times_are_kept_to_the_tick():
    clip = varying([0, 33, 70, 500, 512], 540, start=Fraction(3, 2))
    line = made(clip)
    assert line.timestamps == (0, 33, 70, 500, 512, 540)
    assert (line.duration, line.time_base, line.start, line.end) == (
        Fraction(540, 1000),
        Fraction(1, 1000),
        Fraction(3, 2),
        None,
    )
    assert (line.source, line.is_key) == ((0, 1, 2, 3, 4), (True,) * 5)
    assert line.frame_time(3) == Fraction(1, 2)


def test_of_frames_of_one_time_the_last_is_shown():
    line = made(varying([0, 40, 40, 40, 90], 120))
    assert line.timestamps == (0, 40, 90, 120)
    assert line.source == (0, 3, 4)
    assert line.unused_inputs == 2


def test_varying_times_become_even_when_a_rate_is_asked_for():
    line = made(varying([0, 30, 50, 90, 210], 240), fps=25)
    assert shown(line) == "0 1 3 . . 4"
    assert line.timestamps is None
    assert line.unused_inputs == 1


def test_varying_times_become_even_when_slowed():
    line = made(varying([0, 40, 80, 180], 200), slow=2)
    assert line.rate == 20
    assert line.duration == Fraction(8, 20)
    assert [line.source[output] for output in (0, 2, 3, 7)] == [0, 1, 2, 3]


def test_a_long_hold_is_no_reason_to_refuse():
    """The picture stands still until shortly before the next; the frame in between are not made over seconds."""
    line = made(varying([0, 40, 80, 1080, 1120], 1160), fps=25)
    keys = [(output, line.source[output]) for output, key in enumerate(line.is_key) if key]
    assert keys == [(0, 0), (1, 1), (2, 2), (10, 2), (18, 2), (26, 2), (27, 3), (28, 4)]
    assert (line.repeats, line.keys, line.unused_inputs) == (3, 5, 0)
    assert max(after - before for (before, _), (after, _) in pairwise(keys)) <= 8


def test_varying_times_that_are_mostly_too_far_apart_are_refused():
    with pytest.raises(SettingsError, match=r"fps 60 at the clip's 5 makes 12 output frames .* pass --fps up to 40"):
        made(varying([0, 200, 400, 610, 800], 1000), fps=60)


@pytest.mark.parametrize(
    ("asked", "inputs"),
    [
        ({"start": "0.5"}, range(12, 48)),
        ({"start": "0.501"}, range(13, 48)),
        ({"end": "0.5"}, range(12)),
        ({"start": "0:00:00.5", "end": "0:01.5"}, range(12, 36)),
        ({"end": 100}, range(48)),
        ({"start": 0}, range(48)),
        ({"start": "47/24"}, range(47, 48)),
    ],
)
def test_a_part_is_the_frames_from_start_to_before_end(asked, inputs):
    line = made(even(48, 24), **asked)
    assert line.inputs == inputs
    assert line.source == tuple(inputs)
    assert line.duration == Fraction(len(inputs), 24)


def test_the_sound_of_a_part_begins_and_ends_with_it():
    clip = even(48, 24)
    assert (made(clip).start, made(clip).end) == (0, None)
    part = made(clip, start="0.5", end=1)
    assert (part.start, part.end) == (Fraction(1, 2), Fraction(1))
    faster = made(clip, start="0.5", end=1, fps=50)
    assert (faster.start, faster.end) == (Fraction(1, 2), Fraction(1))
    late = varying([0, 400, 1000, 1700], 2000, start=Fraction(-1, 4))
    part = made(late, start="0.3", end="1.5")
    assert part.source == (1, 2)
    assert part.timestamps == (0, 600, 1100)
    assert (part.start, part.end) == (Fraction(15, 100), Fraction(125, 100))


def test_one_frame_is_enough():
    assert shown(made(even(1, 24))) == "0"
    assert shown(made(even(1, 24), fps=60)) == "0 . ."
    assert shown(made(even(1, 24), fps=1)) == "0"
