"""Adapters learn alone, and leave a file that makes the same model of the one they were trained on."""

import pytest
import torch
from safetensors.torch import load_file

from training.prepared import make_clips, tiny_settings, weights_of
from venhancer.checkpoints.adapters import merge_adapters
from venhancer.errors import SettingsError, WeightsError
from venhancer.training.export import ADAPTERS
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.loop import train
from venhancer.training.start import start_pipeline
from venhancer.weights import load_pipeline


def lora_settings(folder, **changes):
    fields = {"train": "lora", "start_from": folder / "base" / "pipeline", "learning_rate": 1e-2}
    fields["lora"] = {"networks": ("unet", "controlnet"), "rank": 2, "alpha": 4.0}
    return tiny_settings(folder, **fields | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Clips and a model that was trained for a moment, so that its ControlNet says something."""
    folder = tmp_path_factory.mktemp("lora")
    make_clips(folder / "clips")
    train(tiny_settings(folder, output=folder / "base", steps=2))
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    return train(lora_settings(folder, steps=3))


def test_only_adapters_learn(folder):
    settings = lora_settings(folder, output=folder / "unused")
    learner = make_learner(settings, start_pipeline(settings))
    names = learner.trained().keys()
    assert names
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    assert {name.split(".")[0] for name in names} == {"unet", "controlnet"}
    in_optimizer = sum(len(group["params"]) for group in make_optimizer(settings, learner).param_groups)
    assert in_optimizer == len(names)


def test_the_pipeline_has_them_merged(folder, trained):
    before, after = weights_of(folder / "base" / "pipeline"), weights_of(trained)
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(
        name.rpartition(".")[0].rpartition(".")[2] in ("to_q", "to_k", "to_v", "to_out", "to_hidden")
        for name in changed
    )


def test_the_file_makes_the_same_model(folder, trained):
    pipeline = load_pipeline(folder / "base" / "pipeline", dtype="fp32")
    merge_adapters(pipeline, folder / "run" / ADAPTERS)
    for name, expected in weights_of(trained).items():
        component, _, path = name.partition(".")
        assert torch.equal(getattr(pipeline, component).state_dict()[path].half(), expected)


def test_adapters_in_and_out_again(folder, trained):
    pipeline = load_pipeline(folder / "base" / "pipeline", dtype="fp32")
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    merge_adapters(pipeline, folder / "run" / ADAPTERS)
    assert any(not torch.equal(value, before[name]) for name, value in pipeline.unet.state_dict().items())
    merge_adapters(pipeline, folder / "run" / ADAPTERS, strength=-1)
    for name, value in pipeline.unet.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-6)


def test_a_stopped_run_goes_on(folder, trained):
    settings = lora_settings(folder, output=folder / "stopped")
    train(settings.model_copy(update={"steps": 2}))
    train(settings.model_copy(update={"steps": 3}))
    expected, resumed = (load_file(folder / name / ADAPTERS) for name in ("run", "stopped"))
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_files_that_do_not_fit(folder, trained, tiny_model, tmp_path):
    pipeline = load_pipeline(tiny_model, dtype="fp32")
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    with pytest.raises(WeightsError, match="does not fit this model"):
        merge_adapters(pipeline, folder / "run" / ADAPTERS)
    assert all(torch.equal(value, before[name]) for name, value in pipeline.unet.state_dict().items())
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="is not an adapter file"):
        merge_adapters(pipeline, tmp_path / "no.safetensors")


def test_layers_that_are_not_there(folder):
    settings = lora_settings(folder, output=folder / "unused too", lora={"layers": ("to_kv",)})
    with pytest.raises(SettingsError, match="controlnet has no linear layers named to_kv"):
        make_learner(settings, start_pipeline(settings))
