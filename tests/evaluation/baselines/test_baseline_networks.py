"""Chains ask for exact times and keep key frames; networks are stood in for by functions of the same signature."""

from fractions import Fraction

import numpy as np
import pytest

from venhancer.errors import SettingsError
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.baselines.chains import CHAINS
from venhancer.evaluation.baselines.networks import load_ncnn, upscale_then_interpolate


def grey(*values: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def test_chain_asks_for_exact_times_and_keeps_key_frames():
    times = []

    def between(first, second, time):
        times.append(time)
        return (1 - time) * first + time * second

    def upscale(frame):
        return frame.repeat(4, axis=0).repeat(4, axis=1)

    request = Request(key_frames=grey(0, 30, 90), rate=Fraction(8), scale=4, factor=3)
    made = upscale_then_interpolate(upscale, between)(request)
    assert made[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 50, 70, 90]
    assert times == pytest.approx([1 / 3, 2 / 3] * 2)


@pytest.mark.parametrize(("scale", "calls"), [(1, 0), (2, 3)])
def test_another_scale_than_the_networks_is_reached_by_resizing(scale, calls):
    seen = []

    def upscale(frame):
        seen.append(frame)
        return frame.repeat(4, axis=0).repeat(4, axis=1)

    request = Request(key_frames=grey(10, 20, 30), rate=Fraction(8), scale=scale, factor=1)
    made = upscale_then_interpolate(upscale, lambda first, _second, _time: first)(request)
    assert made.shape == (3, 2 * scale, 2 * scale, 3)
    assert (made[:, 0, 0, 0].tolist(), len(seen)) == ([10, 20, 30], calls)


def test_a_missing_program_is_named(monkeypatch, tmp_path):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("venhancer.evaluation.baselines.networks.import_module", missing)
    with pytest.raises(SettingsError, match=r"spanx4_ch48 needs ncnn: run pip install 'venhancer\[evaluate\]'"):
        load_ncnn(tmp_path, "spanx4_ch48")


def test_every_chain_names_its_packages_with_versions():
    assert all("==" in package for chain in CHAINS.values() for package in chain.packages)
