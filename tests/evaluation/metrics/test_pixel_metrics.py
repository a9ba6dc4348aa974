"""Metrics of pixels, on clips whose answer is known."""

import numpy as np
import pytest

from venhancer.evaluation.metrics.frame_difference_error import frame_difference_error
from venhancer.evaluation.metrics.input_ssim import input_ssim
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.patch_grid import patch_grid
from venhancer.evaluation.metrics.psnr import psnr
from venhancer.evaluation.metrics.registry import metric_named, score
from venhancer.evaluation.metrics.sharpness import sharpness
from venhancer.evaluation.metrics.ssim import ssim
from venhancer.evaluation.metrics.stray_colour import stray_colour


@pytest.fixture
def clip() -> np.ndarray:
    """Smooth noise, so that blurring it matters."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 3))
    return ((noise + np.roll(noise, 1, axis=1) + np.roll(noise, 1, axis=2)) // 3).astype(np.uint8)


@pytest.mark.parametrize("error", [1, 5, 51])
def test_psnr_of_a_constant_error_is_its_decibels(error):
    reference = np.full((3, 8, 8, 3), 100, np.uint8)
    assert psnr(reference + np.uint8(error), reference) == pytest.approx(20 * np.log10(255 / error))


def test_psnr_is_the_mean_over_frames_not_of_the_pooled_error():
    reference = np.full((2, 8, 8, 3), 100, np.uint8)
    result = reference + np.array([1, 10], np.uint8)[:, None, None, None]
    assert psnr(result, reference) == pytest.approx(20 * np.log10(255) - 10)


def test_psnr_of_identical_frames_is_finite(clip):
    assert psnr(clip, clip) == 100


def test_ssim_of_itself_is_one(clip):
    assert ssim(clip, clip) == pytest.approx(1)


def test_ssim_of_constants_follows_its_formula():
    """Without contrast only the term of the means is left: (2ab + c) / (a^2 + b^2 + c)."""
    a, b, c = 60, 120, (0.01 * 255) ** 2
    result, reference = (np.full((1, 16, 16, 3), value, np.uint8) for value in (a, b))
    assert ssim(result, reference) == pytest.approx((2 * a * b + c) / (a**2 + b**2 + c))


def test_ssim_of_the_negative_is_below_zero(clip):
    assert ssim(255 - clip, clip) < 0


def test_frame_difference_error_ignores_a_constant_offset(clip):
    reference = clip // 2
    assert frame_difference_error(reference + np.uint8(20), reference) == 0


def test_frame_difference_error_of_a_frozen_result_is_the_motion_missed():
    reference = np.zeros((3, 8, 8, 3), np.uint8) + np.array([0, 10, 40], np.uint8)[:, None, None, None]
    assert frame_difference_error(np.zeros_like(reference), reference) == pytest.approx(20)


def test_sharpness_is_one_for_the_reference_and_less_for_a_blur(clip):
    blurred = ((clip.astype(int) + np.roll(clip, 1, axis=2)) // 2).astype(np.uint8)
    assert sharpness(clip, clip) == 1
    assert sharpness(blurred, clip) < 0.95


@pytest.mark.parametrize("name", ["psnr", "ssim", "frame_difference_error", "sharpness"])
def test_direction_of_each_metric_is_true(name, clip):
    """A blurred clip that stands still is worse than the reference itself by all of them."""
    worse = np.repeat(((clip.astype(int) + np.roll(clip, 2, axis=1)) // 2).astype(np.uint8)[:1], len(clip), axis=0)
    itself, scored = (score(Subject(result=result, reference=clip), [name])[name] for result in (clip, worse))
    assert (itself > scored) == metric_named(name).higher_is_better


def test_input_ssim_looks_at_key_frames_only_at_the_inputs_size():
    source = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    result = np.zeros((5, 32, 48, 3), np.uint8)
    result[::2] = source.repeat(2, axis=1).repeat(2, axis=2)
    result[1::2] = 255 - result[:-1:2]
    assert input_ssim(result, source, 2) > 0.9
    assert input_ssim(result[1:2], source[:1], 2) < 0
    assert input_ssim(source, source, 1) == pytest.approx(1)


def test_a_grid_of_patches_is_seen_and_a_picture_without_one_is_not(clip):
    smooth = sum(np.roll(clip.astype(int), shift, axis=2) for shift in range(4)) // 4
    assert patch_grid(smooth.astype(np.uint8), 1) == pytest.approx(1, abs=0.1)
    dotted = smooth + 12 * (np.arange(32) // 4 % 2)[:, None]
    assert patch_grid(dotted.clip(0, 255).astype(np.uint8), 1) > 1.5


def test_grid_is_that_of_key_frames():
    flat = np.full((4, 8, 16, 3), 100, np.uint8)
    flat[1::2] += (np.arange(16) // 4 % 2 * 20).astype(np.uint8)[:, None]
    assert patch_grid(flat, 2) == 0
    assert patch_grid(flat, 1) > 10


def test_colour_counts_where_the_truth_is_grey():
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    truth[:, :4] = (200, 50, 50)
    tinted = truth + np.array([0, 3, 0], np.uint8)
    assert stray_colour(tinted, truth) == 3
    assert stray_colour(truth, truth) == 0
    assert stray_colour(truth, truth[:, :4].repeat(2, axis=1)) == 0
