"""Loading model folders: by name, by path, in every dtype, and every way a folder can be wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from stand_ins import write_inputs
from venhancer.checkpoints.convert import convert
from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.description import describe_model
from venhancer.model_files.traits import load_traits
from venhancer.models import ImageAutoencoder
from venhancer.weights import load_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = write_inputs(tmp_path_factory.mktemp("published"), "v1")
    return convert(**inputs, target=tmp_path_factory.mktemp("models") / "v1", version="v1", dtype="fp32")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "model")


def refusal(model: str | Path) -> str:
    with pytest.raises(WeightsError) as caught:
        load_pipeline(model, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_networks_are_in_the_dtype_asked_for(folder: Path, name: str, dtype: torch.dtype):
    pipeline = load_pipeline(folder, device="cpu", dtype=name)
    for network in (pipeline.unet, pipeline.controlnet, pipeline.vae, pipeline.text_encoder):
        assert {parameter.dtype for parameter in network.parameters()} == {dtype}
        assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
        assert not network.training


def test_values_are_those_of_the_files(folder: Path):
    pipeline = load_pipeline(str(folder), device="cpu", dtype="fp32")
    for name in ("unet", "controlnet", "vae"):
        stored = load_file(folder / name / "diffusion_pytorch_model.safetensors")
        loaded = getattr(pipeline, name).state_dict()
        assert loaded.keys() == stored.keys()
        assert all(torch.equal(loaded[key], value) for key, value in stored.items())
    assert isinstance(pipeline.vae, ImageAutoencoder)
    assert pipeline.tokenizer("cat").input_ids == [518, 517, 519]


def test_settings_of_the_model_come_along(folder: Path):
    config = load_pipeline(folder, device="cpu").config
    assert config.between == "repeat"
    assert config.defaults["steps"] == 50


def test_saved_again_it_is_the_same_model(folder: Path, tmp_path: Path):
    pipeline = load_pipeline(folder, device="cpu", dtype="fp32")
    pipeline.save_pretrained(tmp_path / "again")
    again = load_pipeline(tmp_path / "again", device="cpu", dtype="fp32")
    for name in ("unet", "controlnet", "vae", "text_encoder"):
        ours, theirs = getattr(pipeline, name).state_dict(), getattr(again, name).state_dict()
        assert all(torch.equal(theirs[key], value) for key, value in ours.items())
    assert again.config.defaults == pipeline.config.defaults


def test_loading_draws_no_bars(folder: Path, capfd: pytest.CaptureFixture[str]):
    load_pipeline(folder, device="cpu")
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.is_progress_bar_enabled()


def test_published_model_is_found_in_the_cache(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VENHANCER_CACHE", str(tmp_path))
    message = refusal("v1")
    assert message == (
        f"model v1: {tmp_path / 'v1'} has no model_index.json; run `venhancer weights download v1`, or convert "
        f"files that you have with `venhancer weights convert`"
    )
    shutil.copytree(folder, tmp_path / "v1")
    change_json(tmp_path / "v1" / "model_index.json", lambda index: index.update(defaults={"steps": 3}))
    published = load_pipeline("v1", device="cpu")
    assert published.unet.config.base_channels == 32
    assert published.traits == load_traits("v1"), "a plan made without loading it says the same"


@pytest.mark.parametrize("model", ["nanno", "/nowhere/at/all", ""])
def test_unknown_model_is_one_line(model: str):
    assert "pass a model folder or one of nano, v1, v2" in refusal(model)


def test_unknown_device_and_dtype_are_one_line(folder: Path):
    with pytest.raises(SettingsError, match=r"device tpu is not on this machine; pass .*cpu or auto"):
        load_pipeline(folder, device="tpu")
    with pytest.raises(SettingsError, match="dtype int8 is unknown; pass auto, bf16, fp16, fp32"):
        load_pipeline(folder, device="cpu", dtype="int8")


@pytest.mark.parametrize(
    ("name", "class_path"),
    [
        ("unet", ["os", "system"]),
        ("unet", ["venhancer.pipeline", "VEnhancerPipeline"]),
        ("unet", ["venhancer.models", "KeyFrames"]),
        ("unet", ["venhancer.models", "torch"]),
        ("unet", ["diffusers", "UNet2DModel"]),
        ("vae", ["venhancer.modelsx", "ImageAutoencoder"]),
        ("text_encoder", ["transformers", "pipeline"]),
        ("text_encoder", ["transformers", "CLIPTokenizer"]),
        ("tokenizer", ["transformers", "CLIPTextModel"]),
    ],
)
def test_index_cannot_name_foreign_classes(copy: Path, name: str, class_path: list[str]):
    change_json(copy / "model_index.json", lambda index: index.update({name: class_path}))
    assert f"names {class_path[0]}.{class_path[1]}, which is not a component" in refusal(copy)


@pytest.mark.parametrize("name", ["unet", "controlnet", "vae", "text_encoder", "tokenizer"])
def test_missing_folder_is_named(copy: Path, name: str):
    shutil.rmtree(copy / name)
    assert f"has no {name} folder; copy or convert the model again" in refusal(copy)


@pytest.mark.parametrize("name", ["unet", "controlnet", "vae", "text_encoder"])
@pytest.mark.parametrize("harm", ["missing", "truncated", "text"])
def test_damaged_weights_are_named(copy: Path, name: str, harm: str):
    (weights,) = (copy / name).glob("*.safetensors")
    content = weights.read_bytes()
    weights.unlink()
    if harm != "missing":
        weights.write_bytes(content[:-100] if harm == "truncated" else b"<html>not found</html>" * 100)
    message = refusal(copy)
    assert str(copy / name) in message
    assert "is damaged or incomplete" in message


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder"])
def test_damaged_config_is_named(copy: Path, name: str):
    (copy / name / "config.json").write_text('{"base_channels": ')
    assert "is damaged or incomplete" in refusal(copy)


def test_weights_that_do_not_fit_their_config_are_refused(copy: Path):
    change_json(copy / "unet" / "config.json", lambda config: config.update(base_channels=64))
    assert f"{copy / 'unet'}" in refusal(copy)
    change_json(copy / "unet" / "config.json", lambda config: config.update(base_channels=33))
    assert "must be a multiple of" in refusal(copy)
    change_json(copy / "unet" / "config.json", lambda config: config.update(colour="blue"))
    assert "colour" in refusal(copy)


@pytest.mark.parametrize("name", ["unet", "vae", "text_encoder"])
def test_missing_tensor_is_refused(copy: Path, name: str):
    (weights,) = (copy / name).glob("*.safetensors")
    values = load_file(weights)
    lost = max(values)
    del values[lost]
    save_file(values, weights, metadata={"format": "pt"})
    assert lost in refusal(copy)


def test_index_of_something_else_is_refused(copy: Path):
    change_json(copy / "model_index.json", lambda index: index.pop("unet"))
    assert "does not describe a VEnhancer pipeline" in refusal(copy)
    change_json(copy / "model_index.json", lambda index: index.update(safety=True))
    assert "does not describe a VEnhancer pipeline" in refusal(copy)
    (copy / "model_index.json").write_text("[]")
    assert "is damaged or incomplete (not an object)" in refusal(copy)


def test_pickles_in_a_model_folder_are_not_read(copy: Path):
    torch.save(
        load_file(copy / "unet" / "diffusion_pytorch_model.safetensors"), copy / "unet" / "diffusion_pytorch_model.bin"
    )
    (copy / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "is damaged or incomplete" in refusal(copy)


def test_description_is_read_from_the_headers(folder: Path):
    described = describe_model(folder)
    assert described.folder == folder
    assert {each.name: each.class_name for each in described.components} == {
        "text_encoder": "CLIPTextModel",
        "vae": "ImageAutoencoder",
        "controlnet": "VideoControlNet",
        "unet": "VideoUNet",
    }
    pipeline = load_pipeline(folder, device="cpu", dtype="fp32")
    for each in described.components:
        assert each.parameters == sum(value.numel() for value in getattr(pipeline, each.name).parameters())
        assert each.dtypes == ("F32",)
        assert each.bytes >= 4 * each.parameters
    assert described.conversion is not None
    assert described.conversion["version"] == "v1"
    assert described.settings["defaults"]["steps"] == 50


def test_description_of_a_damaged_folder_is_one_line(copy: Path):
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match=r"unet/diffusion_pytorch_model\.safetensors is damaged"):
        describe_model(copy)


def test_convolutions_are_laid_out_as_activations_and_saved_as_they_come(tiny_model, tmp_path):
    """Else every call of a layer would lay its weights out anew."""
    pipeline = load_pipeline(tiny_model, dtype="fp32")
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    pipeline.unet.lay_out()
    weights = [value for value in pipeline.unet.parameters() if value.ndim in (4, 5)]
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    assert weights
    assert all(value.is_contiguous(memory_format=formats[value.ndim]) for value in weights)
    pipeline.save_pretrained(tmp_path / "saved")
    again = load_pipeline(tmp_path / "saved", dtype="fp32")
    assert again.fingerprint() == pipeline.fingerprint()
    assert all(torch.equal(value, before[name]) for name, value in again.unet.state_dict().items())
