"""ColorVideoVDP knows the truth, and sees a blur and a grid."""

import numpy as np
import pytest

from venhancer.evaluation.metrics.cvvdp import cvvdp


def test_cvvdp_knows_the_truth_and_sees_a_grid():
    pytest.importorskip("pycvvdp")
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3))
    smooth = sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (1, 2)) // 8
    clip = np.concatenate([np.roll(smooth, 2 * n, axis=2) for n in range(4)]).astype(np.uint8)
    dotted = (clip + 12 * (np.arange(96) % 4 == 0)[:, None]).astype(np.uint8)
    assert cvvdp(clip, clip) == pytest.approx(10, abs=0.01)
    assert cvvdp(dotted, clip) < 9.5
