"""What is told before the work starts, and what the output tells of how it was made."""

import json
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest

from media.clips import make_clip
from venhancer.enhance import enhance_as_planned, enhance_video, plan_video
from venhancer.errors import InputError, SettingsError
from venhancer.jobs.outcome import encoding_of, losses, track_rows, writing_of
from venhancer.jobs.work import find_work
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing
from venhancer.settings import EnhanceSettings
from venhancer.weights import load_pipeline


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "a.mkv", sound="flac", subtitles=1, frames=12)


def plan_of(clip: Path, **settings):
    return plan_video(clip, EnhanceSettings(model="nano", shots=False, **settings))


def test_comment_holds_version_and_every_setting_that_was_chosen(clip):
    plan = plan_of(clip, scale=2, seed=7, prompt="Grüße", start=Fraction(1, 4))
    program, number, told = writing_of(plan, Path("out.mp4")).metadata["comment"].split(" ", 2)
    assert (program, number) == ("venhancer", version("venhancer"))
    told = json.loads(told)
    assert (told["model"], told["seed"], told["prompt"]) == ("nano", 7, "Grüße")
    assert told["steps"] == plan.sampling.steps
    rest = {name: value for name, value in told.items() if name != "steps"}
    assert EnhanceSettings(**rest) == plan.settings.model_copy(update={"steps": None})
    assert "crf" not in told


def test_tracks_of_the_plan_are_those_of_the_target(clip):
    plan = plan_of(clip)
    assert [name for name, _ in track_rows(plan)] == [f"tracks in {s}" for s in (".mp4", ".mov", ".mkv", ".webm")]
    ((name, told),) = track_rows(plan, Path("out.mov"))
    assert name == "tracks in .mov"
    assert "sound (flac) encoded to aac: .mov cannot hold this codec" in told
    assert losses(plan, Path("out.mkv")) == []
    assert losses(plan, Path("out.mp4")) == [
        "subtitles (subrip) as they are: converted to mov_text: .mp4 cannot hold these subtitles"
    ]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.mp4", "h264"), ("a.mkv", "hevc"), ("a.mkv", "ffv1"), ("a.webm", "vp9"), ("a.mkv", "av1")),
        *(("a.mp4", "vp9"), ("a.mov", "prores"), ("a.mkv", "prores")),
    ],
)
def test_shape_of_pixels_is_kept_or_named_as_lost(tmp_path, name, codec):
    source = make_clip(tmp_path / "in.mp4", frames=2, aspect=Fraction(16, 11))
    plan = plan_of(source, scale=1, codec=codec)
    frames = (np.zeros((plan.height, plan.width, 3), np.uint8) for _ in range(2))
    target = write_video(tmp_path / name, frames, writing_of(plan, tmp_path / name), plan.clip)
    is_kept = probe(target).sample_aspect_ratio == Fraction(16, 11)
    assert any("shape of pixels (16:11)" in lost for lost in losses(plan, target)) != is_kept


@pytest.mark.parametrize(
    ("name", "codec", "is_full"),
    [("a.mov", "prores", False), ("a.mkv", "prores", False), ("a.mov", "hevc", True), ("a.mp4", "av1", True)],
)
def test_full_range_stays_where_the_file_can_say_so(tmp_path, name, codec, is_full):
    """ProRes says nothing of its range, and is taken for limited."""
    grey = [np.full((48, 64, 3), 200, np.uint8)] * 2
    plan = plan_of(make_clip(tmp_path / "in.mp4", pictures=grey, full_range=True), scale=1, codec=codec)
    target = write_video(tmp_path / name, iter(grey), writing_of(plan, tmp_path / name), plan.clip)
    clip = probe(target)
    assert clip.full_range == is_full
    assert all(np.abs(frame.astype(int) - 200).max() <= 3 for frame in read_frames(in_eight_bits(clip)))


