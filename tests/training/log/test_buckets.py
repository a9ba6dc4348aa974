"""Losses by timestep and by the factors of the augmentation."""

import doctest
import json

import pytest

from venhancer.training.log import buckets
from venhancer.training.log.buckets import (
    ClipLoss,
    RunningMeans,
    factor_bucket,
    factor_label,
    key_frame_gap,
    timestep_bucket,
    timestep_label,
)


def clip(timestep: int = 0, m: int = 1, s: float = 1.0, loss: float = 1.0, objective: str = "denoising") -> ClipLoss:
    return ClipLoss(objective, timestep, m, s, loss)


def by_timestep(window: int = 3) -> RunningMeans:
    return RunningMeans(window, timestep_bucket, timestep_label)


def test_examples_hold():
    assert doctest.testmod(buckets).failed == 0


@pytest.mark.parametrize(
    ("timestep", "label"), [(0, "0-99"), (99, "0-99"), (100, "100-199"), (899, "800-899"), (999, "900-999")]
)
def test_every_timestep_has_its_bucket(timestep, label):
    assert timestep_label(timestep_bucket(clip(timestep))) == label


@pytest.mark.parametrize(
    ("s", "label"), [(1, "1-2"), (1.99, "1-2"), (2, "2-4"), (4, "4-6"), (5.5, "4-6"), (6, "6-8"), (8, "6-8")]
)
def test_every_scale_has_its_bucket(s, label):
    assert factor_label(factor_bucket(clip(m=5, s=s))) == f"m=5 s={label}"


def test_a_mean_is_over_the_last_clips_of_its_own_bucket():
    means = by_timestep(window=3)
    means.add([clip(50, loss=loss) for loss in (100, 1, 2, 3)])
    means.add([clip(950, loss=7), clip(50, loss=9, objective="pixels")])
    assert means.means() == {"denoising": {"0-99": 2, "900-999": 7}, "pixels": {"0-99": 9}}
    assert [(row.bucket, row.clips) for row in means.rows()] == [("0-99", 3), ("900-999", 1), ("0-99", 1)]


def test_buckets_are_listed_in_the_order_of_their_numbers():
    means = RunningMeans(9, factor_bucket, factor_label)
    means.add([clip(m=8, s=1), clip(m=1, s=8), clip(m=1, s=2)])
    assert list(means.means()["denoising"]) == ["m=1 s=2-4", "m=1 s=6-8", "m=8 s=1-2"]


def test_what_was_remembered_comes_back_from_json():
    before, after = by_timestep(), by_timestep()
    before.add([clip(50, loss=0.1), clip(50, loss=0.2), clip(150, loss=1 / 3)])
    after.add([clip(950)])
    after.restore(json.loads(json.dumps(before.state())))
    assert after.means() == before.means()
    for means in (before, after):
        means.add([clip(50, loss=5), clip(50, loss=6)])
    assert after.means() == before.means()
    assert after.means()["denoising"]["0-99"] == pytest.approx((0.2 + 5 + 6) / 3)


@pytest.mark.parametrize(("mask", "gap"), [([True] * 3, 1), ([True, False, False, True], 3), ([True, False], 2)])
def test_the_gap_is_that_of_the_first_key_frames(mask, gap):
    assert key_frame_gap(mask) == gap
