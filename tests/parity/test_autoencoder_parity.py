"""The published autoencoders' numbers and names, from the files they are shipped in to our classes."""

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch.testing import assert_close

from stand_ins import GOLDEN, Tensors, autoencoder_shapes, filled, prefixed, reference_input
from venhancer.checkpoints.autoencoder import image_autoencoder, video_autoencoder
from venhancer.checkpoints.component import Component
from venhancer.checkpoints.reading import TensorFile
from venhancer.models import ImageAutoencoder, VideoAutoencoder


def held(tensors: Tensors) -> TensorFile:
    return TensorFile(GOLDEN, {key: tuple(value.shape) for key, value in tensors.items()}, tensors.__getitem__)


def filled_model(component: Component) -> ImageAutoencoder | VideoAutoencoder:
    values = {key: component.read(key) for key in component.model.state_dict()}
    component.model.load_state_dict(values, assign=True)
    return component.model.eval()


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_image_autoencoder_is_the_published_one(prefix: str):
    golden = load_file(GOLDEN / "tiny_vae.safetensors")
    vae = filled_model(image_autoencoder(held(prefixed(prefix, filled(autoencoder_shapes("sd21"))))))
    with torch.no_grad():
        moments = vae.encode(reference_input("vae.img", (1, 3, 64, 48), 0.5)).latent_dist.parameters
        decoded = vae.decode(reference_input("vae.z", (1, 4, 9, 7))).sample
    assert_close(moments, golden["moments"], rtol=0, atol=2e-5)
    assert_close(decoded, golden["decoded"], rtol=0, atol=2e-5)


def test_image_autoencoder_of_a_diffusers_folder_is_the_same():
    """Also under the names that its attention layers had in 2022."""
    from_checkpoint = filled_model(image_autoencoder(held(filled(autoencoder_shapes("sd21"))))).state_dict()
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    of_2022 = {}
    for key, value in from_checkpoint.items():
        for new_name, old_name in old.items():
            key = key.replace(f"attentions.0.{new_name}.", f"attentions.0.{old_name}.")  # noqa: PLW2901
        of_2022[key] = value
    for spelling in (from_checkpoint, of_2022):
        again = filled_model(image_autoencoder(held(spelling))).state_dict()
        assert again.keys() == from_checkpoint.keys()
        assert all(torch.equal(again[key], from_checkpoint[key]) for key in again)


def test_full_size_image_autoencoder_is_stable_diffusions():
    with torch.device("meta"):
        shapes = {key: torch.empty(shape) for key, shape in autoencoder_shapes("sd21", 1).items()}
    model = image_autoencoder(held(shapes)).model
    assert isinstance(model, AutoencoderKL)
    assert sum(parameter.numel() for parameter in model.parameters()) == 83_653_863


def test_full_size_video_autoencoder_is_stable_video_diffusions():
    with torch.device("meta"):
        shapes = {key: torch.empty(shape) for key, shape in autoencoder_shapes("temporal", 1).items()}
    component = video_autoencoder(held(shapes))
    assert sum(parameter.numel() for parameter in component.model.parameters()) == 97_742_847
    assert component.shapes == autoencoder_shapes("temporal", 1)


def test_video_autoencoder_decodes_frames_together():
    vae = filled_model(video_autoencoder(held(filled(autoencoder_shapes("temporal")))))
    latents = reference_input("temporal.z", (1, 4, 3, 4, 5))
    with torch.no_grad():
        frames = vae.decode_frames(latents)
        changed = vae.decode_frames(torch.cat([latents[:, :, :2], -latents[:, :, 2:]], dim=2))
    assert frames.shape == (1, 3, 3, 32, 40)
    assert (frames[:, :, 1] - changed[:, :, 1]).abs().max() > 1e-3