def test_sixteen_bits_in_a_movie_keep_as_many_as_they_can_and_the_rest_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "in.png"), np.full((48, 64, 3), 40_000, np.uint16))
    plan = plan_of(tmp_path / "in.png")
    assert encoding_of(plan, Path("out.mp4")).depth == 12
    assert losses(plan, Path("out.mp4")) == ["16-bit depth (hevc keeps 12 bits here)"]
    assert losses(plan, Path("out.mkv")) == []


def test_output_shows_the_stretch_of_the_source_that_was_asked_for(clip):
    span = writing_of(plan_of(clip, start=Fraction(1, 4)), Path("out.mp4")).span
    assert (span.start, span.end, span.slow, span.is_cut) == (Fraction(1, 4), None, 1, True)
    slowed = writing_of(plan_of(clip, slow=Fraction(2)), Path("out.mp4")).span
    assert (slowed.start, slowed.slow, slowed.is_cut) == (0, 2, False)


@pytest.mark.parametrize(
    ("name", "made", "settings", "complaint"),
    [
        ("out.gif", {"rate": 60}, {}, "a GIF shows at most 50 frames a second; pass a lower --fps, or use .webp"),
        ("out.gif", {"rate": 30}, {"fps": Fraction(60)}, "a GIF shows at most 50 frames a second"),
        ("out.gif", {"transfer": 18}, {}, "[.]gif cannot hold HLG; use [.]mp4"),
        ("out.webp", {"transfer": 16}, {}, "[.]webp cannot hold PQ; use [.]mp4"),
    ],
)
def test_what_a_target_cannot_show_is_refused_before_any_work(tmp_path, tiny_model, name, made, settings, complaint):
    """By the library calls: nothing is asked of the networks, and nothing left."""
    source = make_clip(tmp_path / "in.mp4", width=32, height=24, frames=3, **made)
    asked = EnhanceSettings(model=str(tiny_model), scale=1, **settings)
    pipeline, target = load_pipeline(str(tiny_model), device="cpu"), tmp_path / name
    pipeline.enhance_segments = None  # so that any use of it fails in another way
    with pytest.raises(SettingsError, match=complaint):
        enhance_video(source, target, pipeline, asked)
    with pytest.raises(SettingsError, match=complaint):
        enhance_as_planned(plan_video(source, asked), target, pipeline)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.fixture
def clear_at_last(tmp_path) -> Path:
    """A clip of 40 frames of which the last is transparent."""
    frames = np.full((40, 24, 32, 4), 255, np.uint8)
    frames[..., :3] = np.arange(40)[:, None, None, None] * 5
    frames[-1, 8:, 8:, 3] = 100
    writing = Writing(width=32, height=24, rate=Fraction(12), codec="ffv1", pixel_format="bgra")
    return write_video(tmp_path / "in.mkv", frames, writing, None)


def test_transparency_late_in_a_clip_is_refused_before_any_work(clear_at_last, tiny_model, tmp_path):
    asked, pipeline = EnhanceSettings(model=str(tiny_model), scale=1), load_pipeline(str(tiny_model), device="cpu")
    pipeline.enhance_segments = None  # likewise
    with pytest.raises(
        InputError, match=r"in\.mkv is transparent at 3\.25 s; transparency cannot be kept; pass --background"
    ):
        enhance_video(clear_at_last, tmp_path / "out.mp4", pipeline, asked)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_transparency_that_nobody_looked_for_keeps_what_is_finished(clear_at_last, tiny_model, tmp_path):
    pipeline, target = load_pipeline(str(tiny_model), device="cpu"), tmp_path / "out.mp4"
    asked = EnhanceSettings(model=str(tiny_model), scale=1, fps=Fraction(24), steps=1, shots=False)
    with pytest.raises(InputError, match=r"in\.mkv is transparent at 3\.25 s"):
        enhance_video(clear_at_last, target, pipeline, asked)
    assert find_work(target).finished_frames > 0
    enhance_video(clear_at_last, target, pipeline, asked.model_copy(update={"background": "#000000"}), restart=True)
    assert probe(target).frames == 80
