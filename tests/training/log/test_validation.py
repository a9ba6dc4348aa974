"""The same clips looked at again and again."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from training.prepared import make_clips, tiny_settings
from venhancer.frames.levels import psnr
from venhancer.training.learner import make_learner
from venhancer.training.log.file import read_log
from venhancer.training.log.log import RunLog
from venhancer.training.log.validation import Validation, resized_input, sample, to_eight_bits
from venhancer.training.start import start_pipeline
from venhancer.weights import load_pipeline

QUICK = {"steps": 2, "solver": "ddim", "guidance_scale": 1.0, "noise_augmentation": 0}
LOG = {"validation_every": 2, "pictures_every": 3, "validation_clips": 2, "picture_clips": 1}


def made(folder: Path, **changes: object) -> tuple[Validation, RunLog]:
    if not (folder / "clips").exists():
        make_clips(folder / "clips")
    settings = tiny_settings(folder, **({"log": LOG, "steps": 7, "defaults": QUICK} | changes))
    pipeline = start_pipeline(settings)
    log = RunLog(settings, checkpoints=dict)
    log.begin(0)
    return Validation(settings, pipeline, make_learner(settings, pipeline)), log


def test_figures_and_pictures_come_when_they_are_due(tmp_path):
    validation, log = made(tmp_path)
    assert [step for step in range(1, 8) if validation.is_due(step)] == [2, 3, 4, 6, 7]
    for step in (2, 3):
        validation.look(step, log)
    [line] = read_log(tmp_path / "run")
    assert line["step"] == 2
    figures = line["validation"]
    assert list(figures["by_timestep"]) == [f"{100 * bucket}-{100 * bucket + 99}" for bucket in range(10)]
    assert figures["loss"] == pytest.approx(np.mean(list(figures["by_timestep"].values())), rel=1e-3)
    assert 0 < figures["psnr"] < 60
    assert (figures["clips"], figures["split"]) == (2, "held_out")
    pictures = sorted(file.name for file in (tmp_path / "run" / "pictures").iterdir())
    assert pictures == ["step_00000003_clip_0.png", "step_00000003_clip_0_motion.png"]


def test_the_same_weights_give_the_same_figures(tmp_path):
    """In another process, at another step, and whatever the training's seed is."""
    first, log = made(tmp_path)
    first.look(2, log)
    first.look(4, log)
    second, other = made(tmp_path, output=tmp_path / "other", start_from=tmp_path / "run" / "start", seed=7)
    second.look(2, other)
    figures = [line["validation"] for run in ("run", "other") for line in read_log(tmp_path / run)]
    assert figures[0] == figures[1] == figures[2]


def test_a_better_network_has_a_lower_loss_at_each_timestep(tmp_path):
    """A few steps on the validation clips themselves."""
    validation, log = made(tmp_path)
    validation.look(2, log)
    pipeline = validation.pipeline
    parameters = [*pipeline.unet.parameters(), *pipeline.controlnet.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=5e-3)
    for step in range(20):
        generator = torch.Generator().manual_seed(step)
        timesteps = torch.randint(1000, (1,), generator=generator)
        example = validation.examples[step % 2]
        losses = validation.learner(example, generator, 0, timesteps)
        losses.terms["denoising"].backward()
        optimizer.step()
        optimizer.zero_grad()
    validation.look(4, log)
    before, after = (line["validation"] for line in read_log(tmp_path / "run"))
    assert after["loss"] < 0.9 * before["loss"]


def test_looking_draws_no_global_random_number_and_changes_no_weight(tmp_path):
    validation, log = made(tmp_path)
    state, weights = torch.get_rng_state(), validation.pipeline.unet.state_dict()
    weights = {name: value.clone() for name, value in weights.items()}
    validation.look(6, log)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in validation.pipeline.unet.state_dict().items())
    assert all(parameter.grad is None for parameter in validation.pipeline.unet.parameters())


def test_without_held_out_clips_training_clips_are_taken_and_it_is_said(tmp_path, caplog):
    make_clips(tmp_path / "clips")
    manifest = tmp_path / "clips" / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    kept = [line for line in lines if line.get("split", "train") == "train"]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in kept))
    validation, log = made(tmp_path)
    with caplog.at_level(logging.INFO, "venhancer"):
        validation.look(2, log)
    assert "validation uses clips of split train: " in caplog.text
    assert read_log(tmp_path / "run")[0]["validation"]["split"] == "train"


def test_the_clips_are_whole_and_captioned_whatever_the_augmentation(tmp_path):
    harsh = {"low_quality_share": 1.0, "prompt_dropout": 1.0}
    validation, _ = made(tmp_path, augment=harsh)
    assert [example.caption for example in validation.examples] == [["waves"], ["waves"]]
    plain, _ = made(tmp_path, output=tmp_path / "plain", augment={})
    assert torch.equal(validation.examples[0].target, plain.examples[0].target)


def test_every_length_and_gap_is_sampled_to_its_own_frames(tmp_path):
    validation, _ = made(tmp_path, log={**LOG, "validation_clips": 4})
    for example in validation.examples:
        made_frames = sample(validation.pipeline, example, seed=0)
        assert made_frames.shape == to_eight_bits(example.target[0]).shape
        held = resized_input(example)
        assert held.shape == made_frames.shape
        first_key = to_eight_bits(example.key_frames[0])[0]
        assert np.array_equal(held[0], first_key)


def test_sampling_follows_the_defaults_of_the_run_not_those_of_its_model(tmp_path):
    """As a user will sample the model that the run leaves."""
    made(tmp_path)
    asked = {**QUICK, "steps": 3, "start_timestep": 700}
    validation, _ = made(tmp_path, output=tmp_path / "second", start_from=tmp_path / "run" / "start", defaults=asked)
    validation.pipeline.save_pretrained(tmp_path / "left")
    left, example = load_pipeline(tmp_path / "left", device="cpu", dtype="fp32"), validation.examples[0]
    assert left.traits.defaults.steps == 3
    assert np.array_equal(sample(validation.pipeline, example, seed=0), sample(left, example, seed=0))


def test_psnr_is_that_of_the_formula():
    reference = np.full((2, 4, 4, 3), 100, dtype=np.uint8)
    assert psnr(reference + 5, reference) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(reference, reference) == 100
