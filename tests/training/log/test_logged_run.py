"""Whole runs that are looked at: what they leave, what they must not change, and how they end when they go wrong."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.prepared import make_clips, tiny_settings
from venhancer.errors import JobFailed
from venhancer.training.checkpoints import list_checkpoints
from venhancer.training.log.file import read_log
from venhancer.training.loop import train

LOOK = {"validation_every": 2, "pictures_every": 2, "validation_clips": 1, "picture_clips": 1}
QUICK = {"steps": 1, "solver": "ddim", "guidance_scale": 1.0, "noise_augmentation": 0}


def weights_of(pipeline: Path) -> dict[str, torch.Tensor]:
    files = sorted(pipeline.rglob("*.safetensors"))
    return {f"{file.parent.name}.{key}": value for file in files for key, value in load_file(file).items()}


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory) -> Path:
    """The folder of a run that was looked at every second step."""
    folder = tmp_path_factory.mktemp("looked_at")
    make_clips(folder / "clips")
    train(tiny_settings(folder, steps=4, defaults=QUICK, log=LOOK))
    return folder


def test_a_run_that_is_looked_at_ends_with_the_same_weights(looked_at):
    """Neither pictures nor figures draw from training's randomness, and averaged weights are put back exactly."""
    settings = tiny_settings(looked_at, output=looked_at / "alone", steps=4, defaults=QUICK)
    expected, seen = weights_of(train(settings)), weights_of(looked_at / "run" / "pipeline")
    assert seen.keys() == expected.keys()
    assert all(torch.equal(seen[name], expected[name]) for name in expected)


def test_a_run_leaves_lines_pictures_and_a_report(looked_at):
    lines = read_log(looked_at / "run")
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    validations = [line["validation"] for line in lines if "validation" in line]
    assert [line["step"] for line in lines if "validation" in line] == [2, 4]
    assert validations[0]["loss"] != validations[1]["loss"]
    names = [file.name for file in sorted((looked_at / "run" / "pictures").iterdir())]
    assert names == [f"step_{step:08d}_clip_0{kind}.png" for step in (2, 4) for kind in ("", "_motion")]
    report = json.loads((looked_at / "run" / "report.json").read_text())
    assert (report["steps"], report["clips"], report["skipped_clips"]) == (4, 4, 0)
    assert report["validation"]["last"]["loss"] == validations[1]["loss"]


def test_a_run_that_diverges_ends_in_one_line_and_saves_nothing_more(tmp_path):
    make_clips(tmp_path / "clips")
    settings = tiny_settings(tmp_path, steps=8, warmup=1_000_000_000, checkpoint_every=1, keep_checkpoints=9)
    with pytest.raises(JobFailed, match=r"(loss|norm) is (nan|inf) at step \d; ") as error:
        train(settings.model_copy(update={"learning_rate": 1e26}))
    assert "\n" not in str(error.value)
    last = read_log(tmp_path / "run")[-1]
    assert last["stopped"] in str(error.value)
    saved = [int(path.name.removeprefix("step_")) for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert saved == list(range(1, last["step"]))
    assert not (tmp_path / "run" / "pipeline").exists()
