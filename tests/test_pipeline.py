"""Frames in memory to enhanced frames in memory, with real networks at tiny size."""

from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tiny_model import make_tiny_model
from venhancer.diffusion.noise import frame_noise
from venhancer.errors import SettingsError
from venhancer.media.clip import describe_frames
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import make_plan
from venhancer.planning.execution import Execution
from venhancer.planning.layout import Segment
from venhancer.settings import Solver, parse_settings
from venhancer.weights import load_pipeline


def moving_frames(count: int = 5, height: int = 20, width: int = 24) -> np.ndarray:
    f, y, x, c = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return (127 + 100 * np.sin((x + 2 * f) / 4 + c) * np.cos(y / 5)).astype(np.uint8)


@pytest.fixture(scope="module")
def pipeline(tiny_model) -> VEnhancerPipeline:
    return load_pipeline(tiny_model, dtype="fp32")


def plan_for(pipeline, frames, *, cuts=(), **settings):
    clip = describe_frames(*frames.shape[:3], Fraction(8))
    return make_plan(clip, parse_settings(**settings), pipeline.traits, cuts=cuts)


def run(pipeline, frames, plan) -> np.ndarray:
    return np.stack(list(pipeline.enhance(plan, lambda inputs: frames[list(inputs)])))


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"scale": 2, "fps": 16}, (10, 40, 48, 3)),
        ({"scale": 1}, (5, 20, 24, 3)),
        ({"scale": 2.5, "fps": 20}, (13, 50, 60, 3)),
        ({"size": "50x44", "slow": 3}, (15, 44, 50, 3)),
    ],
)
def test_output_has_the_size_and_number_asked_for(pipeline, settings, shape):
    result = pipeline(moving_frames(), source_fps=8, **settings)
    assert result.shape == shape
    assert result.dtype == np.uint8


def test_one_frame_is_a_clip(pipeline):
    assert pipeline(moving_frames(1), source_fps=8, scale=2).shape == (1, 40, 48, 3)


