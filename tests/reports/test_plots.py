"""Plots show every value where it belongs."""

import sys

import numpy as np
import pytest
from PIL import ImageColor

from venhancer.errors import SettingsError
from venhancer.reports.plots import COLOURS, PALE, bar_plot, line_plot


def places(picture, colour):
    return np.argwhere((picture == np.array(ImageColor.getrgb(colour), dtype=np.uint8)).all(axis=-1))


def test_a_line_rises_with_its_values():
    picture = line_plot({"psnr": [(0, 30), (100, 31), (200, 33)]}, title="Noise", across="noise", upward="dB")
    assert picture.shape == (340, 560, 3)
    found = places(picture, COLOURS[0])
    left, right = found[found[:, 1].argmin()], found[found[:, 1].argmax()]
    assert left[0] > right[0] + 100


def test_every_line_has_its_colour_and_a_place_in_the_legend():
    one, other = [(0, 1), (1, 2)], [(0, 2), (1, 1)]
    both = line_plot({"one": one, "other": other})
    assert len(places(both, COLOURS[0])) > 100
    assert len(places(both, COLOURS[1])) > 100
    assert len(places(line_plot({"one": one}), COLOURS[1])) == 0


def test_points_without_a_number_are_left_out():
    whole = line_plot({"loss": [(0, 1), (2, 3)]})
    np.testing.assert_array_equal(line_plot({"loss": [(0, 1), (1, float("nan")), (2, 3)]}), whole)
    with pytest.raises(ValueError, match="needs points"):
        line_plot({"loss": [(0, float("inf"))]})


@pytest.mark.parametrize("points", [[(3, 5)], [(0, 0), (1, 0)], [(0, 1e-7), (1, 2e-7)], [(0, -5e6), (1, 9e6)]])
def test_odd_ranges_are_drawn(points):
    assert len(places(line_plot({"line": points}), COLOURS[0])) > 10


def test_bars_are_as_long_as_their_values():
    picture = bar_plot({"half": 1.0, "whole": 2.0, "truth": 2.0, "failed": float("nan")}, pale=["truth"])
    blue, pale = places(picture, COLOURS[0]), places(picture, PALE)
    lengths = [int(count) for count in np.bincount(blue[:, 0]) if count > 2]
    middle = len(lengths) // 2
    assert max(lengths[: middle - 2]) == pytest.approx(max(lengths[middle:]) / 2, abs=2)
    assert pale[:, 1].max() == blue[:, 1].max()


def test_bars_below_zero_point_the_other_way():
    found = places(bar_plot({"less": -1.0, "more": 1.0}), COLOURS[0])
    upper, lower = found[found[:, 0] < found[:, 0].mean()], found[found[:, 0] > found[:, 0].mean()]
    assert upper[:, 1].max() <= lower[:, 1].min() + 1


def test_no_bars_are_refused():
    with pytest.raises(ValueError, match="needs bars"):
        bar_plot({})


def test_without_matplotlib_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(SettingsError, match=r"plots need matplotlib.*venhancer\[evaluate\]"):
        bar_plot({"one": 1.0})
