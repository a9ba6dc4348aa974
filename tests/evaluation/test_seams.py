"""The seam measure: 1 where a clip was cut at places that nobody can see, more for every kind of seam."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from venhancer.evaluation.degrade import degrade, resize
from venhancer.evaluation.seams import (
    Profile,
    disagreement,
    drift_by_segment,
    fades,
    measure_profiles,
    measure_seam,
)
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames

FILM = Path(__file__).parent / "butterfly_160x90_8fps.mp4"
CUTS = (4, 8, 12)
COLUMNS, ROWS = (32, 56, 104, 128), (12, 24, 40, 52, 64, 76)


@pytest.fixture(scope="module")
def film() -> np.ndarray:
    """A real clip: things move in it and the camera does."""
    return np.stack(list(read_frames(probe(FILM))))[:, :88]


@pytest.fixture(scope="module")
def control(film) -> np.ndarray:
    """The same clip, made twice as small and enlarged again."""
    return resize(degrade(film, scale=2, keep_every=1), 88, 160, "bicubic")


def parts(length: int, places: tuple[int, ...]) -> np.ndarray:
    """Return 0 or 1 for each position, another one after every place."""
    return np.searchsorted(places, np.arange(length), side="right") % 2


def brighter(film: np.ndarray) -> np.ndarray:
    return (film.astype(int) + 1).clip(0, 255).astype(np.uint8)


def shifted(film: np.ndarray) -> np.ndarray:
    matrix = np.array([[1, 0, 0.25], [0, 1, 0]], np.float32)
    moved = [cv2.warpAffine(frame, matrix, (160, 88), borderMode=cv2.BORDER_REPLICATE) for frame in film]
    return np.stack(moved)


def noised(film: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1.5, film.shape[1:])
    return (film + noise).round().clip(0, 255).astype(np.uint8)


def test_a_cut_that_nobody_can_see_gives_one(film, control):
    """Wherever the places lie: nearly on each of sixteen frames, and in the mean."""
    profiles = measure_profiles(film, control)
    for profile in (profiles.change, profiles.gradient):
        found = [measure_seam(profile, range(first, 16, 4)).ratio for first in range(1, 5)]
        assert found == pytest.approx([1] * 4, abs=0.1)
        assert np.mean(found) == pytest.approx(1, abs=0.02)
    for profile in (profiles.across_columns, profiles.change_by_column):
        found = [measure_seam(profile, range(start, start + 6), reach=24).ratio for start in range(20, 140, 4)]
        assert np.mean(found) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["a step of one level", "a shift of a quarter pixel", "noise drawn anew"])
def test_every_kind_of_seam_in_time_shows(film, control, kind):
    """All are too faint to be seen in a still."""
    plain = noised(film, 1)
    worse = {
        "a step of one level": brighter(plain),
        "a shift of a quarter pixel": shifted(plain),
        "noise drawn anew": noised(film, 2),
    }[kind]
    seamed = np.where(parts(16, CUTS)[:, None, None, None] == 1, worse, plain)
    before, after = (measure_seam(measure_profiles(clip, control).change, CUTS).ratio for clip in (plain, seamed))
    assert before == pytest.approx(1, abs=0.08)
    assert after > before * 1.1


def test_a_step_between_tiles_shows_and_a_feathered_one_does_not(film, control):
    four = (film.astype(int) + 4).clip(0, 255).astype(np.uint8)
    hard = np.where(parts(160, COLUMNS)[None, None, :, None] == 1, four, film)
    rows = np.where(parts(88, ROWS)[None, :, None, None] == 1, four, film)
    ramp = np.interp(np.arange(160), [40, 72], [0, 4])[None, None, :, None]
    soft = (film + ramp + 0.5).clip(0, 255).astype(np.uint8)
    plain, hard, rows, soft = (measure_profiles(clip, control) for clip in (film, hard, rows, soft))
    usual = measure_seam(plain.across_columns, COLUMNS, reach=24).ratio
    assert measure_seam(hard.across_columns, COLUMNS, reach=24).ratio > 1.2 * usual
    assert measure_seam(soft.across_columns, COLUMNS, reach=24).ratio == pytest.approx(usual, abs=0.05)
    usual = measure_seam(plain.across_rows, ROWS, reach=24).ratio
    assert measure_seam(rows.across_rows, ROWS, reach=24).ratio > 1.1 * usual


def test_a_tile_line_that_flickers_shows(film, control):
    flickering = film.copy()
    flickering[::2, :, 70:74] = brighter(brighter(film))[::2, :, 70:74]
    found = [measure_profiles(clip, control).change_by_column for clip in (film, flickering)]
    assert (
        measure_seam(found[1], range(71, 74), reach=24).ratio
        > 1.2 * measure_seam(found[0], range(71, 74), reach=24).ratio
    )


def test_motion_at_a_boundary_is_no_seam():
    """The control moves there too."""
    rng = np.random.default_rng(0)
    usual = rng.uniform(1, 2, 60)
    usual[[20, 40]] *= 10
    assert measure_seam(Profile(usual * 1.3, usual), (20, 40)).ratio == pytest.approx(1, abs=0.02)


def test_frames_of_one_kind_are_compared():
    """Every third frame changes most, because it is a key frame: a window that begins there is not to blame."""
    control = np.ones(61)
    result = np.where(np.arange(61) % 3 == 0, 2.0, 1.0)
    phase = np.arange(61) % 3
    assert measure_seam(Profile(result, control), (30,)).ratio > 1.3
    assert measure_seam(Profile(result, control), (30,), alike=phase).ratio == pytest.approx(1)


def test_the_range_holds_what_chance_does():
    """Of 95 % ranges of places without any seam, about one in twenty leaves 1 out."""
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(200):
        profile = Profile(np.exp(rng.normal(1, 0.2, 100)), np.full(100, np.exp(1)))
        low, high = measure_seam(profile, range(5, 100, 12)).bounds
        missed += not low <= 1 <= high
    assert 2 <= missed <= 25


def test_what_cannot_be_measured_is_refused(film):
    profile = Profile(np.array([np.nan, 1, 1, 1]), np.array([np.nan, 1, 1, 1]))
    for places in ((), (0,), (9,), (1, 2, 3)):
        with pytest.raises(ValueError, match="no seam to measure"):
            measure_seam(profile, places)
    with pytest.raises(ValueError, match="two frames"):
        measure_profiles(film[:1], film[:1])
    with pytest.raises(ValueError, match="cannot be compared"):
        measure_profiles(iter(film), iter(film[:, ::2]))


def test_places_left_out_count_neither_way():
    values = np.array([np.nan, 1, 5, 1, 9, 1])
    assert measure_seam(Profile(values, np.ones(6)), (2,), left_out=(4,)).ratio == pytest.approx(5.05 / 1.05)


def test_overlaps_give_way_over_all_their_places():
    assert fades([range(10), range(10, 20)]) == {10}
    assert fades([range(10), range(7, 20)]) == {8, 9, 10}
    assert fades([range(5)]) == set()


def test_drift_is_told_by_segment_in_lab(film):
    segments = [range(4), range(4, 10), range(10, 16)]
    grey = np.full((16, 32, 32, 3), 119, np.uint8)  # sRGB 119 has L of 50
    brighter_grey = grey.copy()
    brighter_grey[4:10] = 143  # and 143 one of 59.4
    drift = drift_by_segment(measure_profiles(brighter_grey, grey), segments)
    np.testing.assert_allclose(drift[:, 0], [0, 9.4, 0], atol=0.2)
    np.testing.assert_allclose(drift[:, 1:], 0, atol=0.05)


def test_disagreement_is_in_levels_at_any_depth(film):
    assert disagreement(film, film) == 0
    lower = film.clip(0, 250)
    assert disagreement(lower, lower + 3) == pytest.approx(3)
    deep = lower.astype(np.uint16) * 257
    assert disagreement(deep, deep + 257) == pytest.approx(1, abs=1e-3)


def test_deep_results_are_measured_in_the_same_levels(film, control):
    shallow = measure_profiles(film, control)
    deep = measure_profiles(film.astype(np.uint16) * 257, control)
    np.testing.assert_allclose(deep.change.result[1:], shallow.change.result[1:], rtol=1e-4)
