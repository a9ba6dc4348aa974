"""Baselines without networks give the frames requested, in place."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import JobFailed
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.baselines.resizing import bicubic_repeat, lanczos_blend, lanczos_minterpolate


def ramp(frames: int) -> np.ndarray:
    """A soft bright spot that moves two pixels a frame."""
    rows, columns = np.mgrid[:32, :48]
    spots = [200 * np.exp(-((rows - 16) ** 2 + (columns - 12 - 2 * n) ** 2) / 30) for n in range(frames)]
    return np.repeat(np.stack(spots).astype(np.uint8)[..., None], 3, axis=-1)


def request(frames: int, scale: int, factor: int) -> Request:
    return Request(key_frames=ramp(frames), rate=Fraction(8), scale=scale, factor=factor)


def spot_column(frame: np.ndarray) -> float:
    """Where the spot is, across, in pixels of the frame."""
    weights = frame[..., 0].astype(float) ** 2
    return float((weights.sum(axis=0) * (np.arange(frame.shape[1]) + 0.5)).sum() / weights.sum())


def test_bicubic_repeat_holds_each_key_frame():
    made = bicubic_repeat(request(3, 2, 3))
    assert made.shape == (7, 64, 96, 3)
    np.testing.assert_array_equal(made[0], made[2])
    np.testing.assert_array_equal(made[3], made[5])
    assert spot_column(made[6]) == pytest.approx(2 * (12.5 + 4), abs=0.1)


def test_lanczos_blend_weighs_the_two_key_frames_around():
    made = lanczos_blend(request(3, 2, 3)).astype(int)
    assert made.shape == (7, 64, 96, 3)
    assert np.abs(made[1] - (2 * made[0] + made[3]) / 3).max() <= 1
    assert np.abs(made[5] - (made[3] + 2 * made[6]) / 3).max() <= 1


@pytest.mark.parametrize("baseline", [bicubic_repeat, lanczos_blend])
def test_nothing_asked_for_is_nothing_done(baseline):
    np.testing.assert_array_equal(baseline(request(3, 1, 1)), ramp(3))


def test_minterpolate_moves_the_spot_evenly_to_the_end():
    pytest.importorskip("imageio_ffmpeg")
    made = lanczos_minterpolate(request(5, 2, 2))
    assert made.shape == (9, 64, 96, 3)
    for number in (0, 2, 4, 6, 8):  # key frames stay where they are
        assert spot_column(made[number]) == pytest.approx(2 * (12.5 + number), abs=0.2)
    for number in (3, 5, 7):
        assert spot_column(made[number - 1]) < spot_column(made[number]) < spot_column(made[number + 1])


def test_a_job_says_what_it_wants_and_cuts_a_tail():
    wanted = request(3, 2, 3)
    assert (wanted.frames, wanted.height, wanted.width) == (7, 64, 96)
    made = np.zeros((9, 64, 96, 3), np.uint8)
    assert wanted.check(made).shape == (7, 64, 96, 3)
    assert wanted.check(made[:7]).shape == (7, 64, 96, 3)


@pytest.mark.parametrize("shape", [(8, 64, 96, 3), (7, 64, 98, 3), (5, 64, 96, 3)], ids=str)
def test_output_of_another_size_is_refused(shape):
    with pytest.raises(JobFailed, match=r"it made \d frames of \d+x64, not 7 frames of 96x64"):
        request(3, 2, 3).check(np.zeros(shape, np.uint8))
