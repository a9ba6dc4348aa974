"""Where a plan joined its output, and whether it shows there: `venhancer seams`.

Joins are read from the JSON of a plan, so that a result can be judged long after it was made. It is compared with its
input, enlarged, and moved along between its frames.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from venhancer.enhance import plan_video
from venhancer.errors import InputError
from venhancer.evaluation.degrade import resize
from venhancer.evaluation.seams import (
    BESIDE,
    Profile,
    Profiles,
    Seam,
    drift_by_segment,
    fades,
    measure_profiles,
    measure_seam,
)
from venhancer.frames.levels import ReadFrames, to_levels, to_pixels
from venhancer.frames.motion import frames_between
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.plan import EnhancePlan
from venhancer.settings import parse_settings

Seams = Mapping[str, Mapping[str, Seam]]
"""By kind of join and by measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the joins of an output show.

    Args:
        seams: of all joins that there are.
        colour: how far segments drift from the input and from one another, in Lab, by what it is in words.
    """

    seams: Seams
    colour: Mapping[str, float]

    def describe(self) -> Iterator[tuple[str, str]]:
        """Yield labels and values for people."""
        for kind, measures in self.seams.items():
            for measure, seam in measures.items():
                low, high = seam.bounds
                extent = f"(95 %: {low:.3f} to {high:.3f}), at {seam.places} places"
                yield f"{kind}, {measure}", f"{seam.ratio:.3f} times elsewhere {extent}"
        if not self.seams:
            yield "seams", "none: there is one window and one tile"
        yield from ((label, f"{value:.2f} (Lab)") for label, value in self.colour.items())

    def to_json(self) -> dict[str, object]:
        """Return JSON values."""
        seams = {
            kind: {
                measure: {"ratio": seam.ratio, "bounds": seam.bounds, "places": seam.places}
                for measure, seam in measures.items()
            }
            for kind, measures in self.seams.items()
        }
        return {"seams": seams, "colour": self.colour}


def judge_joins(result: Path, source: Path, report: Path) -> Verdict:
    """Return whether the joins of a result show, measured against its enlarged source.

    Args:
        result: a video file.
        source: the file it was made from.
        report: of the enhancement, or its plan, as JSON.

    Raises:
        InputError: a file cannot be used, or they do not belong together.
    """
    content = _read_plan(report)
    joins = find_joins(content)
    plan = plan_video(source, parse_settings(**content["settings"]))
    clip = probe(result)
    if (clip.width, clip.height, clip.frames) != (plan.width, plan.height, plan.frames):
        sizes = f"{result} has {clip.frames} frames of {clip.width}x{clip.height}"
        expected = f"{plan.frames} of {plan.width}x{plan.height}"
        raise InputError(f"{sizes}, but {report} describes {expected}; pass its own report")
    with FrameReader(plan.clip, keep=2) as inputs, FrameReader(clip, keep=2) as outputs:
        profiles = measure_profiles(outputs.read(range(clip.frames)), enlarged_input(plan, inputs.read))
    since_key = accumulate(plan.is_key, lambda count, is_key: 0 if is_key else count + 1, initial=-1)
    period = max(1, round(plan.width / plan.clip.width))
    drift = drift_by_segment(profiles, joins.parts)
    colour = {
        "largest drift of a segment": float(np.linalg.norm(drift, axis=1).max()),
        "largest step between segments": float(np.linalg.norm(np.diff(drift, axis=0), axis=1).max(initial=0)),
    }
    return Verdict(seams=measure_joins(profiles, joins, alike=[*since_key][1:], period=period), colour=colour)


def enlarged_input(plan: EnhancePlan, read: ReadFrames) -> Iterator[UInt8[np.ndarray, "h2 w2 3"]]:
    """Yield as many frames as a plan makes: key frames enlarged, others moved along the flow; holds two."""
    keys = [number for number, is_key in enumerate(plan.is_key) if is_key]
    shot_ends = {shot.stop for shot in plan.shots}
    pictures = (_enlarge(frame, plan) for frame in read([plan.source[key] for key in keys]))
    picture = next(pictures)
    for key, following in pairwise([*keys, plan.frames]):
        yield picture
        after = next(pictures, picture)
        times = [(number - key) / (following - key) for number in range(key + 1, following)]
        if following in shot_ends:
            yield from [picture] * len(times)
        elif times:
            yield from map(to_levels, frames_between(to_pixels(picture), to_pixels(after), times))
        picture = after


def _enlarge(frame: Shaped[np.ndarray, "h w 3"], plan: EnhancePlan) -> UInt8[np.ndarray, "h2 w2 3"]:
    levels = frame if frame.dtype == np.uint8 else np.rint(frame / 257).astype(np.uint8)
    return resize(levels[None], plan.height, plan.width, "bicubic")[0]


def _read_plan(report: Path) -> dict[str, Any]:
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        kind = type(error).__name__
        raise InputError(
            f"{report} cannot be read as a report ({kind}); pass one from `venhancer enhance --json`"
        ) from error
    plan = content.get("plan", content) if isinstance(content, dict) else {}
    if "settings" not in plan:
        raise InputError(f"{report} is not a report of an enhancement; make one with `venhancer enhance --json FILE`")
    return plan


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
            f"this is not a plan: {error} is missing or wrong; make one with `venhancer plan --json`"
        ) from error


def _places(ranges: Collection[tuple[int, int]], unit: int, padding: int, size: int) -> frozenset[int]:
    """Return the pixels of the output at which ranges of latents give way to one another."""
    pixels = [range(start * unit - padding, stop * unit - padding) for start, stop in sorted(ranges)]
    return frozenset(place for place in fades(pixels) if 0 < place < size)


def measure_joins(profiles: Profiles, joins: Joins, *, alike: Sequence[int] | None = None, period: int = 1) -> Seams:
    """Return how visible the windows, segments and tiles of an output are, by measure; only those that there are.

    Args:
        profiles: of the output and a control.
        joins: of its plan.
        alike: a number for each frame: its place since the key frame before it.
        period: how many columns or rows it takes until an enlarged control's pixels lie alike again.
    """
    seams: dict[str, dict[str, Seam]] = {}
    times = {"change": profiles.change, "gradient": profiles.gradient}
    for name, places, others in (
        ("windows", joins.windows, joins.segments),
        ("segments", joins.segments, joins.windows),
    ):
        if places - joins.cuts:
            left_out = (others - places) | joins.cuts
            seams[name] = {
                measure: measure_seam(profile, places, left_out=left_out, alike=alike)
                for measure, profile in times.items()
            }
    for name, places, gradient, change in (
        ("columns of tiles", joins.columns, profiles.across_columns, profiles.change_by_column),
        ("rows of tiles", joins.rows, profiles.across_rows, profiles.change_by_row),
    ):
        if places:
            seams[name] = {
                measure: _measure_lines(profile, places, period)
                for measure, profile in (("gradient", gradient), ("change", change))
            }
    return seams


def _measure_lines(profile: Profile, places: frozenset[int], period: int) -> Seam:
    """Return the seam of a measure along one side of a picture, compared with what lies beside it."""
    ordered = sorted(places)
    edges = [0, *(number for number in range(1, len(ordered)) if ordered[number] - ordered[number - 1] > 1)]
    widest = max(stop - first for first, stop in pairwise([*edges, len(ordered)]))
    return measure_seam(profile, places, alike=np.arange(len(profile.result)) % period, reach=widest + BESIDE)
