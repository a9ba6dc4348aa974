"""Group normalisation that leaves memory as it lies is torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from venhancer.models.normalization import GroupNorm, normalise_as_it_lies

GROUPS, CHANNELS = 4, 24


def pixels(dtype):
    """Return channels-last pixels whose channels differ in mean and spread."""
    loud, bright = torch.rand(1, CHANNELS, 1, 1) * 3 + 0.1, torch.randn(1, CHANNELS, 1, 1) * 5
    return (torch.randn(3, CHANNELS, 9, 6) * loud + bright).to(dtype, memory_format=torch.channels_last)


@pytest.fixture
def norm():
    layer = GroupNorm(GROUPS, CHANNELS, eps=1e-5)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer.requires_grad_(requires_grad=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_it_is_as_exact_as_torchs_and_keeps_the_memory_format(norm, dtype):
    x = pixels(dtype)
    norm = norm.to(dtype)
    result = normalise_as_it_lies(x, GROUPS, norm.weight, norm.bias, norm.eps)
    exact = F.group_norm(x.double(), GROUPS, norm.weight.double(), norm.bias.double(), norm.eps)
    own = F.group_norm(x, GROUPS, norm.weight, norm.bias, norm.eps)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert (result - exact).abs().max() <= 1.5 * (own - exact).abs().max()


def test_frames_that_are_seen_as_one_clip_stay_a_view(norm):
    """A convolution over time sees `(b f) c h w` as `b c f (h w)`."""
    frames = pixels(torch.float32)
    clip = frames.permute(1, 0, 2, 3).flatten(2)[None]
    assert clip.data_ptr() == frames.data_ptr()
    result = normalise_as_it_lies(clip, GROUPS, norm.weight, norm.bias, norm.eps)
    assert result.stride() == clip.stride()
    assert_close(result, F.group_norm(clip, GROUPS, norm.weight, norm.bias, norm.eps))


def test_on_a_processor_and_in_training_it_is_torchs_to_the_bit(norm):
    x = pixels(torch.float32).requires_grad_()
    assert torch.equal(norm(x), F.group_norm(x, GROUPS, norm.weight, norm.bias, norm.eps))
