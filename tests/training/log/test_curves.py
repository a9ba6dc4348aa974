"""Curves out of logs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from venhancer.errors import InputError, SettingsError
from venhancer.training.log.curves import SMOOTHED_OVER, draw_curves, smoothed
from venhancer.training.log.file import append_line


def write_run(folder: Path, height: float) -> Path:
    folder.mkdir(parents=True)
    for step in range(10, 400, 10):
        value = height / step
        terms = {"denoising": value, "pixels": 2 * value}
        buckets = {"denoising": {"0-99": value, "900-999": 3 * value}, "pixels": {"800-899": 2 * value}}
        append_line(folder, {"step": step, "loss": value, "terms": terms, "by_timestep": buckets})
        if step % 100 == 0:
            append_line(folder, {"step": step, "validation": {"loss": value, "psnr": 20 + step / 100}})
    return folder


def colours(picture: Path) -> set[tuple[int, ...]]:
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB")).reshape(-1, 3)
    return {tuple(int(value) for value in pixel) for pixel in np.unique(pixels, axis=0)}


def test_each_run_has_its_colour(tmp_path):
    runs = [write_run(tmp_path / name, height) for name, height in (("a", 10.0), ("b", 20.0))]
    blue, orange = (31, 119, 180), (255, 127, 14)
    draw_curves(runs, tmp_path / "both.png")
    draw_curves(runs[:1], tmp_path / "one.png")
    assert {blue, orange} <= colours(tmp_path / "both.png")
    assert orange not in colours(tmp_path / "one.png")


def test_a_run_that_was_never_validated_has_curves(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    append_line(run, {"step": 1, "loss": 0.5, "terms": {"denoising": 0.5}, "by_timestep": {"denoising": {"0-99": 1}}})
    draw_curves([run], tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1200, 800)


def test_smoothing_keeps_slopes_and_ends_and_evens_out_the_rest():
    slope = np.arange(100.0)
    assert smoothed(list(slope)) == pytest.approx(slope)
    uneven = smoothed([0.0, 1.0] * 50)
    assert (uneven[0], uneven[-1]) == (0, 1)
    assert uneven[50] == pytest.approx(0.5, abs=1 / SMOOTHED_OVER)


def test_what_is_no_run_or_no_png_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no log.jsonl"):
        draw_curves([tmp_path], tmp_path / "curves.png")
    append_line(tmp_path, {"step": 3, "validation": {"loss": 1.0, "psnr": 20.0}})
    with pytest.raises(InputError, match=r"no training line in its log yet"):
        draw_curves([tmp_path], tmp_path / "curves.png")
    with pytest.raises(SettingsError, match=r"curves.jpg is not a \.png file; pass one, such as --output curves\.png"):
        draw_curves([tmp_path], tmp_path / "curves.jpg")
