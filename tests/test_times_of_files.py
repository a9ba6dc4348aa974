"""Times of whole files, from the source to the target: each frame, and the sound beside it.

Frames are held instead of enhanced here, so that minutes of footage pass in seconds; everything else is the real path.
"""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from media.clips import make_clip, number_of
from venhancer.enhance import enhance_video
from venhancer.jobs.outcome import writing_of
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import write_segment
from venhancer.model_files.traits import load_traits
from venhancer.plan import EnhancePlan, make_plan
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

UNEVEN = [0, 1, 2, 4, 5, 9, 10, 11, 12, 13, 15, 17]
FILM = Fraction(1, 24)


def carry_out(source, target, **asked) -> tuple[EnhancePlan, ClipInfo]:
    """Make `target` of three segments in which every output frame is its input frame; return plan and result."""
    clip = probe(source)
    plan = make_plan(clip, parse_settings(scale=1, **asked), load_traits("nano"))
    writing = writing_of(plan, target)
    edges = [plan.frames * third // 3 for third in range(4)]
    segments = []
    with FrameReader(clip, keep=1) as reader:
        for first, stop in pairwise(edges):
            if first < stop:
                path = target.with_name(f"{first}.mkv")
                segments.append(write_segment(path, reader.read(plan.source[first:stop]), writing))
    assemble(target, segments, writing, clip)
    return plan, probe(target)


def times(clip: ClipInfo) -> list[Fraction]:
    return [clip.frame_time(number) for number in range(clip.frames)]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("target", ["out.mp4", "out.mov", "out.mkv"])
def test_varying_times_arrive_as_they_are(tmp_path, name, target):
    source = make_clip(tmp_path / name, frames=12, times=UNEVEN, time_base=FILM)
    plan, result = carry_out(source, tmp_path / target)
    rounding = Fraction(1, 1000) if target == "out.mkv" else 0
    assert result.frames == 12
    assert all(abs(a - b) <= rounding for a, b in zip(times(result), times(probe(source)), strict=True))
    assert abs(result.duration - plan.duration) <= 1 / result.rate
    assert [number_of(frame) for frame in read_frames(result)] == list(range(12))


@pytest.mark.parametrize("fps", [24, 10, 60, "30000/1001"])
def test_varying_times_become_even_on_request(tmp_path, fps):
    source = make_clip(tmp_path / "a.mp4", frames=12, times=UNEVEN, time_base=FILM)
    plan, result = carry_out(source, tmp_path / "out.mp4", fps=fps)
    assert (result.rate, result.timestamps) == (Fraction(fps), None)
    assert 0 <= result.duration - probe(source).duration < 1 / result.rate
    for output, frame in enumerate(read_frames(result)):
        assert number_of(frame) == plan.source[output]
        if plan.source[output - 1] != plan.source[output] or output == 0:
            assert abs(output / result.rate - UNEVEN[number_of(frame)] * FILM) <= 1 / result.rate / 2


RATES = [Fraction(8), Fraction(24000, 1001), Fraction(25), Fraction(30), Fraction(60000, 1001)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("fps", RATES)
def test_any_rate_goes_to_any_rate(tmp_path, rate, fps):
    source = make_clip(tmp_path / "a.mp4", frames=20, rate=rate)
    _, result = carry_out(source, tmp_path / "out.mp4", fps=fps)
    assert (result.rate, result.timestamps) == (fps, None)
    assert 0 <= result.duration - 20 / rate < 1 / fps


@pytest.mark.parametrize(("asked", "frames"), [({"slow": 3}, 60), ({"slow": "5/2", "fps": 12}, 25)])
def test_slow_motion_stretches_time(tmp_path, asked, frames):
    source = make_clip(tmp_path / "a.mp4", frames=20, sound="aac")
    plan, result = carry_out(source, tmp_path / "out.mp4", **asked)
    assert result.frames == plan.frames == frames
    assert result.rate == asked.get("fps", 24)
    assert abs(result.duration - Fraction(20, 24) * Fraction(asked["slow"])) < 1 / result.rate
    assert not any(track.kind == "audio" for track in result.tracks)


def sound_of(path) -> tuple[Fraction, np.ndarray]:
    """Return when the sound begins, on the clock that the first frame begins at 0 of, and its samples."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0, :: len(frame.layout.channels)] for frame in frames])
    return frames[0].pts * frames[0].time_base - probe(path).start, samples


def test_the_sound_of_a_part_is_that_of_the_part(tmp_path):
    """To the sample: the same sound is heard with the same frame."""
    source = make_clip(tmp_path / "a.mkv", frames=96, sound="pcm_s16le", sound_rate=8000)
    plan, result = carry_out(source, tmp_path / "out.mkv", start="0:01.25", end=3)
    first, whole = sound_of(source)
    begin, part = sound_of(result.path)
    assert (plan.timeline.inputs, result.frames) == (range(30, 72), 42)
    assert [number_of(frame) for frame in read_frames(result)] == list(range(30, 72))
    ends = begin + Fraction(len(part), 8000)
    assert abs(begin) <= Fraction(1024, 8000)
    assert abs(ends - Fraction(42, 24)) <= Fraction(1024, 8000)
    place = round((begin + Fraction(30, 24) - first) * 8000)
    assert np.array_equal(part, whole[place : place + len(part)])


def test_after_ten_minutes_the_sound_is_in_step(tmp_path):
    rate, seconds = Fraction(15000, 1001), 600
    options = {"preset": "ultrafast", "g": "250"}
    pictures = (np.full((32, 32, 3), number % 200, np.uint8) for number in range(int(seconds * rate)))
    source = make_clip(
        tmp_path / "a.mkv", width=32, height=32, rate=rate, pictures=pictures, options=options,
        sound="pcm_s16le", sound_rate=8000,
    )  # fmt: skip
    plan, result = carry_out(source, tmp_path / "out.mkv")
    assert abs(result.duration - probe(source).duration) < 1 / plan.rate
    (before, heard), (after, again) = sound_of(source), sound_of(result.path)
    assert abs(after - before) < Fraction(1, 1000)
    assert np.array_equal(heard, again)
    last = result.frames - 1
    assert abs(result.frame_time(last) - plan.source[last] / rate) <= Fraction(1, 1000)


def test_turned_and_interlaced_clips_arrive_upright_and_whole(tmp_path):
    source = make_clip(
        tmp_path / "a.mp4", frames=6, rotation=90, options={"flags": "+ildct+ilme"}, aspect=Fraction(4, 3)
    )
    plan, result = carry_out(source, tmp_path / "out.mp4")
    assert (result.width, result.height) == (plan.width, plan.height) == (48, 64)
    assert (result.orientation.rotation, result.sample_aspect_ratio) == (0, Fraction(3, 4))
    assert not result.is_interlaced
    frames, expected = list(read_frames(result)), list(read_frames(probe(source)))
    assert all(np.abs(a.astype(int) - b).mean() < 6 for a, b in zip(frames, expected, strict=True))


def test_odd_sizes_become_even(tmp_path):
    source = make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", width=65, height=49, frames=2)
    plan = make_plan(probe(source), parse_settings(scale=1), load_traits("nano"))
    assert (plan.width, plan.height, plan.sample_aspect_ratio) == (66, 50, 1)


def test_enhancement_keeps_varying_times(tmp_path, tiny_model):
    """The whole way, with a real model."""
    source = make_clip(tmp_path / "a.mp4", width=32, height=24, frames=12, times=UNEVEN, time_base=FILM, sound="aac")
    pipeline = load_pipeline(str(tiny_model))
    report = enhance_video(source, tmp_path / "out.mp4", pipeline, parse_settings(scale=2, model=str(tiny_model)))
    assert times(probe(tmp_path / "out.mp4")) == [time * FILM for time in UNEVEN]
    assert dict(describe_plan(report.plan))["timing"].startswith("every frame keeps its own time")
