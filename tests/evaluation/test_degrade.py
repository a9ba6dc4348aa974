"""Degraded inputs are exact: which frames, which pixels, what is refused."""

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.degrade import Degradation, compress, degrade, resize


def numbered(frames: int, height: int = 8, width: int = 12) -> np.ndarray:
    """A clip whose frame n is of value n."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, height, width, 3)).copy()


@pytest.mark.parametrize("kernel", ["area", "bicubic"])
def test_kept_frames_are_every_third_and_the_last(kernel):
    small = degrade(numbered(13), scale=4, keep_every=3, kernel=kernel)
    assert small.shape == (5, 2, 3, 3)
    assert small[:, 0, 0, 0].tolist() == [0, 3, 6, 9, 12]
    assert (small == small[:, :1, :1]).all()


def test_area_is_the_rounded_mean_of_each_square():
    clip = np.random.default_rng(0).integers(0, 256, (1, 4, 8, 3), dtype=np.uint8)
    small = degrade(clip, scale=4, keep_every=1, kernel="area")
    for column in range(2):
        expected = np.floor(clip[0, :, 4 * column : 4 * column + 4].mean(axis=(0, 1)) + 0.5)
        np.testing.assert_array_equal(small[0, 0, column], expected)


def test_bicubic_does_not_alias():
    """Stripes of one pixel vanish into grey, where plain cubic sampling would keep them."""
    clip = np.zeros((1, 16, 64, 3), np.uint8)
    clip[:, :, ::2] = 200
    small = degrade(clip, scale=4, keep_every=1)
    assert np.abs(small[:, :, 2:-2].astype(int) - 100).max() <= 1


def test_resize_keeps_the_centre_where_it_was():
    """Enlarging a symmetric picture gives a symmetric one: no half-pixel shift."""
    clip = np.zeros((1, 4, 4, 3), np.uint8)
    clip[:, 1:3, 1:3] = 255
    large = resize(clip, 16, 16, "lanczos")
    np.testing.assert_array_equal(large, large[:, ::-1, ::-1])


@pytest.mark.parametrize(
    ("frames", "height", "width", "message"), [(4, 9, 12, "12x9"), (4, 8, 13, "13x8"), (6, 8, 12, "6 frames")]
)
def test_sizes_that_do_not_divide_are_refused(frames, height, width, message):
    with pytest.raises(ValueError, match=message):
        degrade(numbered(frames, height, width), scale=4, keep_every=3)


def test_noise_is_as_strong_as_asked_and_the_same_again():
    clip = np.full((3, 64, 64, 3), 128, np.uint8)
    degradation = Degradation(scale=1, factor=1, noise=10)
    noisy = degradation.apply(clip)
    assert noisy.astype(float).std() == pytest.approx(10, rel=0.05)
    np.testing.assert_array_equal(noisy, degradation.apply(clip))


def test_compression_loses_more_at_a_higher_crf():
    clip = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
    losses = [np.abs(compress(clip, crf).astype(int) - clip).mean() for crf in (10, 45)]
    assert compress(clip, 10).shape == clip.shape
    assert losses[0] < losses[1]


def test_degradation_is_frames_then_size():
    degradation = Degradation(scale=4, factor=3, kernel="area", crf=20)
    assert degradation.apply(numbered(7, 16, 24)).shape == (3, 4, 6, 3)
    assert degradation.changes_anything
    assert not Degradation(scale=1, factor=1).changes_anything


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 9}, "scale 9 and temporal factor 3 must both be whole numbers from 1 to 8"),
        ({"noise": -1.0}, "noise -1 is out of bounds"),
        ({"crf": 60}, "crf 60 is out of bounds"),
    ],
)
def test_wrong_degradations_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        Degradation(**{"scale": 4, "factor": 3, **values})
