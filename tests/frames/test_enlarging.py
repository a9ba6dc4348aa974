"""Input frames at the output's size."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from venhancer.frames.enlarging import resize


def reduced(scale, seed=0):
    """A picture with edges at all angles, and the same made smaller."""
    torch.manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    waves = [torch.sin(a * rows + b * columns + c) for a, b, c in torch.rand(12, 3) - 0.5]
    picture = torch.sign(torch.stack(waves).sum(dim=0))[None, None]
    return picture, F.interpolate(picture, scale_factor=1 / scale, mode="bicubic", antialias=True)


def test_bilinear_is_without_aligned_corners():
    assert_close(resize(torch.tensor([[[[0.0, 1.0]]]]), 1, 4).flatten(), torch.tensor([0.0, 0.25, 0.75, 1.0]))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sharp_is_nearer_to_the_truth_than_bicubic_and_that_than_bilinear(scale):
    picture, small = reduced(scale)
    errors = [(resize(small, 96, 96, how) - picture).square().mean() for how in ("bilinear", "bicubic", "sharp")]
    assert errors[0] > errors[1] > errors[2]


def test_sharp_leaves_flat_pictures_and_their_brightness_alone():
    assert_close(resize(torch.full((1, 3, 5, 7), 0.3), 20, 28, "sharp"), torch.full((1, 3, 20, 28), 0.3))


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "sharp"])
def test_a_picture_of_the_size_asked_for_comes_back_as_it_is(how):
    picture, _ = reduced(1)
    assert_close(resize(picture, 96, 96, how), picture)
