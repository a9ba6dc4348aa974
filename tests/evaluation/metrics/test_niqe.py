"""NIQE: the published program's number, and what it cannot measure."""

import numpy as np
import pytest

from venhancer.evaluation.metrics.niqe import niqe, niqe_of_frame


def picture(height: int = 200, width: int = 300) -> np.ndarray:
    """Noise, each pixel averaged with three neighbours."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    shifts = ((0, 0), (1, 0), (0, 1), (1, 1))
    return (sum(np.roll(noise, shift, (0, 1)) for shift in shifts) // 4).astype(np.uint8)


def test_niqe_is_the_published_programs():
    """basicsr 1.4.2 gives 9.83045; it computes in 32 bits in part, which its grid of shapes makes visible."""
    assert niqe_of_frame(picture()) == pytest.approx(9.83045, rel=2e-3)


def test_niqe_of_a_clip_is_the_mean_over_frames():
    clip = np.stack([picture(), 255 - picture()])
    assert niqe(clip) == pytest.approx((niqe_of_frame(clip[0]) + niqe_of_frame(clip[1])) / 2)


@pytest.mark.parametrize("frame", [picture(150, 150), np.zeros((200, 300, 3), np.uint8)], ids=["one square", "flat"])
def test_niqe_of_too_little_is_no_number(frame):
    assert np.isnan(niqe_of_frame(frame))
