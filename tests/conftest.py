"""Shared by all tests: annotated shapes are checked at run time, and tiny real networks are at hand."""

import signal

from jaxtyping import install_import_hook

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored

install_import_hook("venhancer", "typechecking.check")

from pathlib import Path  # noqa: E402 - the hook must come before anything that imports the package

import pytest  # noqa: E402
import torch  # noqa: E402

from tiny_model import TINY, make_tiny_model, randomised  # noqa: E402
from venhancer.models import KeyFrames, VideoControlNet, VideoUNet  # noqa: E402


@pytest.fixture(scope="session")
def tiny_unet() -> VideoUNet:
    return randomised(VideoUNet(**TINY))


@pytest.fixture(scope="session")
def tiny_controlnet() -> VideoControlNet:
    return randomised(VideoControlNet(**TINY))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The folder of a real model that enhances a clip in seconds."""
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


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
