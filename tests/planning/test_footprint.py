"""The tensors of real forwards, counted, against those that a footprint is reckoned from."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn

from living import LivingTensors
from tiny_model import FLAT, TINY
from venhancer.model_files.network_shape import Grid, NetworkShape
from venhancer.model_files.traits import load_traits
from venhancer.models import KeyFrames, VideoAutoencoder, VideoControlNet, VideoUNet
from venhancer.planning.execution import Execution
from venhancer.planning.footprint import Work, autoencoder_peaks, footprint, network_peaks

NETWORKS = {
    "tiny": NetworkShape(**TINY),
    "flat": NetworkShape(**TINY | FLAT),
    "nano": load_traits("nano").network,
    "published": NetworkShape(),
}


@cache
def networks(name: str) -> tuple[VideoUNet, VideoControlNet]:
    """Return both networks; those of the published size hold no memory."""
    shape = NETWORKS[name]
    with torch.device("meta" if name == "published" else "cpu"), torch.no_grad():
        return VideoUNet(**shape.arguments()), VideoControlNet.from_shape(shape)


def living_values(name: str, grid: Grid, prompts: int, slice_tokens: int | None) -> int:
    """Return the most values alive in one forward of both networks."""
    unet, controlnet = networks(name)
    with torch.device(unet.device), torch.inference_mode():
        channels, text_dim = unet.config["in_channels"], unet.config["text_dim"]
        latents, timesteps = torch.zeros(1, channels, *grid), torch.zeros(1, dtype=torch.int64)
        texts = [network.project_text(torch.zeros(prompts, 7, text_dim)) for network in (unet, controlnet)]
        mask = torch.ones(1, grid.frames, dtype=torch.bool)
        key_frames = KeyFrames(latents, mask, timesteps, torch.ones(1))
        with LivingTensors(unet, controlnet, inputs=[latents]) as living:
            residuals = controlnet(latents, timesteps, texts[1], key_frames, slice_tokens)
            unet(latents, timesteps, texts[0], residuals, slice_tokens)
    return living.most // 4


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("grid", "prompts", "slice_tokens"),
    [(Grid(6, 18, 16), 1, None), (Grid(6, 18, 16), 2, 288), (Grid(3, 18, 32), 2, None), (Grid(6, 18, 16), 1, 288)],
)
def test_peaks_are_what_a_forward_holds(network, grid, prompts, slice_tokens):
    most = max(sum(sizes) for sizes in network_peaks(NETWORKS[network], grid, prompts, slice_tokens))
    assert most == pytest.approx(living_values(network, grid, prompts, slice_tokens), rel=0.08)


def test_slices_hold_less():
    grid = Grid(16, 18, 32)
    whole, sliced = (max(map(sum, network_peaks(NetworkShape(), grid, 1, tokens))) for tokens in (None, 576))
    assert sliced < 0.5 * whole


@pytest.mark.parametrize(("together", "at_once"), [(1, 1), (1, 3), (5, 1), (5, 3)])
def test_peaks_of_autoencoders_are_what_coding_holds(together, at_once):
    widths = (32, 64, 128, 128)
    down, up = (("DownEncoderBlock2D",) * 4), (("UpDecoderBlock2D",) * 4)
    shape = {"down_block_types": down, "block_out_channels": widths, "layers_per_block": 2}
    vae: nn.Module = AutoencoderKL(up_block_types=up, **shape) if together == 1 else VideoAutoencoder(**shape)
    options = {} if together == 1 else {"num_frames": together}
    with torch.inference_mode(), LivingTensors(vae) as decoding:
        vae.decode(torch.zeros(at_once if together == 1 else together, 4, 8, 16), **options)
    with torch.inference_mode(), LivingTensors(vae) as encoding:
        vae.encode(torch.zeros(at_once, 3, 64, 128))
    traits = replace(load_traits("v2"), autoencoder_width=64, decode_window=together)
    encoded, decoded = map(sum, autoencoder_peaks(traits, 8, 16, whole=8 * 16, frames=at_once))
    assert encoded == pytest.approx(encoding.most // 4, rel=0.05)
    assert decoded == pytest.approx(decoding.most // 4, rel=0.05)


WORK = Work(
    grid=Grid(8, 90, 160),
    context=8,
    height=90,
    width=160,
    carried=0,
    is_guided=True,
    solver="ddim",
    input_pixels=320 * 180,
    coded=(32, 32),
)


def test_all_weights_are_counted_in_their_number_format():
    traits = load_traits("v2")
    full, half = (footprint(traits, WORK, Execution(), size) for size in (4, 2))
    assert full.weights == 4 * (2_044_809_796 + 97_742_847 + 340_387_840) == 2 * half.weights
    assert full.activations == pytest.approx(2 * half.activations, rel=0.05)
    assert full.features == 0
    assert full.total == sum((full.program, full.weights, full.latents, full.frames, full.activations))


def test_features_kept_are_those_that_a_network_keeps():
    """Every window's tile keeps what the way up takes in, for both prompts."""
    grid, unet = Grid(6, 18, 16), networks("tiny")[0]
    features: list[torch.Tensor] = []
    with torch.inference_mode():
        text = unet.project_text(torch.zeros(2, 7, 12))
        unet(torch.zeros(1, 4, *grid), torch.zeros(1, dtype=torch.int64), text, features=features)
    traits = replace(load_traits("v2"), network=NETWORKS["tiny"])
    work = replace(WORK, grid=grid, kept_parts=3)
    assert footprint(traits, work, Execution(), 2).features == 3 * 2 * sum(kept.numel() for kept in features)


def test_each_way_of_working_holds_less():
    traits = load_traits("v2")
    whole = footprint(traits, WORK, Execution(), 2)
    for execution in (Execution(slice_tokens=8192), Execution(batches_guidance=False)):
        assert footprint(traits, WORK, execution, 2).activations < whole.activations
