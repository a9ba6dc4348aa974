"""Metrics of motion on clips whose movement is known to the pixel."""

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.metrics.motion import find_motion, warp
from venhancer.evaluation.metrics.temporal_flicker import temporal_flicker
from venhancer.evaluation.metrics.vbench_flicker import vbench_flicker
from venhancer.evaluation.metrics.warped_error import warped_error


def texture(height: int = 64, width: int = 96) -> np.ndarray:
    """A smooth random picture, wrapped around at its edges."""
    noise = np.random.default_rng(0).normal(size=(height, width))
    spectrum = np.fft.fft2(noise) * np.exp(-((np.fft.fftfreq(height)[:, None] ** 2 + np.fft.fftfreq(width) ** 2) * 200))
    smooth = np.fft.ifft2(spectrum).real
    return np.repeat((127 + 50 * smooth / smooth.std()).clip(0, 250).astype(np.uint8)[..., None], 3, axis=-1)


def panning(frames: int = 5, step: int = 2) -> np.ndarray:
    """A camera that moves by `step` pixels a frame over a larger picture."""
    wide = texture(64, 160)
    return np.stack([wide[:, step * n : step * n + 96] for n in range(frames)])


def test_motion_of_a_camera_move_is_found():
    first, second = panning(2, step=3)
    motion = find_motion(first, second)
    inside = motion.flow[8:-8, 8:-8]
    assert np.median(inside[..., 0]) == pytest.approx(-3, abs=0.1)
    assert np.median(inside[..., 1]) == pytest.approx(0, abs=0.1)
    assert motion.is_known[8:-8, 8:-8].mean() > 0.9
    assert not motion.is_known[:, 0].any()  # what was there has left the picture


def test_warping_by_whole_pixels_is_exact():
    first, second = panning(2, step=3)
    flow = np.zeros((64, 96, 2), np.float32)
    flow[..., 0] = -3
    np.testing.assert_array_equal(warp(second, flow)[:, 3:], first[:, 3:])


def test_hidden_pixels_are_left_out():
    """A block that moves hides what lay before it: there the way back leads elsewhere."""
    frames = np.repeat(texture(96, 128)[None], 2, axis=0)
    frames[0, 20:60, 20:60] = frames[1, 20:60, 28:68] = 255 - texture(96, 128)[40:80, 10:50]
    motion = find_motion(frames[0], frames[1])
    assert motion.is_known[22:58, 61:67].mean() < 0.2
    assert motion.is_known[26:54, 26:54].mean() > 0.95
    assert motion.is_known[4:14].mean() > 0.95


def test_smooth_motion_costs_little_and_noise_its_power():
    clip = panning()
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 8, clip.shape)
    noisy = (clip + noise).clip(0, 255).astype(np.uint8)
    assert warped_error(clip, clip) < 0.1
    expected = 2 * (8 / 255) ** 2 * 1000  # of two independent frames, one of them blurred a little by the warp
    assert 0.4 * expected < warped_error(noisy, clip) < 1.1 * expected


def test_repeating_frames_is_an_error_along_the_motion():
    clip = panning(7, step=4)
    held = np.repeat(clip[::3], 3, axis=0)[:7]
    assert warped_error(held, clip) > 10 * warped_error(clip, clip)
    assert warped_error(np.repeat(clip[:1], 4, axis=0)) == 0  # but it excuses itself where it is its own guide


def test_flicker_is_blind_to_motion_and_to_a_fade():
    clip = panning()
    fade = (clip // 2 + 10 * np.arange(5)[:, None, None, None]).astype(np.uint8)
    assert temporal_flicker(clip, clip) < 1
    assert temporal_flicker(fade, clip) < 1


def test_flicker_of_alternating_brightness_is_its_height():
    clip = panning() // 2
    flashing = clip + (10 * (np.arange(5) % 2))[:, None, None, None].astype(np.uint8)
    assert temporal_flicker(flashing, clip) == pytest.approx(10, abs=1)


def test_flicker_of_a_short_clip_is_zero():
    assert temporal_flicker(panning(2)) == 0
    assert warped_error(panning(1)) == 0


def test_vbench_flicker_is_its_formula():
    clip = np.zeros((3, 16, 16, 3), np.uint8) + np.array([0, 51, 51], np.uint8)[:, None, None, None]
    assert vbench_flicker(clip) == pytest.approx(1 - 0.1)
    assert vbench_flicker(clip[:1]) == 1


def test_frames_too_small_for_flow_are_refused():
    with pytest.raises(SettingsError, match="motion cannot be measured on frames of 8x8"):
        find_motion(*np.zeros((2, 8, 8, 3), np.uint8))
