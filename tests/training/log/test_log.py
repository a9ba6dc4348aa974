"""What a run tells of itself, and when it stops."""

import gc
import json
import logging
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.prepared import tiny_settings
from venhancer.errors import JobFailed
from venhancer.training.checkpoints import Checkpoints
from venhancer.training.data.augment import Example
from venhancer.training.log.file import read_log
from venhancer.training.log.log import RunLog
from venhancer.training.objective import Losses
from venhancer.training.settings import TrainSettings


def batch(clips: int = 2, gap: int = 2, scale: float = 4.0) -> Example:
    mask = torch.zeros(clips, 5, dtype=torch.bool)
    mask[:, ::gap] = True
    return Example(
        target=torch.zeros(clips, 3, 5, 4, 4),
        key_frames=torch.zeros(clips, 3, int(mask[0].sum()), 4, 4),
        key_frame_mask=mask,
        downscale_factor=torch.full((clips,), scale),
        noise_augmentation=torch.zeros(clips, dtype=torch.long),
        caption=[""] * clips,
    )


def losses(value: float, timestep: int = 450, clips: int = 2, name: str = "denoising", **others: float) -> Losses:
    terms = {name: torch.tensor(value, requires_grad=True)} | {key: torch.tensor(one) for key, one in others.items()}
    return Losses(terms, torch.full((clips,), value), torch.full((clips,), timestep))


def run_steps(log: RunLog, first: int, last: int, value: float = 0.5) -> None:
    for step in range(first, last + 1):
        log.add(batch(), losses(value + step / 1000))
        log.finish_step(step, 1.0, 1e-3)


def make_log(settings: TrainSettings, **changes: object) -> RunLog:
    checkpoints = Checkpoints(settings.output / "checkpoints", keep=2, keep_every=None, is_main=True)
    return RunLog(settings, checkpoints=checkpoints.by_step, **changes)


def begun(folder: Path, step: int = 0, state: dict | None = None, **changes: object) -> RunLog:
    log = make_log(tiny_settings(folder, **({"steps": 100, "log_every": 5} | changes)))
    if state is not None:
        log.restore(state)
    log.begin(step)
    return log


def test_a_line_holds_the_means_since_the_last(tmp_path):
    log = begun(tmp_path, log_every=2)
    log.add(batch(gap=2, scale=4), losses(0.5, timestep=450))
    log.add(batch(gap=1, scale=8), losses(0.1, timestep=899, name="pixels", motion=0.3))
    log.finish_step(1, 2.0, 1e-3)
    log.add(batch(gap=2, scale=4), losses(0.7, timestep=420))
    log.finish_step(2, torch.tensor(4.0), 2e-3)
    [line] = read_log(tmp_path / "run")
    assert line["step"] == 2
    assert line["loss"] == pytest.approx(((0.5 + 0.4) / 2 + 0.7) / 2)
    assert line["terms"] == pytest.approx({"denoising": 0.6, "pixels": 0.1, "motion": 0.3})
    assert (line["gradient_norm"], line["learning_rate"], line["clips"]) == (3.0, 2e-3, 6)
    assert line["by_timestep"] == {"denoising": {"400-499": 0.6}, "pixels": {"800-899": 0.1}}
    assert line["by_factors"] == {"denoising": {"m=2 s=4-6": 0.6}, "pixels": {"m=1 s=6-8": 0.1}}
    assert line["steps_per_second"] > 0
    assert 0 <= line["loading_share"] <= 1


def test_the_last_step_has_a_line(tmp_path):
    run_steps(begun(tmp_path, steps=7), 1, 7)
    assert [line["step"] for line in read_log(tmp_path / "run")] == [5, 7]


def test_a_resumed_log_reads_as_if_it_had_never_stopped(tmp_path):
    run_steps(begun(tmp_path / "whole"), 1, 20)
    first = begun(tmp_path / "parts")
    run_steps(first, 1, 8)
    kept = json.loads(json.dumps(first.state()))
    run_steps(first, 9, 13)  # lost with the process
    run_steps(begun(tmp_path / "parts", 8, kept), 9, 20)
    whole, parts = (read_log(tmp_path / name / "run") for name in ("whole", "parts"))
    timed = {"seconds", "steps_per_second", "clips_per_second", "loading_share", "peak_memory_bytes"}
    for line in (*whole, *parts):
        assert timed < line.keys()
        for name in timed:
            del line[name]
    assert parts == whole
    assert [line["step"] for line in parts] == [5, 10, 15, 20]


def test_many_processes_tell_what_one_does(tmp_path):
    """Two logs, each with half of a step's groups, of which the first writes."""
    handed: list[list] = []

    def gather(mine: list) -> list:
        handed.append(mine)
        return [group for part in handed for group in part]

    settings = tiny_settings(tmp_path, log_every=1)
    other, main = make_log(settings, is_main=False, gather=gather), make_log(settings, gather=gather)
    for log, value in ((other, 0.2), (main, 0.4)):
        log.begin(0)
        log.add(batch(), losses(value))
        log.finish_step(1, 1.0, 1e-3)
    [line] = read_log(tmp_path / "run")
    assert line["loss"] == pytest.approx(0.3)
    assert line["clips"] == 4


