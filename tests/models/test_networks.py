"""What must hold of the two networks whatever their weights."""

import pytest
import torch
from torch.testing import assert_close

from conftest import TINY, randomised
from venhancer.models import KeyFrames, VideoControlNet, VideoUNet


@torch.no_grad()
def run(unet, controlnet, latents, timesteps, text_embeds, key_frames, max_tokens=None):
    residuals = controlnet(latents, timesteps, controlnet.project_text(text_embeds), key_frames, max_tokens)
    return unet(latents, timesteps, unet.project_text(text_embeds), residuals, max_tokens)


def test_published_size_has_the_published_parameter_counts():
    with torch.device("meta"):
        unet, controlnet = VideoUNet(), VideoControlNet()
    assert sum(parameter.numel() for parameter in unet.parameters()) == 1_411_233_860
    assert sum(parameter.numel() for parameter in controlnet.parameters()) == 633_575_936


def test_new_controlnet_changes_nothing(tiny_unet, latents, timesteps, text_embeds, key_frames):
    """All outputs of a fresh ControlNet pass through zero convolutions."""
    controlnet = VideoControlNet.from_unet(tiny_unet)
    text = tiny_unet.project_text(text_embeds)
    with torch.no_grad():
        alone = tiny_unet(latents, timesteps, text)
    assert_close(run(tiny_unet, controlnet, latents, timesteps, text_embeds, key_frames), alone)


def test_controlnet_made_from_unet_copies_encoder_and_middle(tiny_unet):
    controlnet = VideoControlNet.from_unet(tiny_unet)
    copied = controlnet.encoder.state_dict()
    for name, value in tiny_unet.encoder.state_dict().items():
        assert torch.equal(copied[name], value), name


def test_fresh_unet_predicts_nothing(latents, timesteps, text_embeds):
    unet = VideoUNet(**TINY)
    with torch.no_grad():
        assert not unet(latents, timesteps, unet.project_text(text_embeds)).any()


def test_every_condition_changes_the_result(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames):
    inputs = (tiny_unet, tiny_controlnet, latents, timesteps, text_embeds)
    before = run(*inputs, key_frames)
    changes = {
        "latents": key_frames.latents * 1.1,
        "mask": key_frames.mask.flip(1),
        "noise_timesteps": key_frames.noise_timesteps + 1,
        "downscale_factor": key_frames.downscale_factor + 0.1,
    }
    for field, value in changes.items():
        assert (run(*inputs, key_frames._replace(**{field: value})) - before).abs().max() > 1e-5, field
    assert (run(*inputs[:4], text_embeds * 1.1, key_frames) - before).abs().max() > 1e-5
    assert (run(*inputs[:3], timesteps + 1, text_embeds, key_frames) - before).abs().max() > 1e-5


def test_batch_equals_single_runs(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames):
    """Clips of a batch have masks, noise levels, factors and prompts of their own."""
    both = run(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames)
    for clip in (0, 1):
        one = slice(clip, clip + 1)
        alone = run(
            tiny_unet,
            tiny_controlnet,
            latents[one],
            timesteps[one],
            text_embeds[one],
            KeyFrames(*(field[one] for field in key_frames)),
        )
        assert_close(both[one], alone, atol=1e-5, rtol=1e-5)


def test_prompts_in_one_run_equal_separate_runs(
    tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames
):
    """What does not depend on the prompt is computed once for both."""
    other = text_embeds.flip(1)
    both = run(tiny_unet, tiny_controlnet, latents, timesteps, torch.cat([text_embeds, other]), key_frames)
    apart = [run(tiny_unet, tiny_controlnet, latents, timesteps, text, key_frames) for text in (text_embeds, other)]
    assert_close(both, torch.cat(apart), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("max_tokens", [1, 33, 160])
def test_slicing_changes_nothing(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames, max_tokens):
    inputs = (tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames)
    assert_close(run(*inputs, max_tokens), run(*inputs), atol=1e-5, rtol=1e-5)


def test_no_key_frames_leaves_no_condition(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames):
    none_marked = key_frames._replace(mask=torch.zeros(2, 5, dtype=torch.bool))
    inputs = (tiny_unet, tiny_controlnet, latents, timesteps, text_embeds)
    assert_close(run(*inputs, none_marked), run(*inputs, None))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 4), (10, 8), (14, 22)])
def test_every_size_of_the_grid_is_accepted(tiny_unet, timesteps, text_embeds, height, width):
    """One downsampling: rows 2k + 2 with k odd as well, columns 2k."""
    latents = torch.randn(2, 4, 1, height, width)
    with torch.no_grad():
        assert tiny_unet(latents, timesteps, tiny_unet.project_text(text_embeds)).shape == latents.shape


def test_gradient_checkpointing_gives_the_same_gradients(latents, timesteps, text_embeds, key_frames):
    gradients = []
    for checkpointing in (False, True):
        unet, controlnet = randomised(VideoUNet(**TINY)).train(), randomised(VideoControlNet(**TINY)).train()
        if checkpointing:
            unet.enable_gradient_checkpointing()
            controlnet.enable_gradient_checkpointing()
        residuals = controlnet(latents, timesteps, controlnet.project_text(text_embeds), key_frames)
        unet(latents, timesteps, unet.project_text(text_embeds), residuals).square().mean().backward()
        gradients.append([parameter.grad for parameter in (*unet.parameters(), *controlnet.parameters())])
    for plain, recomputed in zip(*gradients, strict=True):
        assert_close(plain, recomputed)


def test_saved_networks_load_the_same(tiny_unet, tiny_controlnet, tmp_path):
    for network in (tiny_unet, tiny_controlnet):
        network.save_pretrained(tmp_path)
        loaded = type(network).from_pretrained(tmp_path)
        for name, value in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name


def test_half_precision_stays_near(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames):
    exact = run(tiny_unet, tiny_controlnet, latents, timesteps, text_embeds, key_frames)
    halved = [VideoUNet(**TINY), VideoControlNet(**TINY)]
    for half, full in zip(halved, (tiny_unet, tiny_controlnet), strict=True):
        half.load_state_dict(full.state_dict())
        half.to(torch.bfloat16)
    low = key_frames._replace(latents=key_frames.latents.bfloat16())
    result = run(*halved, latents.bfloat16(), timesteps, text_embeds.bfloat16(), low)
    assert (result.float() - exact).norm() / exact.norm() < 0.05


def test_shape_that_cannot_be_built_is_refused():
    with pytest.raises(ValueError, match="width 16 must be a multiple of norm_groups 32"):
        VideoUNet(base_channels=16)
    with pytest.raises(ValueError, match="one entry per level"):
        VideoUNet(**{**TINY, "channel_mults": (1, 2, 2)})
