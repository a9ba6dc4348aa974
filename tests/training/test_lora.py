"""Adapters learn alone, and leave a file that makes the same model of the one they were trained on."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from training.prepared import make_clips, tiny_settings, weights_of
from venhancer.checkpoints.adapters import attach_adapters, merge_adapters
from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.traits import load_traits
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


@torch.no_grad()
def test_adapters_kept_apart_do_what_merged_ones_do(folder, trained):
    """In 16 bits merging rounds the sum; apart, the model is closer to the exact one."""
    base, file = folder / "base" / "pipeline", folder / "run" / ADAPTERS
    apart, merged = (load_pipeline(base, adapter=file, adapter_apart=how, dtype="fp32") for how in (True, False))
    own = load_pipeline(base, dtype="fp32")
    for name, value in own.unet.state_dict().items():
        assert torch.equal(apart.unet.state_dict()[name], value)
    latents, timesteps = torch.randn(1, own.unet.config["in_channels"], 2, 18, 16), torch.tensor([500])
    text = torch.randn(1, 3, own.unet.config["text_dim"])
    results = [one.unet(latents, timesteps, one.unet.project_text(text)) for one in (own, apart, merged)]
    assert (results[1] - results[0]).abs().max() > 100 * (results[1] - results[2]).abs().max()
    torch.testing.assert_close(results[1], results[2], rtol=1e-4, atol=1e-5)
    assert apart.fingerprint() not in (own.fingerprint(), merged.fingerprint())
    assert apart.traits.adapter.is_apart
    assert apart.traits.companion_parameters - merged.traits.companion_parameters == apart.traits.adapter.parameters > 0


def test_convolutions_take_adapters_apart(folder, tiny_model, tmp_path):
    unet = load_pipeline(tiny_model, dtype="fp32").unet
    layer, conv = next((f"unet.{name}", one) for name, one in unet.named_modules() if is_halving(one))
    out, *rest = conv.weight.shape
    down, file = torch.randn(2, *rest), tmp_path / "adapters.safetensors"
    pairs = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": torch.randn(out, 2, 1, 1)}
    save_file(pairs, file, metadata={"venhancer": json.dumps({"scale": 0.1, "defaults": {}})})
    x = torch.randn(1, down.shape[1], 6, 5)
    with torch.no_grad():
        one, other = (
            load_pipeline(tiny_model, adapter=file, adapter_apart=how, dtype="fp32").unet.get_submodule(layer[5:])(x)
            for how in (True, False)
        )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def is_halving(module) -> bool:
    return isinstance(module, torch.nn.Conv2d) and module.stride == (2, 2)


def test_layers_that_only_take_merged_adapters_are_named(tiny_model, tmp_path):
    pipeline = load_pipeline(tiny_model, dtype="fp32")
    name, conv = next((name, one) for name, one in pipeline.unet.named_modules() if isinstance(one, torch.nn.Conv3d))
    out, *rest = conv.weight.shape
    pairs = {
        f"unet.{name}.lora_A.weight": torch.zeros(1, *rest),
        f"unet.{name}.lora_B.weight": torch.zeros(out, 1, 1, 1, 1),
    }
    file = tmp_path / "adapters.safetensors"
    save_file(pairs, file, metadata={"venhancer": json.dumps({"scale": 1, "defaults": {}})})
    with pytest.raises(WeightsError, match="a Conv3d, which needs it merged"):
        attach_adapters(pipeline, file)
    with pytest.raises(SettingsError, match="--adapter-apart needs adapters"):
        load_traits(str(tiny_model), adapter_apart=True)


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
