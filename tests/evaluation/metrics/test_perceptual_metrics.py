"""Perceptual distances: the published network's numbers, and what any distance must do."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from venhancer.evaluation.metrics.st_lpips import load_st_lpips, st_lpips

HAS_WEIGHTS = pytest.mark.skipif(find_spec("stlpips_pytorch") is None, reason="stlpips-pytorch is not installed")
SHIFTED = {(64, 64): 0.0048117, (97, 131): 0.0036848}
"""The program of `stlpips-pytorch` 0.0.2 on `noise` of a size and the mean of it and its neighbour to the left."""


def noise(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((1, 3, height, width))).float()


@HAS_WEIGHTS
@pytest.mark.parametrize("size", SHIFTED, ids=str)
def test_st_lpips_is_the_published_programs(size):
    picture = noise(*size)
    blurred = (picture + torch.roll(picture, 1, 3)) / 2
    assert float(load_st_lpips()(picture, blurred)) == pytest.approx(SHIFTED[size], rel=1e-4)


@HAS_WEIGHTS
def test_st_lpips_is_zero_for_itself_and_grows_with_blur():
    clip = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    blurred = ((clip.astype(int) + np.roll(clip, 1, axis=2)) // 2).astype(np.uint8)
    assert st_lpips(clip, clip) == 0
    assert st_lpips(blurred, clip) > 0.001
