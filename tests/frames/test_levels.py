"""Every level comes back as itself, in 8 bits and in 16."""

import numpy as np
import pytest
import torch

from venhancer.frames.levels import to_levels, to_pixels


@pytest.mark.parametrize(("dtype", "depth"), [(np.uint8, 8), (np.uint16, 10), (np.uint16, 16)])
def test_every_level_comes_back(dtype, depth):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1).repeat(3, 2)
    pixels = to_pixels(levels, torch.device("cpu"))
    assert (pixels.min(), pixels.max()) == (-1, 1)
    assert np.array_equal(to_levels(pixels, depth), levels)
    assert to_levels(3 * pixels, depth).max() == np.iinfo(dtype).max