def test_same_seed_same_frames(pipeline):
    frames = moving_frames()
    first, again, other = (pipeline(frames, source_fps=8, scale=2, seed=seed, steps=2) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_solvers_and_guidance_part_after_the_first_step(pipeline):
    """With one step, every solver returns what the networks say; with two, each goes its own way, guided or not."""
    frames = moving_frames(2)
    ways = [("dpmpp_2m_sde", 4), ("heun", 4), ("ddim", 4), ("ddim", 1)]
    one, two = (
        [
            pipeline(frames, source_fps=8, scale=2, solver=solver, guidance_scale=guidance, steps=steps, prompt="waves")
            for solver, guidance in ways
        ]
        for steps in (1, 2)
    )
    assert np.array_equal(one[0], one[1])
    assert np.array_equal(one[0], one[2])
    assert not np.array_equal(one[2], one[3])
    assert all(not np.array_equal(a, b) for a, b in combinations(two, 2))


@pytest.mark.parametrize("solver", get_args(Solver))
@pytest.mark.parametrize(("start", "steps"), [(899, 5), (999, 2), (500, 1)])
def test_networks_are_asked_as_planned(pipeline, solver, start, steps):
    """Every evaluation at the timestep, and with as many prompts, as the plan counts."""
    frames = moving_frames(2)
    asked = {"solver": solver, "start_timestep": start, "steps": steps, "guidance_from": 600, "guidance_until": 200}
    plan = plan_for(pipeline, frames, scale=1, guidance_scale=4, **asked)
    told = []
    hook = pipeline.unet.register_forward_pre_hook(
        lambda _, given: told.append((int(given[1]), len(given[2][0].keys) == 2))
    )
    run(pipeline, frames, plan)
    hook.remove()
    assert told == [(evaluation.timestep, evaluation.is_guided) for evaluation in plan.sampling.evaluations]


def test_guidance_over_all_timesteps_is_guidance_and_over_none_is_none(pipeline):
    frames = moving_frames(2)
    asked = {"source_fps": 8, "scale": 2, "steps": 3, "prompt": "waves"}
    always, whole, part, outside, never = (
        pipeline(frames, **asked, **guidance)
        for guidance in (
            {"guidance_scale": 4},
            {"guidance_scale": 4, "guidance_from": 500, "guidance_until": 100},
            {"guidance_scale": 4, "guidance_from": 400, "guidance_until": 100},
            {"guidance_scale": 4, "guidance_from": 499, "guidance_until": 400},
            {"guidance_scale": 1},
        )
    )
    assert np.array_equal(always, whole)
    assert np.array_equal(never, outside)
    assert not np.array_equal(part, whole)
    assert not np.array_equal(part, never)


REUSE = {"solver": "unipc", "steps": 6, "feature_reuse": 0.4}


def test_encoder_and_controlnet_rest_where_their_features_are_reused(pipeline):
    """In every window's tile they run as often as planned; pictures change a little, and the more reuse, the more."""
    frames = moving_frames(5, 32, 40)
    ran, outputs = [], []
    hooks = [
        part.register_forward_hook(lambda part, *_: ran.append(part))
        for part in (pipeline.unet.encoder, pipeline.controlnet, pipeline.unet)
    ]
    for reuse in (0.0, 0.15, 0.4):
        asked = REUSE | {"feature_reuse": reuse, "window_frames": 4, "window_overlap": 1, "tile": "64x80"}
        plan = plan_for(pipeline, frames, scale=2, guidance_scale=4, **asked)
        parts = len(plan.tiles) * len(plan.segments[0].windows)
        assert parts == 4
        ran.clear()
        outputs.append(run(pipeline, frames, plan).astype(int))
        computed = sum(not evaluation.reuses for evaluation in plan.sampling.evaluations)
        counts = [ran.count(part) for part in (pipeline.unet.encoder, pipeline.controlnet, pipeline.unet)]
        assert counts == [parts * computed, parts * computed, parts * 6]
        assert (computed < 6) == (reuse > 0)
    for hook in hooks:
        hook.remove()
    little, more = (np.abs(output - outputs[0]).mean() for output in outputs[1:])
    assert 0 < little < more


def test_features_reused_at_once_change_nothing(pipeline):
    """A second evaluation of the same latents at the same time, by the way up alone, says the same."""
    unet, generator = pipeline.unet, torch.Generator().manual_seed(0)
    latents = torch.randn(1, 6, 3, 10, 8, generator=generator)
    features: list[torch.Tensor] = []
    with torch.inference_mode():
        text = unet.project_text(torch.randn(2, 7, 12, generator=generator))
        whole, kept, reused = (
            unet(latents, torch.tensor([500]), text, features=each) for each in (None, features, features)
        )
    assert torch.equal(whole, kept)
    assert torch.equal(whole, reused)


def test_prompt_longer_than_the_text_window_is_not_cut(pipeline):
    frames = moving_frames(2)
    long = "waves " * 40
    same, changed = (
        pipeline(frames, source_fps=8, scale=2, guidance_scale=4, prompt=prompt, steps=1)
        for prompt in (long, long + "and a ship")
    )
    assert not np.array_equal(same, changed)


@pytest.mark.parametrize("how", [{"steps": 2}, REUSE], ids=str)
@pytest.mark.parametrize(
    "execution",
    [
        Execution(batches_guidance=False),
        Execution(slice_tokens=1),
        Execution(slice_tokens=200, batches_guidance=False),
        Execution(coded_frames=3),
    ],
)
def test_no_way_of_working_changes_the_picture(pipeline, execution, how):
    frames = moving_frames(3)
    plan = plan_for(pipeline, frames, scale=2, guidance_scale=4, prompt="waves", **how)
    assert plan.execution == Execution()
    usual, other = (
        run(pipeline, frames, replace(plan, layout=replace(plan.layout, execution=how)))
        for how in (plan.execution, execution)
    )
    assert np.abs(usual.astype(int) - other).max() <= 1


def test_noise_depends_on_the_frame_and_not_on_the_segment(pipeline, monkeypatch):
    """The same output frame starts from the same noise wherever segments begin."""
    frames = moving_frames(12)
    plan = plan_for(pipeline, frames, scale=1, window_frames=4, window_overlap=2, steps=1)
    assert len(plan.segments) > 1

    def noises(plan) -> dict[tuple[int, int], torch.Tensor]:
        drawn: dict[tuple[int, int], torch.Tensor] = {}

        def draw_noise(seed, frame, shape, draw):
            drawn[frame, draw] = frame_noise(seed, frame, shape, draw)
            return drawn[frame, draw]

        monkeypatch.setattr(pipeline, "draw_noise", draw_noise)
        run(pipeline, frames, plan)
        return drawn

    apart, whole = noises(plan), noises(in_one_segment(plan))
    assert apart.keys() == whole.keys()
    assert all(torch.equal(apart[one], whole[one]) for one in whole)
    assert len({noise.sum().item() for noise in whole.values()}) == len(whole)


def test_segments_write_every_frame_once(pipeline):
    frames = moving_frames(30)
    plan = plan_for(pipeline, frames, scale=1, window_frames=4, window_overlap=2)
    assert len(plan.segments) > 1
    assert len(run(pipeline, frames, plan)) == 30


@pytest.mark.parametrize("between", ["repeat", "blend"])
def test_with_one_step_segments_change_nothing(pipeline, between, monkeypatch):
    """Cut into segments or not, the frames are the same: what neighbours share is carried over."""
    monkeypatch.setitem(pipeline.config, "between", between)
    frames = moving_frames(30, 32, 32)
    plan = plan_for(pipeline, frames, scale=1, fps=24, window_frames=7, window_overlap=2, steps=1)
    assert len(plan.segments) > 2
    apart = np.abs(run(pipeline, frames, plan).astype(int) - run(pipeline, frames, in_one_segment(plan)))
    assert apart.max() <= 1  # blending adds up in another order


def test_with_one_step_segments_of_nano_change_nothing_when_key_frames_are_steadied():
    """A key frame is averaged with its neighbours in other segments too."""
    nano = load_pipeline("nano", device="cpu", dtype="fp32")
    frames = moving_frames(12, 32, 32)
    plan = plan_for(nano, frames, scale=1, fps=12, window_frames=4, window_overlap=1, noise_augmentation=300)
    assert len(plan.segments) > 1
    apart = np.abs(run(nano, frames, plan).astype(int) - run(nano, frames, in_one_segment(plan)))
    assert apart.max() <= 1  # blending adds up in another order


class Waits(TorchDispatchMode):
    """Counts how often a value is brought to the host, which on a GPU waits for all work before it."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += function in {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default}
        return function(*arguments, **(keywords or {}))


def test_more_steps_wait_no_more_for_the_device(pipeline):
    frames = moving_frames(5, 32, 40)
    waits = []
    for steps in (1, 2):
        plan = plan_for(pipeline, frames, scale=2, window_frames=4, window_overlap=1, tile="64x80", steps=steps)
        assert len(plan.tiles) == len(plan.segments[0].windows) == 2
        with Waits() as counted:
            run(pipeline, frames, plan)
        waits.append(counted.count)
    assert waits[0] == waits[1] < 20


@pytest.fixture(scope="module")
def flat_pipeline(tmp_path_factory) -> VEnhancerPipeline:
    return load_pipeline(make_tiny_model(tmp_path_factory.mktemp("flat"), flat=True))


def test_frames_between_are_made_from_finished_key_frames(flat_pipeline):
    """Only key frames are sampled, whatever the rate, and segments change nothing."""
    frames = moving_frames(30, 32, 32)
    slow, fast = (
        plan_for(flat_pipeline, frames, scale=2, fps=fps, window_frames=7, window_overlap=2) for fps in (8, 24)
    )
    assert len(fast.segments) > 2
    keys, every, whole = (run(flat_pipeline, frames, plan).astype(int) for plan in (slow, fast, in_one_segment(fast)))
    assert np.array_equal(every[::3], keys)
    assert np.array_equal(every, whole)
    assert not np.array_equal(every[1], every[0])


def test_grey_in_grey_out_and_the_result_made_small_is_the_input(flat_pipeline):
    grey = moving_frames(3, 32, 32)[..., :1].repeat(3, axis=-1)
    asked = {"source_fps": 8, "scale": 2, "seed": 1}
    results = [flat_pipeline(grey, **asked, noise_augmentation=noise) for noise in (0, 300)]
    assert np.ptp(results[0].astype(int), axis=-1).max() <= 1
    apart = [np.abs(shrunk(result) - grey).mean() for result in results]
    assert apart[0] < apart[1] / 2


def shrunk(frames: np.ndarray) -> np.ndarray:
    """Return frames at half their size."""
    pictures = torch.from_numpy(frames).movedim(-1, 1).float()
    return F.interpolate(pictures, scale_factor=0.5, mode="bicubic", antialias=True).movedim(1, -1).numpy()


def test_with_more_steps_segments_change_little(pipeline):
    frames = moving_frames(30)
    plan = plan_for(pipeline, frames, scale=1, window_frames=6, window_overlap=3, steps=4)
    apart = np.abs(run(pipeline, frames, plan).astype(int) - run(pipeline, frames, in_one_segment(plan)))
    seams = [
        frame for segment in plan.segments[1:] for frame in range(segment.context.start, segment.context.start + 3)
    ]
    assert apart.mean() < 1.0
    assert apart[seams].mean() < 3.0


@pytest.mark.parametrize("how", [{}, {"guidance_from": 300}, REUSE], ids=str)
def test_a_segment_continues_from_what_the_one_before_handed_on(pipeline, how):
    frames = moving_frames(30)
    plan = plan_for(pipeline, frames, scale=1, window_frames=6, window_overlap=3, **{"steps": 2} | how)

    def read(inputs):
        return (frames[index] for index in inputs)

    whole = [(list(one.frames), one.carry) for one in pipeline.enhance_segments(plan, read)]
    assert not whole[-1][1]
    for first in range(1, len(plan.segments)):
        carry = whole[first - 1][1]
        resumed = pipeline.enhance_segments(plan, read, first=first, carry=carry)
        for one, (expected, _) in zip(resumed, whole[first:], strict=True):
            assert np.array_equal(list(one.frames), expected)


def test_nothing_crosses_a_cut(pipeline):
    """What follows a cut is the same whatever came before it, and the frames before it hold their shot's last."""
    frames = moving_frames(12)
    other = np.concatenate([255 - frames[:5], frames[5:]])
    plan = plan_for(pipeline, frames, scale=1, fps=24, cuts=[5])
    assert [len(shot) for shot in plan.shots] == [15, 21]
    outputs = [run(pipeline, clip, plan) for clip in (frames, other)]
    assert np.array_equal(outputs[0][15:], outputs[1][15:])
    assert not np.array_equal(outputs[0][:15], outputs[1][:15])
    alone = run(pipeline, frames[:5], plan_for(pipeline, frames[:5], scale=1, fps=24))
    assert np.array_equal(outputs[0][:15], alone)


def test_tiles_make_nearly_the_whole_picture(pipeline):
    frames = moving_frames(3, 48, 64)
    whole, tiled = (plan_for(pipeline, frames, scale=2, fps=16, tile=tile) for tile in (None, "64x56"))
    assert len(whole.tiles) == 1
    assert len(tiled.tiles) == 6
    outputs = [run(pipeline, frames, plan).astype(int) for plan in (whole, tiled)]
    assert 0 < np.abs(outputs[0] - outputs[1]).mean() < 3


def test_a_cut_between_frames_in_memory_is_found(pipeline):
    frames = moving_frames(8)
    frames = np.concatenate([frames // 4, 255 - frames // 4])
    first = pipeline(frames[:8], source_fps=8, fps=16, scale=1)
    assert np.array_equal(pipeline(frames, source_fps=8, fps=16, scale=1)[:16], first)
    assert not np.array_equal(pipeline(frames, source_fps=8, fps=16, scale=1, shots=False)[:16], first)


def test_bfloat16_changes_nano_by_less_than_a_level():
    frames = moving_frames(3, 36, 64)
    exact, short = (
        load_pipeline("nano", device="cpu", dtype=dtype)(frames, source_fps=8, fps=24, scale=2).astype(float)
        for dtype in ("fp32", "bf16")
    )
    assert 0 < np.sqrt(np.mean((exact - short) ** 2)) < 1


def in_one_segment(plan):
    """Return the plan with the same windows, all in one segment."""
    windows = tuple(window for segment in plan.segments for window in segment.windows)
    everything = range(plan.frames)
    one = Segment(
        shot=everything, context=everything, windows=windows, carried=0, settled=everything, frames=everything
    )
    return replace(plan, layout=replace(plan.layout, segments=(one,)))


def test_a_rate_that_cannot_be_met_is_refused(pipeline):
    with pytest.raises(SettingsError, match="fps"):
        pipeline(moving_frames(), source_fps=8, fps=100)


def test_traits_are_those_of_the_pipeline_not_of_its_folder(tiny_model):
    pipeline = load_pipeline(tiny_model, device="cpu", dtype="fp32")
    pipeline.register_to_config(defaults={"steps": 7}, between="interpolate", steadying=0.5)
    traits = pipeline.traits
    assert (traits.defaults.steps, traits.samples_keys, traits.steadying) == (7, True, 0.5)


def test_a_pipeline_put_together_by_hand_has_no_traits(pipeline):
    parts = {name: getattr(pipeline, name) for name in ("vae", "unet", "controlnet", "text_encoder", "tokenizer")}
    with pytest.raises(ValueError, match="save it with save_pretrained"):
        _ = VEnhancerPipeline(**parts).traits
