"""Where a plan joins its output together, and how visible that is in the output.

Reads what `venhancer plan --json` shows and what the report of `enhance --json` holds, so that a result can be judged
long after it was made.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from venhancer.errors import InputError
from venhancer.evaluation.seams import Profile, Profiles, Seam, fades, measure_seam

BESIDE = 64
"""Pixels on both sides of a tile's overlap that its columns or rows are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joins:
    """Places where an output was put together.

    Args:
        windows: frames where one window gives way to the next inside a segment.
        segments: frames where one segment gives way to the next.
        columns: columns where one tile gives way to the next.
        rows: rows likewise.
        cuts: frames that begin a shot, where everything changes as it should.
        parts: the frames of each segment.
    """

    windows: frozenset[int]
    segments: frozenset[int]
    columns: frozenset[int]
    rows: frozenset[int]
    cuts: frozenset[int]
    parts: tuple[range, ...]


def find_joins(plan: Mapping[str, Any]) -> Joins:
    """Return where a plan joins its output.

    Args:
        plan: as `EnhancePlan.to_json` gives it.

    Raises:
        InputError: it is no plan.
    """
    try:
        segments, unit = plan["segments"], plan["traits"]["pixels_per_latent"]
        padding, tiles = plan["padding"], plan["tiles"]
        shots = [[*group] for _, group in groupby(segments, key=lambda segment: tuple(segment["shot"]))]
        rows, columns = ({tuple(tile[side]) for tile in tiles} for side in (0, 1))
        return Joins(
            windows=frozenset(place for one in segments for place in fades([range(*ends) for ends in one["windows"]])),
            segments=frozenset(place for shot in shots for place in fades([range(*one["context"]) for one in shot])),
            columns=_places(columns, unit, padding["left"], plan["width"]),
            rows=_places(rows, unit, padding["top"], plan["height"]),
            cuts=frozenset(shot[0]["shot"][0] for shot in shots[1:]),
            parts=tuple(range(*one["frames"]) for one in segments),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"this is no plan: {error} is missing or wrong; make one with `venhancer plan --json`"
        ) from error


def _places(ranges: Collection[tuple[int, int]], unit: int, padding: int, size: int) -> frozenset[int]:
    """Return the pixels of the output at which ranges of latents give way to one another."""
    pixels = [range(start * unit - padding, stop * unit - padding) for start, stop in sorted(ranges)]
    return frozenset(place for place in fades(pixels) if 0 < place < size)


def measure_joins(
    profiles: Profiles, joins: Joins, *, alike: Sequence[int] | None = None, period: int = 1
) -> dict[str, dict[str, Seam]]:
    """Return how visible the windows, segments and tiles of an output are, by measure; only those that there are.

    Args:
        profiles: of the output and a control.
        joins: of its plan.
        alike: a number for each frame: its place since the key frame before it.
        period: how many columns or rows it takes until an enlarged control's pixels lie alike again.
    """
    found: dict[str, dict[str, Seam]] = {}
    times = {"change": profiles.change, "gradient": profiles.gradient}
    for name, places, others in (
        ("windows", joins.windows, joins.segments),
        ("segments", joins.segments, joins.windows),
    ):
        if places - joins.cuts:
            found[name] = {
                measure: measure_seam(profile, places, left_out=(others - places) | joins.cuts, alike=alike)
                for measure, profile in times.items()
            }
    for name, places, lines in (
        ("columns of tiles", joins.columns, (profiles.across_columns, profiles.change_by_column)),
        ("rows of tiles", joins.rows, (profiles.across_rows, profiles.change_by_row)),
    ):
        if places:
            found[name] = dict(zip(("gradient", "change"), _measure_lines(lines, places, period), strict=True))
    return found


def _measure_lines(profiles: Sequence[Profile], places: frozenset[int], period: int) -> Iterator[Seam]:
    """Yield the seam of each measure along one side of a picture, compared with what lies beside it."""
    size = len(profiles[0].result)
    widest = max(len(run) for run in _runs(sorted(places)))
    for profile in profiles:
        yield measure_seam(profile, places, alike=np.arange(size) % period, reach=widest + BESIDE)


def _runs(places: Sequence[int]) -> list[range]:
    """Return places that follow each other without a gap as ranges."""
    edges = [0, *(n + 1 for n, (a, b) in enumerate(pairwise(places)) if b - a > 1), len(places)]
    return [range(places[first], places[stop - 1] + 1) for first, stop in pairwise(edges)]
