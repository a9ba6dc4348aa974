import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from venhancer.errors import SettingsError, WeightsError
from venhancer.model_files.traits import SamplingDefaults, load_traits
from venhancer.models import VideoControlNet, VideoUNet
from venhancer.weights import load_pipeline


@pytest.fixture
def folder(tmp_path):
    files = {
        "model_index.json": {"defaults": {"steps": 4, "window_frames": 17, "solver": "ddim"}},
        "unet/config.json": {
            "_class_name": "VideoUNet",
            "in_channels": 24,
            "out_channels": 24,
            "base_channels": 48,
            "channel_mults": [1, 2, 2],
            "attention_levels": [False, False, True],
            "head_dim": 16,
            "norm_groups": 16,
        },
        "vae/config.json": {"_class_name": "LinearAutoencoder", "patch": 4, "latent_channels": 24},
        "text_encoder/config.json": {"max_position_embeddings": 64},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    for component, values in (("unet", 6), ("controlnet", 5), ("vae", 3), ("text_encoder", 2)):
        (tmp_path / component).mkdir(exist_ok=True)
        save_file({"a": np.zeros((values, 2), np.float16)}, tmp_path / component / "model.safetensors")
    return tmp_path


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(("name", "steps", "timetable"), [("v1", 50, "trailing"), ("v2", 14, "fast")])
def test_published_models_need_no_files(name, steps, timetable):
    traits = load_traits(name)
    assert (traits.name, traits.defaults.steps, traits.defaults.timetable) == (name, steps, timetable)
    assert (traits.pixels_per_latent, traits.network.downsamplings, traits.latent_channels) == (8, 3, 4)
    assert traits.parameters == 2_044_809_796
    assert traits.defaults.prompt_suffix.startswith("Cinematic, High Contrast")


def test_a_folder_tells_its_traits(folder):
    traits = load_traits(str(folder))
    assert (traits.pixels_per_latent, traits.network.downsamplings, traits.latent_channels) == (4, 2, 24)
    assert traits.network.widths == (48, 96, 96)
    assert (traits.network.head_dim, traits.network.text_dim) == (16, 1024)
    assert (traits.parameters, traits.companion_parameters) == (22, 10)
    assert (traits.text_tokens, traits.autoencoder_width) == (64, 0)
    assert traits.defaults == SamplingDefaults(steps=4, window_frames=17, solver="ddim")


def test_a_convolutional_autoencoder_shrinks_once_a_block(folder):
    (folder / "vae" / "config.json").write_text(
        json.dumps({"block_out_channels": [128, 256, 512, 512], "latent_channels": 4})
    )
    traits = load_traits(str(folder))
    assert (traits.pixels_per_latent, traits.latent_channels, traits.autoencoder_width) == (8, 4, 256)


@pytest.mark.parametrize("name", ["v3", "no/such/folder", "a\nb"])
def test_unknown_models_are_refused_in_one_line(name):
    with pytest.raises(SettingsError) as raised:
        load_traits(name)
    assert repr(name) in str(raised.value)
    assert "pass --model nano, v1, v2 or a folder with a model_index.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_shape_that_no_network_has_is_refused(folder):
    rewrite(folder / "unet" / "config.json", norm_groups=32)
    with pytest.raises(WeightsError, match="width 48 must be a multiple of norm_groups 32 and head_dim 16; copy or"):
        load_traits(str(folder))


def test_damaged_folders_are_refused_in_one_line(folder):
    def refusal():
        with pytest.raises(WeightsError) as raised:
            load_traits(str(folder))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    rewrite(folder / "model_index.json", defaults={"steps": 0})
    assert "wrong defaults: steps 0 is below 1; pass --steps 1 to 100" in refusal()
    rewrite(folder / "model_index.json", defaults={"crf": 20})
    assert "has defaults for crf, which models cannot set" in refusal()
    rewrite(folder / "model_index.json", defaults=None)
    (folder / "unet" / "model.safetensors").write_bytes(b"not weights")
    assert "model.safetensors is damaged" in refusal()
    for component in ("unet", "controlnet"):
        (folder / component / "model.safetensors").unlink()
    assert "has no weights in unet or controlnet" in refusal()
    (folder / "vae" / "config.json").write_text('{"patch": 4}')
    assert "does not state 'latent_channels'" in refusal()
    (folder / "unet" / "config.json").write_text("[]")
    assert "config.json is damaged or incomplete (not an object)" in refusal()
    (folder / "unet" / "config.json").unlink()
    assert "config.json is damaged or incomplete" in refusal()


def test_published_models_say_what_comes_to_a_device_at_once():
    with torch.device("meta"):
        networks = VideoUNet(), VideoControlNet()
    blocks = [block for network in networks for block in (*network.encoder.stages, *network.encoder.middle)]
    sizes = [sum(values.numel() for values in part.parameters()) for part in (*blocks, *networks[0].decoder)]
    for name in ("v1", "v2"):
        traits = load_traits(name)
        assert traits.largest_component == sum(values.numel() for values in networks[0].parameters())
        assert max(sizes) <= traits.largest_group < traits.largest_component


def test_traits_of_a_folder_say_it_too(tiny_model):
    traits, unet = load_traits(str(tiny_model)), load_pipeline(tiny_model).unet
    assert traits.largest_component == sum(values.numel() for values in unet.parameters())
    largest = max(sum(values.numel() for values in stage.parameters()) for stage in unet.decoder)
    assert largest <= traits.largest_group < traits.largest_component
