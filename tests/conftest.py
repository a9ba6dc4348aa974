"""Shared by all tests: annotated shapes are checked at run time, and tiny real networks are at hand."""

from jaxtyping import install_import_hook

install_import_hook("venhancer", "typechecking.check")

import pytest  # noqa: E402 - the hook must come before anything that imports the package
import torch  # noqa: E402

from venhancer.models import KeyFrames, VideoControlNet, VideoUNet  # noqa: E402

TINY = {
    "base_channels": 16,
    "channel_mults": (1, 2),
    "blocks_per_level": 1,
    "attention_levels": (True, False),
    "head_dim": 8,
    "text_dim": 12,
    "entry_heads": 2,
    "norm_groups": 8,
}


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter a value, so that no branch is silent."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        spread = 0.3 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
        parameter.data = torch.randn(parameter.shape, generator=generator) * spread + (parameter.dim() == 1) * 0.5
    return network.eval()


@pytest.fixture(scope="session")
def tiny_unet() -> VideoUNet:
    return randomised(VideoUNet(**TINY))


@pytest.fixture(scope="session")
def tiny_controlnet() -> VideoControlNet:
    return randomised(VideoControlNet(**TINY))


@pytest.fixture
def latents() -> torch.Tensor:
    return torch.randn(2, 4, 5, 10, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def timesteps() -> torch.Tensor:
    return torch.tensor([500, 37])


@pytest.fixture
def text_embeds() -> torch.Tensor:
    return torch.randn(2, 7, 12, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def key_frames() -> KeyFrames:
    return KeyFrames(
        latents=torch.randn(2, 4, 2, 10, 8, generator=torch.Generator().manual_seed(3)),
        mask=torch.tensor([[True, False, False, True, False], [True, True, False, False, False]]),
        noise_timesteps=torch.tensor([199, 0]),
        downscale_factor=torch.tensor([4.0, 2.5]),
    )
