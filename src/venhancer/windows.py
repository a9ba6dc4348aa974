"""Overlapping windows in time and tiles in space: their places, and the weights that blend them.

Pure arithmetic on half-open ranges, below everything else. The plan lays them out once for the whole clip; the denoiser
runs the network on each and adds the results up with the weights given here.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from types import EllipsisType
from typing import Literal, NamedTuple

import numpy as np

Fade = Literal["even", "published"]


def split_windows(total: int, length: int, overlap: int, starts: Sequence[int] | None = None) -> tuple[range, ...]:
    """Return the fewest windows of at most `length` that cover `range(total)`, evenly spread.

    Neighbours share `overlap` positions and no more, so that nothing is computed twice for nothing. Where windows may
    start at some positions only, a start is moved to the next of them; if that would make the window before it too
    long, the two share less, but half the overlap wherever a start allows it.

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
    while places[-2] + length >= total:
        places.pop()
    inner = (range(place, min(after + overlap, place + length, total)) for place, after in pairwise(places))
    return (*inner, range(places[-1], total))


class Tile(NamedTuple):
    """A rectangle of latents."""

    rows: range
    columns: range

    def of(self, unit: int = 1) -> tuple[EllipsisType, slice, slice]:
        """Return the index that cuts it out of pictures `... h w` with so many pixels a side for each latent."""
        rows, columns = (slice(side.start * unit, side.stop * unit) for side in (self.rows, self.columns))
        return ..., rows, columns


def split_tiles(total: int, length: int, overlap: int, step: int) -> tuple[range, ...]:
    """Return the fewest ranges of one length that cover `range(total)` along one side of a picture, evenly spread.

    Of all lengths that need no more of them it is the least. Starts are multiples of `step` and so is what the length
    lacks to `total`: a network that accepts a picture of that side accepts its tiles.

    Args:
        total: latents to cover.
        length: most latents in a tile.
        overlap: fewest latents that two neighbours share.
        step: of the network's grid, in latents.

    Raises:
        ValueError: tiles of `length` on this grid cannot share so much.

    >>> split_tiles(90, 66, 8, 8)
    (range(0, 50), range(40, 90))
    """
    if total <= length:
        return (range(total),)
    longest = length - (length - total) % step
    if longest - overlap < step:
        raise ValueError(f"tiles of {length} cannot share {overlap} on a grid of {step}")

    def starts(size: int, count: int) -> list[int]:
        last = (total - size) // step
        return [step * (index * last // (count - 1)) for index in range(count)]

    def meets(size: int, count: int) -> bool:
        return all(before + size - after >= overlap for before, after in pairwise(starts(size, count)))

    count = next(count for count in itertools.count(2) if meets(longest, count))
    size = next(size for size in range(overlap + (total - overlap) % step, total, step) if meets(size, count))
    return tuple(range(start, start + size) for start in starts(size, count))


def tile_weights(tiles: Sequence[Tile], unit: int = 1) -> tuple[np.ndarray, ...]:
    """Return each tile's weights, float64 of its size; over the tiles they sum to 1 everywhere.

    Feathered along both sides as `blend_weights` does.

    Args:
        tiles: every combination of some rows and some columns.
        unit: weights a side for each of its latents.
    """
    down, across = (_weights_by_span(tuple(dict.fromkeys(side)), unit) for side in zip(*tiles, strict=True))
    return tuple(np.outer(down[tile.rows], across[tile.columns]) for tile in tiles)


def _weights_by_span(spans: Sequence[range], unit: int) -> dict[range, np.ndarray]:
    enlarged = [range(span.start * unit, span.stop * unit) for span in spans]
    return dict(zip(spans, blend_weights(enlarged), strict=True))


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
        place_index = bisect_left(allowed, -(-index * last // (count - 1)))
        place = min(allowed[min(place_index, len(allowed) - 1)], _furthest(places[-1], length, overlap, allowed))
        if place > places[-1]:
            places.append(place)
    return places


def rising_weights(shared: int, fade: Fade) -> np.ndarray:
    """Return the later window's weights over shared positions: 1/(n+1), ... n/(n+1), or 0, 1/n, ... (n-1)/n."""
    places = np.arange(shared)
    return (places + 1) / (shared + 1) if fade == "even" else places / max(shared, 1)


def blend_weights(windows: Sequence[range], fade: Fade = "published") -> tuple[np.ndarray, ...]:
    """Return each window's weights, float64 of its length; over the windows they sum to exactly 1 everywhere.

    Linear cross-fades: over n shared positions the later window's coefficients are 0, 1/n, ... (n-1)/n, as in the
    published program, or 1/(n+1), ... n/(n+1), which makes use of every position alike. Where three windows meet, the
    fade between the last two begins after the first has ended, so no position is ever a mixture of more than two.

    Args:
        windows: Ascending ranges without gaps, starts and ends strictly rising, as `split_windows` returns them.
        fade: which of the two.

    >>> [weights.tolist() for weights in blend_weights([range(0, 4), range(2, 6)])]
    [[1.0, 1.0, 1.0, 0.5], [0.0, 0.5, 1.0, 1.0]]
    >>> [weights.tolist() for weights in blend_weights([range(0, 2), range(1, 3)], "even")]
    [[1.0, 0.5], [0.5, 1.0]]
    """
    weights = tuple(np.ones(len(window)) for window in windows)
    fading_from = 0
    for index, (earlier, later) in enumerate(pairwise(windows)):
        first = max(later.start, fading_from)
        fading_from = earlier.stop
        shared = earlier.stop - first
        coefficients = rising_weights(shared, fade)
        weights[index][first - earlier.start :] = 1 - coefficients
        weights[index + 1][: first - later.start] = 0
        weights[index + 1][first - later.start : earlier.stop - later.start] = coefficients
    return weights
