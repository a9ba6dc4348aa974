"""`--published` against both releases of the published program: tables, whole pipelines, and what it refuses."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from parity.test_autoencoder_parity import filled_model, held
from parity.test_network_parity import TINY, converted
from stand_ins import GOLDEN, autoencoder_shapes, filled, network_shapes
from venhancer.checkpoints.autoencoder import image_autoencoder, video_autoencoder
from venhancer.diffusion.noise import KEY_FRAME_NOISE, POSTERIOR_NOISE, START_NOISE, STEP_NOISE
from venhancer.diffusion.schedule import Schedule
from venhancer.errors import SettingsError
from venhancer.frames.colour_fix import Colours
from venhancer.frames.levels import to_levels, to_pixels
from venhancer.media.clip import ClipInfo, describe_frames
from venhancer.model_files.traits import load_traits
from venhancer.models.prompts import project_prompts
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import EnhancePlan, make_plan
from venhancer.published import PROGRAMS, bell
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import parse_settings

LAYOUT = json.loads((GOLDEN / "published_layout.json").read_text())
RECORDED_FRAMES = [0, 3, 4, 5, 8]  # of v2's decoded ones
V1, V2 = PROGRAMS["v1"], PROGRAMS["v2"]


def clip_of(frames: int = 3, height: int = 180, width: int = 320, rate: str | int = 8) -> ClipInfo:
    return describe_frames(frames, height, width, Fraction(rate))


def plan_of(model: str, clip: ClipInfo | None = None, **settings: object) -> EnhancePlan:
    return make_plan(clip or clip_of(), parse_settings(published=True, **settings), load_traits(model))


# Tables.


@pytest.mark.parametrize(
    "row", LAYOUT["v2_frames"], ids=lambda row: f"{row['frames']}@{row['fps']}to{row['target_fps']}"
)
def test_times_key_frames_and_windows_are_the_published_ones(row):
    plan = plan_of("v2", clip_of(row["frames"], rate=str(row["fps"])), fps=row["target_fps"])
    mask = [key for key in row["mask_cond"] if key != "..."]
    assert plan.frames == row["out_frames"]
    assert float(plan.rate) == row["out_fps"]
    assert list(plan.is_key[: len(mask)]) == [key >= 0 for key in mask]
    assert [plan.source[number] for number in plan.key_frames] == list(range(row["frames"]))
    (segment,) = plan.segments
    assert [[window.start, window.stop] for window in segment.windows] == (row["chunks"] or [[0, plan.frames]])


def test_sizes_and_padding_of_v1_are_the_published_ones():
    met = 0
    for row in [*LAYOUT["v1_resolution"], *LAYOUT["v1_720_short"]]:
        clip, asked = clip_of(1, row["h"], row["w"]), {"scale": row["up_scale"]}
        if row["out_h"] % 2 or row["out_w"] % 2:
            with pytest.raises(SettingsError, match=f"makes {row['out_w']}x{row['out_h']}.*cannot store"):
                plan_of("v1", clip, **asked)
            continue
        plan = plan_of("v1", clip, **asked)
        assert (plan.height, plan.width) == (row["out_h"], row["out_w"])
        assert plan.sampling.downscale_factor == row["up_scale_embedding"]
        assert list(V1.padding(plan.height, plan.width)) == row["pad"]
        assert [plan.latent_height, plan.latent_width] == row["latent"]
        met += 1
    assert met > 70


def test_sizes_and_padding_of_v2_are_the_published_ones():
    for row in LAYOUT["v2_adjust_resolution"]:
        plan = plan_of("v2", clip_of(1, row["h"], row["w"]), scale=row["up_scale"])
        assert [plan.height, plan.width] == row["official"]
        assert [plan.latent_height, plan.latent_width] == row["latent"]
        assert plan.sampling.downscale_factor == 8


def test_every_padding_is_the_published_one():
    assert len(LAYOUT["pad_to_fit"]) == 152
    for row in LAYOUT["pad_to_fit"]:
        assert list(V2.padding(row["h"], row["w"])) == row["pad_w1_w2_h1_h2"]


def test_decode_tiles_windows_and_weights_are_the_published_ones():
    def spans(ranges: list[range]) -> list[list[int]]:
        return [[one.start, one.stop] for one in dict.fromkeys(ranges)]

    for size, sides in LAYOUT["v2_tiles"].items():
        tiles = V2.decoding(*map(int, size.split("x")), 1)["tiles"]
        assert {"h": spans([tile.rows for tile in tiles]), "w": spans([tile.columns for tile in tiles])} == sides
    for frames, windows in LAYOUT["v2_time_tiles"].items():
        assert spans(V2.decoding(8, 8, int(frames))["windows"]) == windows
    np.testing.assert_allclose(np.outer(bell(6, 3), bell(8, 3.5)), LAYOUT["gaussian_weights_8x6"], rtol=1e-12)


def test_where_three_windows_meet_each_is_laid_over_those_before():
    windows = V2.windows(61, 2)
    fades = V2.fades(windows)
    assert [list(window)[:1] for window in windows] == [[0], [15], [30]]
    total = np.zeros(61)
    for window, fade in zip(windows, fades, strict=True):
        total[window.start : window.stop] += fade
    np.testing.assert_allclose(total, 1)
    assert [fade[at] for fade, at in zip(fades, (30, 15, 0), strict=True)] == [1 / 16, 15 / 16, 0]
    assert fades[2][1] == 1 / 16


# Whole pipelines.


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN / "pipeline.safetensors")


def test_v1_from_frames_to_frames_is_the_published_result(golden, monkeypatch):
    """Recorded with the constants 720 and 1280 made small, and all noises stored; embeddings are given."""
    monkeypatch.setitem(PROGRAMS, "v1", replace(V1, height=144, width=128))
    unet, controlnet = converted(filled(network_shapes(TINY)))
    vae = filled_model(image_autoencoder(held(filled(autoencoder_shapes("sd21")))))
    text = CLIPTextConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    pipeline = VEnhancerPipeline(vae, unet, controlnet, CLIPTextModel(text), ByT5Tokenizer(extra_ids=0))
    frames = [to_levels(frame, 16) for frame in golden["in.video"]]
    plan = plan_of("v1", replace(clip_of(3, 24, 20), depth=16), scale=6, fps=16, steps=4)

    def recorded(seed: int, number: int, shape: tuple[int, ...], draw: int) -> Tensor:
        if draw == POSTERIOR_NOISE:
            return golden["v1/posterior_noise"][number]
        if draw == KEY_FRAME_NOISE:
            return golden["v1/hint_noise"][0, :, plan.key_frames.index(number)]
        return (golden["v1/lr_noise"] if draw == START_NOISE else golden["v1/brownian"][draw - STEP_NOISE])[
            0, :, number
        ]

    pipeline.draw_noise = recorded
    (segment,) = plan.segments
    conditions = pipeline.encode(map(to_pixels, frames), plan, pipeline.reach(plan, segment))
    assert (conditions.start_latents - golden["v1/latent"]).abs().max() < 1e-4
    assert (conditions.key_frames.latents - golden["v1/noised_hint"]).abs().max() < 1e-4
    with torch.inference_mode():
        embeds = torch.cat([golden[name] for name in ("in.y", "in.negative_y")])
        prompts = project_prompts((unet, controlnet), embeds, pipeline.device)
    latents, _ = pipeline.denoise(conditions, prompts, plan, segment)
    colours = Colours(plan.sampling.color_fix, (1, 1), {})
    results = [to_pixels(frame) for frame in pipeline.decode(latents, plan, segment, colours, boundary=None, carry={})]
    assert (torch.stack(results, dim=1) - golden["v1/out"][0].clamp(-1, 1)).abs().max() < 1e-4


def test_v2_decodes_windows_and_tiles_as_published(golden):
    """Recorded with tiles of 96x80 pixels."""
    vae = filled_model(video_autoencoder(held(filled(autoencoder_shapes("temporal")))))
    with torch.no_grad():
        frames = list(vae.decode_each(golden["v2/in.z"], **replace(V2, tile=(12, 10)).decoding(18, 16, 9)))
    result = torch.stack([frames[number] for number in RECORDED_FRAMES], dim=1)
    assert (result - golden["v2/out"][0]).abs().max() < 2e-5  # float32's own error: AVX2 5e-6, AVX-512 1.3e-5


def test_levels_are_cut_off():
    picture = torch.full((3, 1, 1), 0.999)
    assert to_levels(picture).max() == 255
    assert to_levels(picture, 8, V1.whole).max() == 254


# Defaults and refusals.


def test_published_timetables_are_the_defaults():
    for name, times in {"v1": (899, 881, 864), "v2": (899, 799, 699, 599, 500, 454, 409, 363)}.items():
        defaults = load_traits(name).defaults
        timesteps = Schedule().timesteps(
            defaults.steps,
            defaults.start_timestep,
            timetable=defaults.timetable,
            drop_penultimate=defaults.penultimate == "drop",
        )
        assert tuple(round(time) for time in timesteps[: len(times)]) == times
        assert defaults.posterior == "sample"
    assert round(timesteps[-1]) == 90


def test_the_plan_says_what_is_as_published():
    rows = dict(describe_plan(plan_of("v2", fps=24)))
    assert rows["published"].startswith("as the v2 program")
    assert "without the penultimate noise level" in rows["sampling"]
    assert "published" not in dict(describe_plan(make_plan(clip_of(), parse_settings(), load_traits("v2"))))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        ("nano", {}, "model nano has no published program; pass --model v1 or v2, or omit --published"),
        ("v2", {"size": "640x360"}, "size 640x360 is not in the published program.*omit --size or --published"),
        ("v2", {"window_frames": 16}, "window_frames 16 is not in the published program"),
        ("v2", {"window_frames": 1}, "window_frames 1 is not in the published program: it uses 32"),
        ("v2", {"slow": 2}, "slow 2 is not in the published program"),
        ("v2", {"steps": 20}, "steps 20 is not in the published program: its fast timetable has 14"),
        ("v2", {"start_timestep": 500}, "start_timestep 500 is not in the published program"),
        ("v1", {"timetable": "fast"}, "timetable fast is not in the published program"),
        ("v1", {"solver": "ddim"}, "solver ddim is not in the published program"),
        ("v1", {"noise_augmentation": 0}, "noise_augmentation 0 is not in the published program.*pass 1 to 300"),
        ("v1", {"color_fix": "wavelet"}, "color_fix wavelet is not in the published program"),
        ("v1", {"fps": 240}, "3 input frames make 61 output frames; the published v1 program makes up to 48"),
    ],
)
def test_what_contradicts_it_is_refused(model, settings, message):
    with pytest.raises(SettingsError, match=message):
        plan_of(model, **settings)


def test_what_says_the_same_is_accepted():
    plan = plan_of("v1", start_noise=1, color_fix="none", posterior="sample", penultimate="drop", slow=1)
    assert plan.sampling == plan_of("v1").sampling


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penultimate": "drop", "solver": "ddim"}, "penultimate drop is for dpmpp_2m_sde, not ddim"),
        ({"posterior": "sample"}, "posterior sample: model nano has no distribution to sample; pass --posterior mode"),
    ],
)
def test_new_settings_are_refused_where_they_mean_nothing(settings, message):
    with pytest.raises(SettingsError, match=message):
        make_plan(clip_of(), parse_settings(**settings), load_traits("nano"))
