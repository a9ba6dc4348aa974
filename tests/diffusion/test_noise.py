"""Noise that belongs to a frame."""

import pytest
import torch

from venhancer.diffusion.noise import frame_noise


def test_noise_belongs_to_seed_frame_and_draw():
    shape = (4, 18, 16)
    noise = frame_noise(7, 123, shape)
    assert noise.dtype == torch.float32
    assert torch.equal(noise, frame_noise(7, 123, shape))
    others = [
        frame_noise(8, 123, shape),
        frame_noise(7, 124, shape),
        frame_noise(71, 23, shape),
        frame_noise(7, 123, shape, 1),
    ]
    for other in others:
        correlation = torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 0.15


def test_noise_is_standard_normal():
    noise = torch.stack([frame_noise(0, frame, (4, 32, 32)) for frame in range(32)])
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_noise_leaves_global_randomness_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    frame_noise(0, 0, (8, 8))
    assert torch.equal(torch.rand(4), expected)


def test_noise_never_changes():
    """Files made with a seed can be made again with any later version."""
    first = frame_noise(0, 0, (4, 10, 8)).flatten()[:4]
    last = frame_noise(5, 1000, (4, 10, 8), 2).flatten()[-3:]
    assert first.tolist() == pytest.approx([-0.90077, 0.76986, 0.87037, -1.61152], abs=1e-5)
    assert last.tolist() == pytest.approx([0.48185, 0.21287, 0.47744], abs=1e-5)
