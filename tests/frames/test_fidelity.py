"""What a result owes its input."""

import torch
import torch.nn.functional as F
from torch.testing import assert_close

from venhancer.frames.enlarging import resize
from venhancer.frames.fidelity import consistency_of, faithful


def shrunk(picture, source):
    return F.interpolate(picture[None], size=source.shape[-2:], mode="bicubic", antialias=True)[0]


def wrong(source, seed=1):
    """What a bad network might make of an input, at three times its size."""
    generator = torch.Generator().manual_seed(seed)
    height, width = (3 * side for side in source.shape[-2:])
    enlarged = resize(source[None], height, width, "sharp")[0]
    return enlarged + 0.1 * F.avg_pool2d(torch.randn(3, height, width, generator=generator), 3, 1, 1)


def colourful(seed=0):
    return torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_result_made_small_again_is_nearer_to_the_input_the_more_consistency_is_asked_for():
    source = colourful()
    astray = [
        float((shrunk(faithful(wrong(source), source, "sharp", consistency), source) - source).abs().mean())
        for consistency in (0, 0.5, 1)
    ]
    assert astray[0] > 1.5 * astray[1] > 2 * astray[2]


def test_grey_stays_grey_whatever_was_made_of_it():
    source = colourful().mean(dim=0, keepdim=True).expand(3, -1, -1)
    picture = faithful(wrong(source), source, "sharp", 1)
    assert_close(picture, picture.mean(dim=0, keepdim=True).expand(3, -1, -1), atol=1e-6, rtol=0)
    assert (picture - resize(source[None], 36, 48, "sharp")[0]).abs().mean() > 0.01


def test_colour_may_change_where_there_is_colour():
    source = colourful()
    change = wrong(source) - resize(source[None], 36, 48, "sharp")[0]
    assert_close(
        faithful(wrong(source), source, "sharp", 0),
        change + resize(source[None], 36, 48, "sharp")[0],
        atol=2e-3,
        rtol=0,
    )


def test_consistency_falls_with_the_noise_augmentation_and_ends_at_none():
    strengths = [consistency_of(noise, 0.8) for noise in (0, 75, 150, 225, 300)]
    assert (strengths[0], strengths[-1]) == (0.8, 0)
    assert strengths == sorted(strengths, reverse=True)
