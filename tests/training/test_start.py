"""What a run from nothing begins with."""

import pytest
import torch

from tiny_model import make_image_model, make_tiny_model
from training.prepared import make_clips, tiny_settings
from venhancer.errors import SettingsError
from venhancer.model_files.traits import load_traits
from venhancer.training.cost import run_cost
from venhancer.training.data.batches import Batches
from venhancer.training.learner import make_learner
from venhancer.training.loop import train
from venhancer.training.start import make_pipeline, start_pipeline
from venhancer.weights import load_pipeline

LOSSLESS = {"latent_channels": 48, "base_channels": 16, "channel_mults": (1,), "attention_levels": (False,)}
LOSSLESS |= {"middle_attention": False, "norm_groups": 0, "entry_heads": 0, "head_dim": 8, "control_channels": 8}


def test_channels_are_as_loud_as_noise(tmp_path):
    """Faint ones less so: what hardly matters must not be most of what is learned."""
    make_clips(tmp_path / "clips")
    settings = tiny_settings(tmp_path, crop=(32, 32), network=LOSSLESS | {"faintest_channel": 0.25})
    frames = Batches(settings).group(0, 0).target
    latents = make_pipeline(settings).vae.encode_frames(frames)
    spread = latents.std(dim=(0, 2, 3, 4))
    assert 0.5 < spread.max() < 2
    plain = make_pipeline(tiny_settings(tmp_path, crop=(32, 32), network=LOSSLESS)).vae.encode_frames(frames)
    before = plain.std(dim=(0, 2, 3, 4))
    is_loud = before > 0.3 * plain.std()
    assert spread[is_loud].max() / spread[is_loud].min() < before[is_loud].max() / before[is_loud].min()
    assert spread[~is_loud].max() < 1.5


NEIGHBOURS = {"crop": (32, 32), "neighbours": True, "between": "interpolate", "frames": 7, "key_frames": 3}
FINISHING = {"finishing_share": 1.0, "finishing_start_timestep": 3, "frequency_weight": 0.1}


def test_a_network_learns_to_look_at_neighbours(tmp_path):
    """From nothing, and from a model whose network does not look; the frames between are no part of it."""
    make_clips(tmp_path / "clips")
    settings = tiny_settings(
        tmp_path,
        **NEIGHBOURS,
        network=LOSSLESS,
        objective=FINISHING,
        augment={"temporal_factors": (3,), "temporal_weights": (1,)},
        steps=2,
    )
    example = Batches(settings).group(0, 0)
    assert (example.target.shape[2], example.at_key_frames().target.shape[2]) == (7, 3)
    assert torch.equal(example.at_key_frames().target[:, :, 1], example.target[:, :, 3])
    learner = make_learner(settings, start_pipeline(settings))
    assert sum(run_cost(settings).trained.values()) == sum(p.numel() for p in learner.trained().values())
    folder = train(settings)
    assert load_traits(str(folder)).network.neighbour_input
    assert load_pipeline(folder, dtype="fp32").unet.neighbour_conv.weight.any()


def test_a_loaded_network_gets_an_eye_for_neighbours(tmp_path):
    plain = make_tiny_model(tmp_path / "plain", flat=True, widths={"neighbour_input": False})
    fields = {**NEIGHBOURS, "start_from": plain, "output": tmp_path / "more"}
    make_clips(tmp_path / "clips")
    unet = start_pipeline(tiny_settings(tmp_path, **fields)).unet
    assert unet.neighbour_conv is not None
    assert not unet.neighbour_conv.weight.any()
    image = make_image_model(tmp_path / "image")
    with pytest.raises(SettingsError, match="neighbours: true needs a linear autoencoder"):
        start_pipeline(
            tiny_settings(tmp_path, **fields | {"start_from": image, "crop": (80, 64), "output": tmp_path / "other"})
        )


def test_key_frames_are_enlarged_as_the_model_does_it(tmp_path):
    """Where a recipe does not say how, a model trains on what it will see."""
    make_clips(tmp_path / "clips")
    sharp = make_tiny_model(tmp_path / "sharp", flat=True)
    fields = {"start_from": sharp, "crop": (32, 32), "between": "interpolate"}
    own, stated, other = (
        Batches(tiny_settings(tmp_path, **fields, **how)).group(0, 0).key_frames
        for how in ({}, {"enlarging": "sharp"}, {"enlarging": "bilinear"})
    )
    assert torch.equal(own, stated)
    assert not torch.equal(own, other)
