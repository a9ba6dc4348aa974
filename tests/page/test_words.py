"""What the page's words mean, and that its form asks for what the command line would."""

import re
import shlex
from pathlib import Path

import pytest

from media.clips import make_clip
from venhancer.cli.flags import read_settings
from venhancer.cli.main import make_parser
from venhancer.errors import SettingsError
from venhancer.media.reading.probe import probe
from venhancer.model_files.traits import load_traits
from venhancer.page.form import Form, command_of, controls
from venhancer.page.words import (
    CREATIVITY,
    LEVELS,
    PRESETS,
    RATES,
    SHARPNESS,
    SIZES,
    extent_of,
    look_of,
    own_level,
)
from venhancer.planning.memory import Machine
from venhancer.serving.outlook import plan_roughly
from venhancer.settings import EnhanceSettings, parse_settings


@pytest.fixture
def clip(tmp_path):
    return make_clip(tmp_path / "in.mp4", width=320, height=180, rate=8, frames=24)


def form(clip, **changes) -> Form:
    start = {
        "source": clip,
        "size": "4x",
        "rate": "as it is",
        "creativity": 1,
        "sharpness": 3,
        "prompt": "",
        "memory": "",
    }
    return Form(**start | {"model": "nano", "ending": ".mp4", "more": {}} | changes)


@pytest.mark.parametrize("model", ["nano", "v1", "v2"])
def test_levels_have_the_models_own_values_in_their_place_and_rise(model, clip):
    traits = load_traits(model)
    own = own_level(traits)
    assert look_of(traits, own, 3) == {}
    noises = [
        look_of(traits, level, 3).get("noise_augmentation", traits.defaults.noise_augmentation) for level in LEVELS
    ]
    starts = [look_of(traits, level, 3).get("start_timestep", traits.defaults.start_timestep) for level in LEVELS]
    guidance = [look_of(traits, own, level).get("guidance_scale", traits.defaults.guidance_scale) for level in LEVELS]
    assert noises == sorted(set(noises))
    assert starts == sorted(starts)
    assert guidance == sorted(guidance)
    for creativity in LEVELS:
        for sharpness in LEVELS:
            settings = parse_settings(model=model, scale=2, **look_of(traits, creativity, sharpness))
            plan_roughly(clip, settings, Machine())  # every level can be had


def test_there_are_five_levels_of_everything():
    assert [len(table) for table in (*CREATIVITY.values(), SHARPNESS)] == [5, 5, 5]
    for start in PRESETS.values():
        assert start["size"] in SIZES
        assert start["rate"] in RATES


def test_the_tables_of_levels_are_those_of_the_documentation():
    lines = (Path(__file__).parents[2] / "docs" / "page.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]
    tables = CREATIVITY["few steps"], CREATIVITY["many steps"]
    for (level, few, many), fewer, more in zip(rows[:5], *tables, strict=True):
        for told, values in ((few, fewer), (many, more)):
            numbers = [int(word) for word in re.findall(r"\d+", told)]
            assert "the model's own" in told if not values else numbers == list(values.values()), level
    guidance = [float(word) for _, told in rows[5:] for word in re.findall(r"[\d.]+\d|\d", told)]
    own = load_traits("v1").defaults.guidance_scale
    assert guidance == [values.get("guidance_scale", own) for values in SHARPNESS]


@pytest.mark.parametrize(("size", "expected"), [("1080p", "1920x1080"), ("4K", "3840x2160")])
def test_sizes_by_name_keep_the_shape(tmp_path, size, expected):
    wide = probe(make_clip(tmp_path / "wide.mp4", width=640, height=360, frames=2))
    tall = probe(make_clip(tmp_path / "tall.mp4", width=360, height=640, frames=2))
    assert extent_of(size, "24", wide) == {"fps": "24", "size": expected}
    assert extent_of(size, "24", tall) == {"fps": "24", "size": "x".join(expected.split("x")[::-1])}


def test_a_preview_is_ten_frames_from_where_it_is_asked_for(clip):
    plan = plan_roughly(clip, form(clip).settings(preview_from=1.0), Machine())
    assert (plan.timeline.inputs, plan.frames) == (range(8, 18), 10)
    late = plan_roughly(clip, form(clip).settings(preview_from=99.0), Machine())
    assert late.timeline.inputs == range(14, 24)


def test_every_setting_has_a_control_with_its_description():
    names = {one.name for one in controls()} | {"prompt", "memory", "model"}
    assert names == set(EnhanceSettings.model_fields)
    for one in controls():
        description = EnhanceSettings.model_fields[one.name].description
        assert description
        assert one.hint.startswith(description)


def test_more_goes_before_words_and_untouched_controls_say_nothing(clip):
    untouched = {one.name: "" if one.default is None else one.default for one in controls()}
    assert form(clip, more=untouched).settings() == parse_settings(scale=4)
    assert form(clip, more=untouched | {"size": "640x360"}).settings() == parse_settings(size="640x360")
    assert form(clip, rate="60", more={"fps": " 24 "}).settings() == parse_settings(scale=4, fps=24)
    assert form(clip, creativity=3, more={"shots": False}).settings() == parse_settings(
        scale=4, noise_augmentation=150, shots=False
    )
    with pytest.raises(SettingsError, match="crf 99 is above 63"):
        form(clip, more={"crf": "99"}).settings()


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "it's a rabbit; rm -rf", "size": "1080p", "rate": "60", "creativity": 5, "memory": "8GB"},
        {"rate": "half speed", "more": {"shots": False, "keep_damaged": True, "tile": "640x320", "seed": "7"}},
    ],
)
def test_the_command_shown_asks_for_the_same(clip, changes):
    settings = form(clip, **changes).settings()
    words = shlex.split(command_of("in.mp4", settings, "out.mp4"))
    assert words[0] == "venhancer"
    assert read_settings(make_parser().parse_args(words[1:])) == settings
