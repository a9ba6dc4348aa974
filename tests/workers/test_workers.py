"""One video on several devices: real worker processes on the processor, and the bytes of one device."""

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

from media.clips import make_clip
from tiny_model import make_image_model
from venhancer.cli.main import main
from venhancer.enhance import enhance_as_planned, enhance_video, plan_video
from venhancer.errors import JobFailed, SettingsError, Stopped
from venhancer.media.clip import describe_frames
from venhancer.model_files.traits import ModelTraits
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.machine import find_machine, parse_devices
from venhancer.planning.memory import Machine
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline
from venhancer.workers.workers import Workers

WINDOWS = {"window_frames": 4, "window_overlap": 1, "scale": 2, "steps": 2, "shots": False}
TILES = {"window_frames": 8, "scale": 4, "steps": 2, "tile": "48x48", "shots": False}
PROMPTS = {"window_frames": 8, "scale": 2, "steps": 2, "shots": False}


@pytest.fixture(scope="module")
def pipeline(tiny_model) -> VEnhancerPipeline:
    return load_pipeline(tiny_model, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def four(pipeline) -> Iterator[Workers]:
    """Four devices, of which tests take what they need."""
    workers = Workers(pipeline, ["cpu"] * 3)
    yield workers
    workers.end()


@contextmanager
def shared(pipeline: VEnhancerPipeline, workers: Workers) -> Iterator[None]:
    """Let the pipeline use the devices, which work on after it."""
    pipeline.workers = workers
    yield
    pipeline.workers = None


def moving_frames(count: int, height: int, width: int) -> np.ndarray:
    f, y, x, c = np.meshgrid(np.arange(count), np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return (127 + 100 * np.sin((x + 2 * f) / 4 + c) * np.cos(y / 5)).astype(np.uint8)


def run(pipeline: VEnhancerPipeline, frames: np.ndarray, plan: EnhancePlan) -> np.ndarray:
    return np.stack(list(pipeline.enhance(plan, lambda inputs: frames[list(inputs)])))


def plan_for(
    traits: ModelTraits, frames: np.ndarray, devices: int, *, cuts: tuple[int, ...] = (), **settings: object
) -> EnhancePlan:
    clip = describe_frames(*frames.shape[:3], Fraction(8))
    return make_plan(clip, parse_settings(**settings), traits, cuts=cuts, machine=Machine(devices=devices))


@pytest.mark.parametrize(("settings", "at_once"), [(WINDOWS, 3), (TILES, 4), (PROMPTS, 4)])
def test_several_devices_make_the_bytes_of_one(pipeline, four, settings, at_once):
    frames = moving_frames(10, 32, 40)
    plan = plan_for(pipeline.traits, frames, 4, **settings)
    alone = run(pipeline, frames, plan)
    before = [worker.predictions for worker in four.others]
    with shared(pipeline, four):
        together = run(pipeline, frames, plan)
    assert np.array_equal(alone, together)
    busy = [worker.predictions > count for worker, count in zip(four.others, before, strict=True)]
    assert sum(busy) >= at_once - 1


def test_shots_of_several_devices_are_those_of_one(pipeline, four):
    """Whole shots are worked on together, the long one among them by its windows; each is written in its turn."""
    frames = moving_frames(22, 32, 40)
    settings = {"window_frames": 6, "window_overlap": 1, "scale": 2, "steps": 2, "fps": 8}
    plan = plan_for(pipeline.traits, frames, 4, cuts=(3, 6, 9, 12), **settings, guidance_scale=1.0)
    assert [len(shot) for shot in plan.shots] == [3, 3, 3, 3, 10]
    assert plan.shots_at_once == 2
    assert "2 shots times 2 windows at once" in dict(describe_plan(plan))["execution"]
    alone = run(pipeline, frames, plan)
    before = [worker.predictions for worker in four.others]
    with shared(pipeline, four):
        together = run(pipeline, frames, plan)
    assert np.array_equal(alone, together)
    assert sum(worker.predictions > count for worker, count in zip(four.others, before, strict=True)) >= 1


def test_the_embedded_model_makes_the_bytes_of_one_device():
    nano, frames = load_pipeline("nano", device="cpu", dtype="fp32"), moving_frames(24, 32, 40)
    plan = plan_for(nano.traits, frames, 2, scale=4, fps=16, shots=False, window_frames=12, window_overlap=3)
    alone = run(nano, frames, plan)
    with Workers(nano, ["cpu"]):
        assert np.array_equal(run(nano, frames, plan), alone)


@pytest.mark.parametrize("temporal", [False, True])
@pytest.mark.parametrize("tile", [None, "160x160"])
def test_several_devices_code_the_frames_of_one(tmp_path, temporal, tile):
    pipeline = load_pipeline(make_image_model(tmp_path / "model", temporal=temporal), device="cpu", dtype="fp32")
    frames = moving_frames(7, 48, 64)
    settings = {"scale": 4, "steps": 1, "window_frames": 4, "window_overlap": 1, "shots": False, "tile": tile}
    plan = plan_for(pipeline.traits, frames, 2, **settings)
    assert (len(plan.coded_tiles) > 1) == (tile is not None)
    assert "frames encoded and decoded by all" in dict(describe_plan(plan))["execution"]
    alone = run(pipeline, frames, plan)
    with Workers(pipeline, ["cpu"]) as workers:
        together = run(pipeline, frames, plan)
        assert re.search(r" predictions and \d+ coded parts of others$", workers.describe())
    assert np.array_equal(alone, together)


def test_prompts_part_only_where_windows_and_tiles_are_too_few(pipeline):
    traits, frames = pipeline.traits, moving_frames(8, 32, 40)
    assert plan_for(traits, frames, 1, **PROMPTS).execution.batches_guidance
    assert not plan_for(traits, frames, 2, **PROMPTS).execution.batches_guidance
    assert plan_for(traits, frames, 2, **WINDOWS).execution.batches_guidance


def test_a_worker_that_is_killed_ends_the_run_in_one_line_and_the_same_call_resumes(
    tiny_model, pipeline, four, tmp_path
):
    clip = make_clip(tmp_path / "clip.mp4", width=40, height=32, rate=8, frames=24)
    settings = parse_settings(**WINDOWS, model=str(tiny_model))
    undisturbed = tmp_path / "undisturbed.mp4"
    with shared(pipeline, four):
        enhance_video(clip, undisturbed, pipeline, settings)
    target = tmp_path / "out.mp4"
    with Workers(pipeline, ["cpu"]) as workers:
        process = workers.others[0].process

        def kill_after_the_first_segment() -> bool:
            os.kill(process.pid, signal.SIGKILL)
            return False

        with pytest.raises(JobFailed, match=r"^the worker on cpu ended \(SIGKILL\); run the same command again"):
            enhance_video(clip, target, pipeline, settings, stop=kill_after_the_first_segment)
    assert not target.exists()
    with shared(pipeline, four):
        report = enhance_video(clip, target, pipeline, settings)
    assert report.frames_before > 0
    assert target.read_bytes() == undisturbed.read_bytes()


def test_a_resume_keeps_the_way_of_working(pipeline, tiny_model, tmp_path):
    """What two devices began, one goes on with as it was planned."""
    clip = make_clip(tmp_path / "clip.mp4", width=40, height=32, rate=8, frames=24)
    settings, target = parse_settings(**{**PROMPTS, "window_frames": 4}, model=str(tiny_model)), tmp_path / "out.mp4"
    one, many = Machine(), Machine(devices=9)
    plan = plan_video(clip, settings, target, machine=many, traits=pipeline.traits)
    assert not plan.execution.batches_guidance
    with pytest.raises(Stopped):
        enhance_as_planned(plan, target, pipeline, stop=lambda: True)
    resumed = plan_video(clip, settings, target, machine=one, traits=pipeline.traits)
    assert resumed.execution == plan.execution


def test_devices_of_several_kinds_are_refused(pipeline):
    with pytest.raises(SettingsError, match="several kinds"):
        Workers(pipeline, ["meta"])


def test_a_model_that_a_worker_cannot_load_is_told_in_one_line(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    pipeline = load_pipeline(folder, device="cpu", dtype="fp32")
    assert pipeline.traits.name == str(folder)  # read while it is whole
    shutil.rmtree(folder / "unet")
    with pytest.raises(JobFailed, match=r"^the worker on cpu cannot start: "):
        Workers(pipeline, ["cpu"])


def test_lists_of_devices():
    assert parse_devices("0, 1") == ("cuda:0", "cuda:1")
    assert parse_devices("cpu,cpu") == ("cpu", "cpu")
    for names in ("", "0,", "auto,cpu"):
        with pytest.raises(SettingsError, match="not a list of devices"):
            parse_devices(names)


def test_memory_of_the_processor_is_shared_out():
    one, two = (find_machine("cpu", devices=("cpu",) * count) for count in (1, 2))
    assert two.devices == 2
    assert two.memory < 0.6 * one.memory


def test_the_command_takes_devices(tiny_model, tmp_path, capsys):
    clip = make_clip(tmp_path / "clip.mp4", width=40, height=32, rate=8, frames=10)
    flags = ["--model", str(tiny_model), "--scale", "2", "--steps", "1", "--window-frames", "4", "--no-shots"]
    main(["plan", str(clip), *flags, "--devices", "cpu,cpu"])
    assert re.search(r"2 devices, up to \d windows at once", " ".join(capsys.readouterr().out.split()))
    main(["enhance", str(clip), str(tmp_path / "two.mp4"), *flags, "--devices", "cpu,cpu"])
    assert re.search(r"; [\d.]+ MB travelled between devices for \d+ predictions", capsys.readouterr().out)
    main(["enhance", str(clip), str(tmp_path / "one.mp4"), *flags, "--device", "cpu"])
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
