"""What a run from nothing begins with."""

from training.prepared import make_clips, tiny_settings
from venhancer.training.data.batches import Batches
from venhancer.training.start import make_pipeline

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