def test_batches_are_not_held_until_the_step_is_done(tmp_path):
    """A step of many groups must not keep all their pixels."""
    log = begun(tmp_path)
    clips, leaf = batch(), torch.ones((), requires_grad=True)
    freed = weakref.ref(clips.target), weakref.ref(leaf)
    log.add(clips, losses(0.5)._replace(terms={"denoising": 0.5 * leaf}))
    del clips, leaf
    gc.collect()
    assert [reference() for reference in freed] == [None, None]
    log.finish_step(1, 1.0, 1e-3)
    assert log.clips == 2


@pytest.mark.parametrize(("value", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (0.5, math.nan), (0.5, math.inf)])
def test_no_number_stops_the_run_and_names_the_last_good_checkpoint(tmp_path, value, norm):
    log = begun(tmp_path)
    run_steps(log, 1, 4)
    for step in (2, 3):
        (tmp_path / "run" / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)
    log.add(batch(), losses(value))
    with pytest.raises(JobFailed, match=r"(nan|inf) at step 5; the last good checkpoint is .*_00000003: low") as error:
        log.finish_step(5, norm, 1e-3)
    assert "\n" not in str(error.value)
    assert read_log(tmp_path / "run")[-1]["stopped"] in str(error.value)


def test_weights_that_gave_a_bad_loss_are_no_good_checkpoint(tmp_path):
    log = begun(tmp_path)
    run_steps(log, 1, 4)
    for step in (2, 4):
        (tmp_path / "run" / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)
    log.add(batch(), losses(math.nan))
    with pytest.raises(JobFailed, match=r"good checkpoint is .*_00000002: remove .*_00000004, lower learning_rate"):
        log.finish_step(5, 1.0, 1e-3)


def test_a_lasting_jump_names_the_checkpoint_from_before_it(tmp_path):
    log = begun(tmp_path, log={"spike_steps": 3})
    run_steps(log, 1, 30)
    for step in (29, 32):
        (tmp_path / "run" / "checkpoints" / f"step_{step:08d}").mkdir(parents=True)
    assert log.is_steady
    run_steps(log, 31, 32, value=50)
    assert not log.is_steady
    with pytest.raises(
        JobFailed, match=r"the loss is 50.0\d* at step 33, .* for 3 steps; .* is .*_00000029: remove .*_00000032, "
    ):
        run_steps(log, 33, 33, value=50)


def test_a_validation_that_is_no_number_stops_the_run(tmp_path):
    log = begun(tmp_path)
    with pytest.raises(JobFailed, match=r"the validation loss is nan at step 5; no good checkpoint exists yet"):
        log.validated(5, {"loss": math.nan})


def test_the_report_has_totals_the_best_validation_and_versions(tmp_path, caplog):
    log = begun(tmp_path, steps=10)
    run_steps(log, 1, 10)
    for step, loss in ((4, 0.5), (6, 0.2), (8, 0.3)):
        log.validated(step, {"loss": loss, "psnr": 30.0 + step})
    with caplog.at_level(logging.INFO, "venhancer"):
        log.finish(10, skipped_clips=2)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert (report["steps"], report["clips"], report["skipped_clips"]) == (10, 20, 2)
    assert report["validation"]["best"] == {"step": 6, "loss": 0.2, "psnr": 36.0}
    assert report["validation"]["last"]["step"] == 8
    assert report["by_timestep"] == [
        {"objective": "denoising", "bucket": "400-499", "loss": pytest.approx(0.5055), "clips": 20}
    ]
    assert report["versions"]["torch"] == torch.__version__
    assert report["settings"]["steps"] == 10
    assert "400-499" in caplog.text


def test_the_console_shows_rate_and_time_left(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "venhancer"):
        run_steps(begun(tmp_path, steps=1000), 1, 5)
    [line] = caplog.messages
    assert line.startswith("step 5 of 1,000: loss 0.503 (denoising 0.503), gradient 1, ")
    assert line.endswith(" left")


def test_tensorboard_has_the_figures_and_pictures(tmp_path):
    log = begun(tmp_path, steps=10)
    run_steps(log, 1, 10)
    log.validated(10, {"loss": 0.25, "by_timestep": {"0-99": 0.25}})
    log.pictured(10, "clip_0", np.full((8, 12, 3), 200, dtype=np.uint8))
    log.finish(10)
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    board.Reload()
    assert [event.step for event in board.Scalars("loss")] == [5, 10]
    assert board.Scalars("by_timestep/denoising/400-499")[1].value == pytest.approx(0.5055)
    assert board.Scalars("validation/by_timestep/0-99")[0].value == 0.25
    assert board.Images("clip_0")[0].width == 12
    assert (tmp_path / "run" / "pictures" / "step_00000010_clip_0.png").read_bytes().startswith(b"\x89PNG")


def test_waiting_for_data_is_counted(tmp_path):
    log = begun(tmp_path, log_every=1)
    with log.spending("loading"):
        sum(range(100_000))
    run_steps(log, 1, 1)
    run_steps(log, 2, 2)
    shares = [line["loading_share"] for line in read_log(tmp_path / "run")]
    assert shares[0] > 0 == shares[1]
