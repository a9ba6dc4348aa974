import doctest
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from venhancer import windows
from venhancer.windows import Fade, Tile, blend_weights, split_tiles, split_windows, tile_weights


@st.composite
def layouts(draw):
    """(total, length, overlap, allowed starts): starts at irregular gaps that a window can pass."""
    length = draw(st.integers(1, 40))
    overlap = draw(st.integers(0, length - 1))
    gaps = draw(st.lists(st.integers(1, max(1, length - 1)), min_size=1, max_size=60))
    edges = [0, *np.cumsum(gaps).tolist()]
    return edges[-1], length, overlap, edges[:-1]


def coverage(total, layout, fade: Fade = "published"):
    weights = np.zeros(total)
    for window, part in zip(layout, blend_weights(layout, fade), strict=True):
        weights[window.start : window.stop] += part
    return weights


def test_docstring_examples_hold():
    assert doctest.testmod(windows).failed == 0


@given(layouts())
def test_windows_cover_everything_and_weights_sum_to_exactly_one(layout):
    total, length, overlap, starts = layout
    spans = split_windows(total, length, overlap, starts)
    assert spans[0].start == 0
    assert spans[-1].stop == total
    assert all(span.start in starts and 1 <= len(span) <= length for span in spans)
    assert all(a.start < b.start <= a.stop < b.stop for a, b in pairwise(spans))
    assert np.array_equal(coverage(total, spans), np.ones(total))


@given(st.integers(1, 500), st.integers(1, 40), st.data())
def test_free_windows_share_the_overlap_asked_for_and_are_the_fewest(total, length, data):
    overlap = data.draw(st.integers(0, length - 1))
    spans = split_windows(total, length, overlap)
    assert all(a.stop - b.start == overlap for a, b in pairwise(spans))
    assert len(spans) == max(1, -(-(total - overlap) // (length - overlap)))
    assert max(map(len, spans)) - min(map(len, spans)) <= len(spans)


@given(layouts())
def test_nothing_is_shared_beyond_what_was_asked_for(layout):
    _, length, overlap, _ = layout
    for a, b in pairwise(split_windows(*layout)):
        assert a.stop - b.start == overlap or (len(a) == length and a.stop - b.start < overlap)


@pytest.mark.parametrize(
    ("total", "length", "overlap", "step", "expected"),
    [
        (46, 32, 16, 3, [(0, 31), (15, 46)]),  # the published program's own layout for 16 frames made 46
        (48, 32, 16, 3, [(0, 32), (18, 48)]),
        (33, 32, 16, 1, [(0, 24), (8, 33)]),  # a remainder of one frame: two short windows, not one of 33
        (44, 32, 16, 1, [(0, 30), (14, 44)]),
        (100, 32, 16, 1, [(0, 30), (14, 44), (28, 58), (42, 72), (56, 86), (70, 100)]),
        (32, 32, 16, 1, [(0, 32)]),
        (1, 32, 16, 1, [(0, 1)]),
        (17, 9, 1, 8, [(0, 9), (8, 17)]),
        (34, 12, 1, 8, [(0, 9), (8, 17), (16, 25), (24, 34)]),
        (12, 4, 0, 4, [(0, 4), (4, 8), (8, 12)]),
    ],
)
def test_layouts(total, length, overlap, step, expected):
    spans = split_windows(total, length, overlap, range(0, total, step))
    assert [(span.start, span.stop) for span in spans] == expected


def test_blend_is_a_linear_cross_fade_from_zero_on_the_first_shared_frame():
    earlier, later = blend_weights([range(31), range(15, 46)])
    np.testing.assert_array_equal(later, [*(np.arange(16) / 16), *np.ones(15)])
    np.testing.assert_array_equal(earlier, [*np.ones(15), *(1 - np.arange(16) / 16)])


def test_an_even_fade_uses_every_shared_frame_alike():
    earlier, later = blend_weights([range(10), range(6, 16)], "even")
    np.testing.assert_allclose(later[:4], [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(earlier[6:], [0.8, 0.6, 0.4, 0.2])
    np.testing.assert_allclose(coverage(16, [range(10), range(6, 16)], "even"), 1)


def test_no_frame_mixes_more_than_two_windows():
    spans = [range(10), range(4, 14), range(6, 16)]
    mixed = np.zeros(16)
    for span, part in zip(spans, blend_weights(spans), strict=True):
        mixed[span.start : span.stop] += part > 0
    assert mixed.max() == 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((10, 4, 4), "overlap 4 must be at least 0 and below the window length 4"), ((10, 4, 1, [0, 5]), "cannot pass")],
)
def test_impossible_layouts_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        split_windows(*arguments)


@given(st.integers(1, 40), st.sampled_from([1, 4, 8]), st.sampled_from([0, 2]), st.data())
def test_tiles_are_pictures_the_network_accepts_and_share_enough(steps, step, rest, data):
    total = steps * step + rest
    length = data.draw(st.integers(3 * step, 20 * step))
    overlap = data.draw(st.integers(0, length // 3))
    tiles = split_tiles(total, length, overlap, step)
    assert tiles[0].start == 0
    assert tiles[-1].stop == total
    assert len({len(tile) for tile in tiles}) == 1
    assert len(tiles[0]) <= length
    assert all(tile.start % step == 0 and (total - len(tile)) % step == 0 for tile in tiles)
    assert all(a.start < b.start and a.stop - b.start >= overlap for a, b in pairwise(tiles))


def test_tiles_are_no_larger_than_their_number_needs():
    assert split_tiles(90, 66, 8, 8) == (range(50), range(40, 90))
    assert split_tiles(64, 64, 8, 8) == (range(64),)
    assert split_tiles(162, 64, 11, 8) == (range(58), range(32, 90), range(64, 122), range(104, 162))


def test_tiles_that_cannot_meet_are_refused():
    with pytest.raises(ValueError, match="tiles of 10 cannot share 4 on a grid of 8"):
        split_tiles(90, 10, 4, 8)


@pytest.mark.parametrize("unit", [1, 4])
def test_weights_of_tiles_sum_to_one_at_every_pixel(unit):
    tiles = [Tile(rows, columns) for rows in split_tiles(90, 42, 10, 8) for columns in split_tiles(64, 40, 8, 8)]
    weights = np.zeros((90 * unit, 64 * unit))
    for tile, part in zip(tiles, tile_weights(tiles, unit), strict=True):
        weights[tile.of(unit)] += part
        assert part.min() >= 0
    assert np.allclose(weights, 1, atol=1e-12)
