"""The best shift is found, forgiven once, and no more than 3 pixels."""

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.registry import metric_named, score
from venhancer.evaluation.metrics.shifts import aligned, best_shift

WIDE = np.random.default_rng(0).integers(0, 256, (4, 60, 70, 3), dtype=np.uint8)


def window(down: int, across: int) -> np.ndarray:
    return WIDE[:, 5 + down : 45 + down, 6 + across : 56 + across]


@pytest.mark.parametrize(("down", "across"), [(0, 0), (3, -2), (-1, 3), (-3, -3)])
def test_a_moved_clip_is_found_and_scores_as_if_it_were_not(down, across):
    result, truth = window(0, 0), window(down, across)
    assert best_shift(result, truth) == (down, across)
    moved, true = aligned(result, truth)
    assert (moved == true).all()
    assert moved.shape == (4, 40 - abs(down), 50 - abs(across), 3)
    found = score(Subject(result=result, reference=truth), ["psnr", "psnr_shifted", "ssim_shifted"])
    assert found["psnr_shifted"] == 100
    assert found["ssim_shifted"] == pytest.approx(1)
    assert found["psnr"] == 100 if (down, across) == (0, 0) else found["psnr"] < 15


def test_more_than_three_pixels_are_not_forgiven():
    found = score(Subject(result=window(0, 0), reference=window(4, 0)), ["psnr_shifted"])
    assert found["psnr_shifted"] < 15


def test_equal_errors_are_settled_for_no_shift():
    flat = np.full((2, 40, 40, 3), 7, np.uint8)
    assert best_shift(flat, flat) == (0, 0)
    assert best_shift(flat[:, :12], flat[:, :12]) == (0, 0)


def test_only_what_compares_with_the_truth_has_a_best_shift():
    shifted = metric_named("lpips_shifted")
    assert (shifted.label, shifted.weights_key, shifted.needs_weights) == ("lpips_shifted.1", "lpips", True)
    with pytest.raises(SettingsError, match="unknown metric niqe_shifted"):
        metric_named("niqe_shifted")
