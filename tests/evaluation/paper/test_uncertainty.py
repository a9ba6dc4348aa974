"""Intervals hold the mean they promise to, and pairs see what lies below the spread of clips."""

import numpy as np
import pytest

from venhancer.evaluation.paper.uncertainty import estimate, paired_difference


def test_intervals_hold_the_true_mean_about_as_often_as_they_say():
    random = np.random.default_rng(0)
    held = sum(
        (found := estimate(random.normal(3, 1, 20).tolist(), seed)).low <= 3 <= found.high for seed in range(200)
    )
    assert 0.88 <= held / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval():
    values = [number**0.5 for number in range(15)]
    assert estimate(values, 1) == estimate(values, 1)
    assert estimate(values, 1) != estimate(values, 2)


def test_one_clip_has_no_interval():
    found = estimate([5.0])
    assert (found.mean, found.low, found.high) == (5, 5, 5)
    with pytest.raises(ValueError, match="needs values"):
        estimate([])


def test_pairs_see_a_difference_far_below_the_spread_of_clips():
    random = np.random.default_rng(1)
    clips = random.normal(30, 5, 12)
    better = clips + random.normal(0.3, 0.1, 12)
    apart = [estimate(values.tolist()) for values in (clips, better)]
    assert apart[0].high > apart[1].low  # taken alone, their intervals overlap
    lead = paired_difference(better.tolist(), clips.tolist())
    assert lead.is_clear
    assert 0.15 < lead.low < lead.mean < lead.high < 0.45
    assert not paired_difference(clips.tolist(), clips.tolist()).is_clear
    with pytest.raises(ValueError, match="zip"):
        paired_difference([1.0], [1.0, 2.0])
