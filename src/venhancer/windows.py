"""Overlapping windows along one axis: where they lie, and the weights that blend them.

Pure arithmetic on half-open ranges, below everything else. The plan lays the windows out once for the whole clip; the
denoiser runs the network on each and adds the results up with the weights given here.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def split_windows(total: int, length: int, overlap: int, starts: Sequence[int] | None = None) -> tuple[range, ...]:
    """Return the fewest windows of at most `length` that cover `range(total)`, evenly spread.

    Neighbours share about `overlap` positions: exactly that many where `total` is a multiple of the stride, more
    where the windows have to be moved back to end at `total`. When windows may start at some positions only, a start
    is moved to the next of them, which may cost up to half the overlap. All windows have one length; the last may be
    shorter, never longer.

    Args:
        total: Positions to cover, 1 or more.
        length: Most positions in a window.
        overlap: Positions two neighbours should share, below `length`.
        starts: Where a window may start: ascending, from 0 on; every position if left out.

    Raises:
        ValueError: `overlap` is not below `length`, or two allowed starts lie too far apart for a window to reach.

    >>> split_windows(46, 32, 16, range(0, 46, 3))
    (range(0, 31), range(15, 46))
    """
    if not 0 <= overlap < length:
        raise ValueError(f"overlap {overlap} must be at least 0 and below the window length {length}")
    if total <= length:
        return (range(total),)
    allowed = range(total) if starts is None else starts
    reach = length - min(overlap, 1)
    if allowed[0] != 0 or max(b - a for a, b in pairwise([*allowed, total])) > reach:
        raise ValueError(f"windows of {length} sharing {overlap} cannot pass the longest gap between allowed starts")

    fewest = [0]
    while total - fewest[-1] > length:
        fewest.append(_furthest(fewest[-1], length, overlap, allowed))
    count = max(len(fewest), -(-(total - overlap) // (length - overlap)))
    even = _spread(total, length, overlap, allowed, count)
    places = even if total - even[-1] <= length else fewest
    size = min(length, max(total - places[-1], *(b - a + overlap for a, b in pairwise(places))))
    last = next(index for index, place in enumerate(places) if place + size >= total)
    return tuple(range(place, min(place + size, total)) for place in places[: last + 1])


def _furthest(place: int, length: int, overlap: int, allowed: Sequence[int]) -> int:
    """Return the last allowed start after `place` that leaves half the overlap, or else the very next one."""
    leaving_half = bisect_right(allowed, place + length - (overlap + 1) // 2) - 1
    following = bisect_right(allowed, place)
    return allowed[min(max(leaving_half, following), len(allowed) - 1)]


def _spread(total: int, length: int, overlap: int, allowed: Sequence[int], count: int) -> list[int]:
    """Return up to `count` allowed starts, evenly spread where windows of `length` can follow each other so."""
    last = total - -(-(total + (count - 1) * overlap) // count)
    places = [0]
    for index in range(1, count):
        wanted = bisect_left(allowed, -(-index * last // (count - 1)))
        place = min(allowed[min(wanted, len(allowed) - 1)], _furthest(places[-1], length, overlap, allowed))
        if place > places[-1]:
            places.append(place)
    return places


def blend_weights(windows: Sequence[range]) -> tuple[np.ndarray, ...]:
    """Return each window's weights, float64 of its length; over the windows they sum to exactly 1 everywhere.

    Linear cross-fades: over n shared positions the later window's coefficients are 0, 1/n, ... (n-1)/n, as in the
    published program. Where three windows meet, the fade between the last two begins after the first has ended, so
    no position is ever a mixture of more than two.

    Args:
        windows: Ascending ranges without gaps, starts and ends strictly rising, as `split_windows` returns them.

    >>> [weights.tolist() for weights in blend_weights([range(0, 4), range(2, 6)])]
    [[1.0, 1.0, 1.0, 0.5], [0.0, 0.5, 1.0, 1.0]]
    """
    weights = tuple(np.ones(len(window)) for window in windows)
    fading_from = 0
    for index, (earlier, later) in enumerate(pairwise(windows)):
        first = max(later.start, fading_from)
        fading_from = earlier.stop
        shared = earlier.stop - first
        coefficients = np.arange(shared) / max(shared, 1)
        weights[index][first - earlier.start :] = 1 - coefficients
        weights[index + 1][: first - later.start] = 0
        weights[index + 1][first - later.start : earlier.stop - later.start] = coefficients
    return weights
