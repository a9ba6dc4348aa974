"""Degraded inputs are exact: which frames, which pixels, what is refused."""

import numpy as np
import pytest

from venhancer.evaluation.degrade import degrade, resize


def numbered(frames: int, height: int = 8, width: int = 12) -> np.ndarray:
    """A clip whose frame n is of value n."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, height, width, 3)).copy()


@pytest.mark.parametrize("kernel", ["area", "bicubic"])
def test_kept_frames_are_every_third_and_the_last(kernel):
    if kernel == "bicubic":
        pytest.importorskip("PIL")
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
    pytest.importorskip("PIL")
    clip = np.zeros((1, 16, 64, 3), np.uint8)
    clip[:, :, ::2] = 200
    small = degrade(clip, scale=4, keep_every=1)
    assert np.abs(small[:, :, 2:-2].astype(int) - 100).max() <= 1


def test_resize_keeps_the_centre_where_it_was():
    """Enlarging a symmetric picture gives a symmetric one: no half-pixel shift."""
    pytest.importorskip("PIL")
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
