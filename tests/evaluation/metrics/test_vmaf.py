"""VMAF runs offline: near 100 for the truth, lower for a blur, and says what fails."""

import numpy as np
import pytest

from venhancer.evaluation.metrics.vmaf import vmaf


@pytest.fixture
def clip() -> np.ndarray:
    pytest.importorskip("imageio_ffmpeg")
    noise = np.random.default_rng(0).integers(0, 256, (1, 144, 176, 3))
    smooth = sum(np.roll(noise, shift, axis) for shift in range(4) for axis in (1, 2)) // 8
    return np.concatenate([np.roll(smooth, 2 * n, axis=2) for n in range(3)]).astype(np.uint8)


def test_vmaf_knows_the_truth_and_a_blur(clip):
    blurred = (sum(np.roll(clip.astype(int), shift, axis=2) for shift in range(5)) // 5).astype(np.uint8)
    assert vmaf(clip, clip) > 95
    assert vmaf(blurred, clip) < vmaf(clip, clip) - 20
