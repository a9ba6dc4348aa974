"""What is told before the work starts, and what the output tells of how it was made."""

import json
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import pytest

from media.clips import make_clip
from venhancer.enhance import enhance_as_planned, enhance_video, plan_video
from venhancer.errors import SettingsError
from venhancer.outcome import losses, track_rows, writing_of
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
    assert "sound (flac) encoded to aac: .mov holds no such codec" in told
    assert losses(plan, Path("out.mkv")) == []
    assert losses(plan, Path("out.mp4")) == [
        "subtitles (subrip) as they are: converted to mov_text: .mp4 holds no such subtitles"
    ]


def test_output_shows_the_stretch_of_the_source_that_was_asked_for(clip):
    span = writing_of(plan_of(clip, start=Fraction(1, 4)), Path("out.mp4")).span
    assert (span.start, span.end, span.slow, span.is_cut) == (Fraction(1, 4), None, 1, True)
    slowed = writing_of(plan_of(clip, slow=Fraction(2)), Path("out.mp4")).span
    assert (slowed.start, slowed.slow, slowed.is_cut) == (0, 2, False)


@pytest.mark.parametrize(
    ("name", "made", "settings", "complaint"),
    [
        ("out.gif", {"rate": 60}, {}, "a GIF shows no more than 50 frames a second; pass --fps, or name a file .webp"),
        ("out.gif", {"rate": 30}, {"fps": Fraction(60)}, "a GIF shows no more than 50 frames a second"),
        ("out.gif", {"transfer": 18}, {}, "[.]gif cannot hold HLG; name a file [.]mp4"),
        ("out.webp", {"transfer": 16}, {}, "[.]webp cannot hold PQ; name a file [.]mp4"),
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
