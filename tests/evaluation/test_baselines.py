"""Baselines give the frames asked for, in place; networks are stood in for by functions of the same signature."""

import numpy as np
import pytest

from venhancer.evaluation.baselines import bicubic_repeat, lanczos_minterpolate, upscale_then_interpolate


def ramp(frames: int) -> np.ndarray:
    """A soft bright spot that moves two pixels a frame."""
    rows, columns = np.mgrid[:32, :48]
    spots = [200 * np.exp(-((rows - 16) ** 2 + (columns - 12 - 2 * n) ** 2) / 30) for n in range(frames)]
    return np.repeat(np.stack(spots).astype(np.uint8)[..., None], 3, axis=-1)


def spot_column(frame: np.ndarray) -> float:
    """Where the spot is, across, in pixels of the frame."""
    weights = frame[..., 0].astype(float) ** 2
    return float((weights.sum(axis=0) * (np.arange(frame.shape[1]) + 0.5)).sum() / weights.sum())


def test_bicubic_repeat_holds_each_key_frame():
    pytest.importorskip("PIL")
    made = bicubic_repeat(ramp(3), 2, 3)
    assert made.shape == (7, 64, 96, 3)
    np.testing.assert_array_equal(made[0], made[2])
    np.testing.assert_array_equal(made[3], made[5])
    assert spot_column(made[6]) == pytest.approx(2 * (12.5 + 4), abs=0.1)


def test_minterpolate_moves_the_spot_evenly_to_the_end():
    pytest.importorskip("imageio_ffmpeg")
    made = lanczos_minterpolate(ramp(5), 2, 2)
    assert made.shape == (9, 64, 96, 3)
    for number in (0, 2, 4, 6, 8):  # key frames stay where they are
        assert spot_column(made[number]) == pytest.approx(2 * (12.5 + number), abs=0.2)
    for number in (3, 5, 7):
        assert spot_column(made[number - 1]) < spot_column(made[number]) < spot_column(made[number + 1])


def test_chain_asks_for_exact_times_and_keeps_key_frames():
    times = []

    def between(first, second, time):
        times.append(time)
        return (1 - time) * first + time * second

    def upscale(frame):
        return frame.repeat(4, axis=0).repeat(4, axis=1)

    clip = np.stack([np.full((2, 2, 3), value, np.uint8) for value in (0, 30, 90)])
    made = upscale_then_interpolate(upscale, between)(clip, 4, 3)
    assert made[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 50, 70, 90]
    assert times == pytest.approx([1 / 3, 2 / 3] * 2)


def test_chain_refuses_a_scale_the_network_does_not_have():
    with pytest.raises(ValueError, match="by 4, not 2"):
        upscale_then_interpolate(lambda frame: frame, lambda first, _second, _time: first)(ramp(2), 2, 2)
