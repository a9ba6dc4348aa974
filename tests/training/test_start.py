"""What a run from nothing begins with."""

import torch

from tiny_model import make_tiny_model
from training.prepared import make_clips, tiny_settings
from venhancer.training.data.batches import Batches
from venhancer.training.learner import make_learner
from venhancer.training.start import make_pipeline, start_pipeline

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


def test_key_frames_are_enlarged_as_the_model_does_it(tmp_path):
    """Where a recipe does not say how, a model trains on what it will see."""
    make_clips(tmp_path / "clips")
    fields = {"start_from": make_tiny_model(tmp_path / "sharp", flat=True), "crop": (32, 32), "between": "interpolate"}
    own, stated, other = (
        Batches(tiny_settings(tmp_path, **fields, **how)).group(0, 0).key_frames
        for how in ({}, {"enlarging": "sharp"}, {"enlarging": "bilinear"})
    )
    assert torch.equal(own, stated)
    assert not torch.equal(own, other)


def test_frames_between_are_no_part_where_they_are_made_from_finished_ones(tmp_path):
    """Networks that see key frames only in sampling see no others in training."""
    make_clips(tmp_path / "clips")
    settings = tiny_settings(
        tmp_path,
        start_from=make_tiny_model(tmp_path / "flat", flat=True),
        between=None,
        crop=(32, 32),
        frames=7,
        augment={"temporal_factors": (3,), "temporal_weights": (1,)},
    )
    example = next(one for one in (Batches(settings).group(step, 0) for step in range(9)) if one.target.shape[2] == 7)
    keys = example.at_key_frames()
    assert torch.equal(keys.target, example.target[:, :, ::3])
    assert keys.key_frame_mask.all()
    seen = []
    learner = make_learner(settings, start_pipeline(settings))
    learner.unet.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2]))
    learner(example, torch.Generator().manual_seed(0), 0)
    assert set(seen) == {3}
