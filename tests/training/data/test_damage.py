"""Damage done to training inputs."""

import pytest
import torch
from torch.testing import assert_close

from venhancer.training.data import damage


def clip(frames: int = 7, height: int = 32, width: int = 48) -> torch.Tensor:
    coarse = torch.rand(frames, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


def still(frames: int = 6) -> torch.Tensor:
    return clip(1).expand(frames, -1, -1, -1).contiguous()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("harm", [damage.damage, damage.destabilise])
def test_damage_is_a_function_of_its_generator_and_grows_with_strength(harm):
    frames = clip()
    for seed in range(6):
        assert torch.equal(harm(frames, 0.7, generator(seed)), harm(frames, 0.7, generator(seed)))
    mild, strong = (
        sum(float((harm(frames, strength, generator(seed)) - frames).abs().mean()) for seed in range(24))
        for strength in (0.2, 1.0)
    )
    assert mild < 0.85 * strong
    assert harm(frames, 1.0, generator()).aminmax().min >= 0
    assert harm(frames, 1.0, generator()).aminmax().max <= 1


def test_without_strength_nothing_flickers():
    assert_close(damage.destabilise(still(), 0.0, generator()), still(), atol=1e-6, rtol=0)


def test_a_still_clip_flickers_once_destabilised():
    unstable = damage.destabilise(still(), 1.0, generator())
    assert unstable.diff(dim=0).abs().mean() > 0.01


def test_wobble_moves_what_there_is():
    pulled = damage.wobble(still(), 1.0, generator())
    assert pulled.diff(dim=0).abs().mean() > 0.005
    assert_close(pulled.mean(dim=(2, 3)), still().mean(dim=(2, 3)), atol=0.02, rtol=0)
    assert_close(damage.wobble(still(), 0.0, generator()), still(), atol=1e-5, rtol=0)
    flat = torch.full((3, 3, 20, 24), 0.3)
    assert_close(damage.wobble(flat, 2.0, generator()), flat)


def test_shimmer_leaves_the_coarse_picture():
    shimmering = damage.shimmer(still(), 1.0, generator())
    assert (shimmering - still()).abs().mean() > 0.002
    coarse = [damage.gaussian_blur(frames, 6.0) for frames in (shimmering, still())]
    assert (coarse[0] - coarse[1]).abs().mean() < 0.4 * (shimmering - still()).abs().mean()


@pytest.mark.parametrize("size", [(32, 48), (17, 23)])
def test_jpeg_loses_more_at_lower_quality(size):
    frames = torch.nn.functional.interpolate(damage.gaussian_blur(clip(3), 2.0), size=size, mode="bilinear")
    errors = [float((damage.through_jpeg(frames, quality) - frames).abs().mean()) for quality in (20, 95)]
    assert 0 < errors[1] < errors[0] < 0.1


@pytest.mark.parametrize("size", [(32, 48), (17, 23)])
def test_codec_keeps_size_and_content(size):
    frames = damage.eight_bits(clip(5, *[side // 4 * 4 for side in size]))
    frames = torch.nn.functional.interpolate(frames, size=size)
    damaged = damage.through_codec(frames, 16)
    assert damaged.shape == frames.shape
    error = (damaged - frames).abs().mean()
    assert 0.001 < error < 0.1
    assert (damage.through_codec(frames, 2) - frames).abs().mean() < error


@pytest.mark.parametrize("size", [(6, 5), (17, 16), (34, 32)])
def test_codec_is_reproducible(size):
    frames = torch.rand(4, 3, *size, generator=generator())
    results = [damage.through_codec(frames, 6) for _ in range(4)]
    assert all(torch.equal(results[0], again) for again in results[1:])


def test_blur_keeps_a_flat_picture_and_the_mean():
    flat = torch.full((2, 3, 9, 11), 0.3)
    assert_close(damage.gaussian_blur(flat, 1.3), flat)
    assert damage.gaussian_blur(clip(), 2.0).std() < clip().std()
