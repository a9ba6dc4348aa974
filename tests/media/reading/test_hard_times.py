"""Clips whose times are not what one would wish, in real files."""

from fractions import Fraction

import pytest

from media.clips import make_clip, number_of
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames

UNEVEN = [0, 1, 2, 4, 5, 9, 10, 11, 12, 13, 15, 17]
FILM = Fraction(1, 24)


def numbers(clip) -> list[int]:
    return [number_of(frame) for frame in read_frames(clip)]


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
    ],
)
def test_uneven_times_are_told_to_the_tick(tmp_path, name, codec, pixel_format):
    path = make_clip(tmp_path / name, codec=codec, pixel_format=pixel_format, frames=12, times=UNEVEN, time_base=FILM)
    clip = probe(path)
    tick = clip.time_base
    assert all(abs(stamp * tick - time * FILM) <= tick for stamp, time in zip(clip.timestamps, UNEVEN, strict=True))
    assert abs(clip.duration - 18 * FILM) <= tick
    assert [clip.frame_time(n) for n in range(12)] == [stamp * tick for stamp in clip.timestamps]
    with FrameReader(clip, keep=3) as reader:
        for part in (range(9), range(6, 12)):
            assert [number_of(frame) for frame in reader.read(part)] == list(part)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_clip_that_begins_late_is_counted_from_its_first_frame(tmp_path, name):
    """Broadcast recordings and cuttings begin anywhere on their clock."""
    clip = probe(make_clip(tmp_path / name, frames=12, times=range(240, 252), time_base=FILM))
    assert (clip.frames, clip.rate, clip.timestamps, clip.duration) == (12, 24, None, Fraction(1, 2))
    assert clip.start >= 10
    assert numbers(clip) == list(range(12))
    assert [number_of(frame) for frame in read_frames(clip, 9)] == [9, 10, 11]


def test_frames_before_the_beginning_do_not_count(tmp_path):
    """The container leaves out what lies before time 0 and says so in an edit list."""
    clip = probe(make_clip(tmp_path / "a.mp4", frames=12, times=range(-5, 7), time_base=FILM))
    assert (clip.frames, clip.start, clip.timestamps) == (7, 0, None)
    assert numbers(clip) == list(range(5, 12))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_gap_stays_a_gap(tmp_path, name):
    clip = probe(make_clip(tmp_path / name, frames=6, times=[0, 1, 2, 100, 101, 102], time_base=FILM))
    assert abs(clip.frame_time(3) - 100 * FILM) <= clip.time_base
    assert abs(clip.duration - 103 * FILM) <= clip.time_base
    assert numbers(clip) == list(range(6))


def test_frames_of_one_time_are_counted_each(tmp_path):
    """More frames a second than a container has ticks."""
    clip = probe(
        make_clip(tmp_path / "a.mkv", codec="ffv1", frames=6, rate=1500, times=range(6), time_base=Fraction(1, 1500))
    )
    assert clip.frames == 6
    assert clip.timestamps == (0, 1, 1, 2, 3, 3)
    assert numbers(clip) == list(range(6))


def test_jitter_is_told_and_made_even(tmp_path):
    times = [1000 * n + off for n, off in enumerate([0, 30, -60, 90, 0, -20, 40, 0])]  # up to 0.9 tenths of a frame
    clip = probe(make_clip(tmp_path / "a.mp4", frames=8, rate=30, times=times, time_base=Fraction(1, 30_000)))
    assert (clip.rate, clip.timestamps, clip.jitter) == (30, None, Fraction(90, 30_000))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.gif"])
def test_one_frame_is_a_clip(tmp_path, name):
    codec, pixels = ("gif", "rgb8") if name == "a.gif" else ("libx264", "yuv420p")
    clip = probe(make_clip(tmp_path / name, codec=codec, pixel_format=pixels, frames=1, rate=25))
    assert (clip.frames, clip.timestamps) == (1, None)
    assert clip.duration == 1 / clip.rate
    assert numbers(clip) == [0]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_ntsc_rates_stay_exact_over_minutes(tmp_path, name, rate):
    """A minute of them, in the milliseconds of Matroska too."""
    clip = probe(make_clip(tmp_path / name, width=32, height=32, frames=int(60 * rate), rate=rate))
    assert (clip.rate, clip.timestamps, clip.jitter) == (rate, None, 0)
    assert clip.duration == int(60 * rate) / rate
