import subprocess
import sys
from fractions import Fraction

import pytest
from pydantic import ValidationError

from venhancer.errors import SettingsError
from venhancer.settings import EnhanceSettings, allowed_values, parse_settings


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ("24", Fraction(24)),
        (60, Fraction(60)),
        (24.5, Fraction(49, 2)),
        (" 12.5 ", Fraction(25, 2)),
        ("23.976", Fraction(24000, 1001)),
        (23.976, Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        (Fraction(30000, 1001), Fraction(30000, 1001)),
        ("23.5", Fraction(47, 2)),
        (480, Fraction(480)),
        (None, None),
    ],
)
def test_rates_are_exact(given, rate):
    assert parse_settings(fps=given).fps == rate


@pytest.mark.parametrize("given", ["1280x720", "1280X720", (1280, 720), [1280, 720], " 1280x720 "])
def test_sizes_are_understood(given):
    assert parse_settings(size=given).size == (1280, 720)


def test_text_from_flags_becomes_values():
    settings = parse_settings(scale="2.5", steps="20", seed="7", crf="0", guidance_scale="1")
    assert (settings.scale, settings.steps, settings.seed, settings.crf, settings.guidance_scale) == (2.5, 20, 7, 0, 1)


MISTAKES = [
    ({"scale": 12}, "scale 12 is above 8; pass --scale 1 to 8, or run twice"),
    ({"scale": 0.5}, "scale 0.5 is below 1; pass --scale 1 to 8"),
    ({"scale": "nan"}, "scale nan is not a number; pass --scale 1 to 8"),
    ({"scale": float("inf")}, "scale inf is not a number; pass --scale 1 to 8"),
    ({"scale": "big one"}, "scale 'big one' is not a number; pass --scale 1 to 8"),
    ({"fps": "nan"}, "fps nan is not a plain number or fraction; pass --fps above 0 and up to 480"),
    ({"fps": 0}, "fps 0 is not above 0; pass --fps above 0 and up to 480"),
    ({"fps": "-1"}, "fps -1 is not above 0; pass --fps above 0 and up to 480"),
    ({"fps": 100000}, "fps 100000 is above 480; pass --fps above 0 and up to 480"),
    ({"fps": "24/0"}, "fps 24/0 is not a plain number or fraction"),
    ({"fps": "1e999999999"}, "fps 1e999999999 is not a plain number or fraction"),
    ({"slow": 0.5}, "slow 0.5 is below 1; pass --slow 1 to 64"),
    ({"slow": None}, "slow None is not a plain number or fraction; pass --slow 1 to 64"),
    ({"size": "641x480"}, "size 641x480 has an odd side, which video cannot store; pass --size WIDTHxHEIGHT"),
    ({"size": (8, 8)}, "size 8x8 is out of bounds; pass --size WIDTHxHEIGHT, even sides of 16 to 16384"),
    ({"size": "20000x1000"}, "size 20000x1000 is out of bounds"),
    ({"size": "large"}, "size large is not a size; pass --size WIDTHxHEIGHT, even sides of 16 to 16384"),
    ({"size": 720}, "size 720 is not a size"),
    (
        {"scale": 2, "size": "640x480"},
        "scale 2 and size 640x480 exclude each other; pass either --scale 1 to 8 or --size",
    ),
    ({"solver": "euler"}, "solver euler is unknown; pass --solver dpmpp_2m_sde, dpmpp_2m, unipc, heun or ddim"),
    ({"timetable": "x\ny"}, "timetable 'x\\ny' is unknown; pass --timetable trailing or fast"),
    (
        {"codec": "h265"},
        "codec h265 is unknown; pass --codec h264, hevc, av1, vp9, prores, ffv1, png, tiff, gif or webp",
    ),
    (
        {"published": True, "preset": "fast"},
        "the published program knows no preset fast; leave out --preset or --published",
    ),
    ({"steps": 0}, "steps 0 is below 1; pass --steps 1 to 100"),
    ({"steps": 1.5}, "steps 1.5 is not a whole number; pass --steps 1 to 100"),
    ({"steps": "many"}, "steps many is not a whole number; pass --steps 1 to 100"),
    ({"noise_augmentation": 301}, "noise_augmentation 301 is above 300; pass --noise-augmentation 0 to 300"),
    ({"start_timestep": 1000}, "start_timestep 1000 is above 999; pass --start-timestep 1 to 999"),
    ({"guidance_scale": 0}, "guidance_scale 0 is below 1; pass --guidance-scale 1 to 15"),
    ({"guidance_rescale": 2}, "guidance_rescale 2 is above 1; pass --guidance-rescale 0 to 1"),
    ({"downscale_factor": 9}, "downscale_factor 9 is above 8; pass --downscale-factor 1 to 8"),
    ({"seed": -1}, "seed -1 is below 0; pass --seed 0 to 9223372036854775807"),
    ({"crf": 64}, "crf 64 is above 63; pass --crf 0 to 63"),
    ({"model": ""}, "model '' is empty; pass --model text of up to 4000 characters"),
    ({"prompt": "long\n" * 999}, "is longer than 2000 characters; pass --prompt text of up to 2000 characters"),
    ({"prompt": 3}, "prompt 3 is not text; pass --prompt text of up to 2000 characters"),
    ({"window_frames": 8, "window_overlap": 8}, "window_overlap 8 is not below window_frames 8; pass --window-overlap"),
    ({"scael": 2}, "unknown setting scael; did you mean scale?"),
    ({"zzz": 2}, "unknown setting zzz; settings are scale, size, fps"),
    (
        {"steps": 0, "crf": 99},
        "steps 0 is below 1; pass --steps 1 to 100. Also: crf 99 is above 63; pass",
    ),
]


@pytest.mark.parametrize(("values", "line"), MISTAKES)
def test_mistakes_make_one_line(values, line):
    with pytest.raises(SettingsError) as raised:
        parse_settings(**values)
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: EnhanceSettings(scale=12),
        lambda: EnhanceSettings.model_validate({"scale": 12}),
        lambda: EnhanceSettings.model_validate_json('{"scale": 12}'),
        lambda: EnhanceSettings(seed=3).model_copy(update={"scale": 12}),
    ],
)
def test_settings_made_in_any_way_say_the_same(make):
    with pytest.raises(SettingsError, match=r"^scale 12 is above 8; pass --scale 1 to 8, or run twice$"):
        make()


def test_a_copy_keeps_the_other_values():
    settings = parse_settings(fps="23.976", size="640x480", start="1:30.25", memory="8GB", background="black")
    assert settings.model_copy(update={"model": "v2"}) == parse_settings(
        **settings.model_dump(exclude={"model"}), model="v2"
    )
    assert settings.model_copy() == settings


def test_what_is_no_mapping_is_refused():
    with pytest.raises(SettingsError, match="valid dictionary"):
        EnhanceSettings.model_validate("scale=2")


def test_every_field_is_described_and_bounded():
    for name, field in EnhanceSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert allowed_values(name), name


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        EnhanceSettings().scale = 2.0  # type: ignore[misc]


def test_settings_survive_json():
    settings = parse_settings(fps="23.976", size="640x480", slow="3/2", prompt="a cat", start="1:30.25", end="0:02:00")
    assert parse_settings(**settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize("module", ["settings", "model_files.traits", "plan", "planning.estimate", "windows"])
def test_arithmetic_loads_no_torch(module):
    code = f"import venhancer.{module}, sys; sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
