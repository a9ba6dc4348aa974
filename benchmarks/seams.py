"""Seams of the embedded model between windows, segments and tiles, on real clips without a cut.

    python benchmarks/seams.py [--data DATA] [--cases NAMES]

Each clip is made four times smaller, every third frame is kept, and it is enhanced whole, in windows, in segments and
in tiles. The control is the clip enhanced whole by the same model, which differs in nothing but the joins. Beside the
ratios stand what they would be if windows were not blended, how far neighbouring windows disagree before they are, and
each segment's drift of colour against the input. Writes `results/seams.json`.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import torch
from cases import BIKES, BUNNY, CARPHONE, CITY, WORLD, Film, decode, fetch_film
from jaxtyping import UInt8

from venhancer.evaluation.degrade import degrade, resize
from venhancer.evaluation.joins import find_joins, measure_joins
from venhancer.evaluation.seams import (
    Seam,
    disagreement,
    drift_by_segment,
    measure_profiles,
    measure_seam,
)
from venhancer.media.clip import describe_frames
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.layout import Segment
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

RESULTS = Path(__file__).parent / "results" / "seams.json"
SCALE, FACTOR, RATE = 4, 3, 8
Clip: TypeAlias = UInt8[np.ndarray, "f h w 3"]

CASES: dict[str, tuple[Film, float]] = {  # film and first second of 94 frames (city: 70) without a cut
    "carphone": (CARPHONE, 0.5),
    "city": (CITY, 4.7),
    "world": (WORLD, 4.0),
    "bunny-473s": (BUNNY, 474.6),
    "bunny-506s": (BUNNY, 506.0),
    "bunny-530s": (BUNNY, 530.0),
    "bunny-583s": (BUNNY, 583.0),
    "street": (BIKES, 7.5),
}
LONG, WIDE = (192, 112), (384, 224)
FRAMES, TILED_FRAMES = 94, 13
SHORT_WINDOW, SHORT_OVERLAP = 16, 4
TILE = (192, 128)
WHOLE = {"window_frames": 512}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="clips")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages are")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipeline = load_pipeline("nano", device="cpu", dtype="fp32")
    clips: dict[str, Any] = {}
    for name in arguments.cases:
        clips[name] = measure_in_time(pipeline, name, arguments.data / "packages")
        clips[name] |= measure_in_space(pipeline, name, arguments.data / "packages")
        print(name, json.dumps(clips[name]), flush=True)
        result = {
            "model": "nano",
            "ratio": "geometric means over the clips; worst: of one clip",
            "means": summary(list(clips.values())),
            "clips": clips,
        }
        arguments.results.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(summary(list(clips.values())), indent=1))


def measure_in_time(pipeline: VEnhancerPipeline, name: str, packages: Path) -> dict[str, Any]:
    """Return the seams of windows and segments, what windows say alone, and the drift of segments."""
    truth = load(name, LONG, FRAMES, packages)
    source = degrade(truth, scale=SCALE, keep_every=FACTOR)
    phase = np.arange(len(truth)) % FACTOR
    whole, _ = enhance(pipeline, source, len(truth), **WHOLE)
    windowed, plan = enhance(pipeline, source, len(truth))
    segmented, short = enhance(pipeline, source, len(truth), window_frames=SHORT_WINDOW, window_overlap=SHORT_OVERLAP)
    found: dict[str, Any] = {}
    for result, its_plan, wanted in ((windowed, plan, "windows"), (segmented, short, "segments")):
        joins = find_joins(its_plan.to_json())
        found[wanted] = told(measure_joins(measure_profiles(result, whole), joins, alike=phase)[wanted])
    keys = [range(-(-part.start // FACTOR), -(-part.stop // FACTOR)) for part in joins.parts]
    colours = drift_by_segment(measure_profiles(segmented[::FACTOR], upscaled(source, truth)), keys)
    found["colour drift of segments"] = round(float(np.linalg.norm(colours, axis=1).max()), 3)
    found["colour step between segments"] = round(float(np.linalg.norm(np.diff(colours, axis=0), axis=1).max()), 3)
    return found | alone(pipeline, source, plan, whole)


def alone(pipeline: VEnhancerPipeline, source: Clip, plan: EnhancePlan, whole: Clip) -> dict[str, Any]:
    """Return how far windows made one by one disagree in overlaps, and the seam if they were set side by side."""
    windows = [window for segment in plan.segments for window in segment.windows]
    made = [make_alone(pipeline, source, plan, window) for window in windows]
    apart, pieces, places, start = [], [], [], 0
    for (earlier, first), (later, second) in pairwise(zip(windows, made, strict=True)):
        shared = earlier.stop - later.start
        apart.append(disagreement(first[-shared:], second[:shared]))
        middle = later.start + shared // 2
        pieces.append(first[start - earlier.start : middle - earlier.start])
        places.append(middle)
        start = middle
    pieces.append(made[-1][start - windows[-1].start :])
    unblended = np.concatenate(pieces)[: len(whole)]
    profiles = measure_profiles(unblended, whole)
    phase = np.arange(len(whole)) % FACTOR
    hard = {
        measure: measure_seam(profile, places, alike=phase)
        for measure, profile in (("change", profiles.change), ("gradient", profiles.gradient))
    }
    return {"windows unblended": told(hard), "levels apart in overlaps": round(float(np.mean(apart)), 3)}


def make_alone(pipeline: VEnhancerPipeline, source: Clip, plan: EnhancePlan, window: range) -> Clip:
    """Return the frames of a window that no other is blended with."""
    only = Segment(
        shot=plan.segments[0].shot, context=window, windows=(window,), carried=0, settled=window, frames=window
    )
    whole = replace(plan, layout=replace(plan.layout, segments=(only,)))
    return np.stack(list(pipeline.enhance(whole, lambda wanted: (source[n] for n in wanted))))


def measure_in_space(pipeline: VEnhancerPipeline, name: str, packages: Path) -> dict[str, Any]:
    """Return the seams of tiles."""
    truth = load(name, WIDE, TILED_FRAMES, packages)
    source = degrade(truth, scale=SCALE, keep_every=FACTOR)
    whole, _ = enhance(pipeline, source, len(truth))
    tiled, plan = enhance(pipeline, source, len(truth), tile=TILE)
    seams = measure_joins(measure_profiles(tiled, whole), find_joins(plan.to_json()))
    return {kind: told(found) for kind, found in seams.items() if kind.endswith("tiles")}


def enhance(pipeline: VEnhancerPipeline, source: Clip, frames: int, **settings: object) -> tuple[Clip, EnhancePlan]:
    """Return so many enhanced frames and their plan."""
    _, height, width, _ = source.shape
    clip = describe_frames(len(source), height, width, Fraction(RATE))
    plan = make_plan(clip, parse_settings(scale=SCALE, fps=RATE * FACTOR, **settings), pipeline.traits)
    made = pipeline.enhance(plan, lambda wanted: (source[number] for number in wanted))
    return np.stack(list(made))[:frames], plan


def upscaled(source: Clip, truth: Clip) -> Clip:
    """Return the input at the output's size."""
    return resize(source, *truth.shape[1:3], "bicubic")


def told(seams: Mapping[str, Seam]) -> dict[str, list[float]]:
    """Return ratios with the ends of their 95 % ranges."""
    return {measure: [round(value, 4) for value in (one.ratio, *one.bounds)] for measure, one in seams.items()}


def summary(clips: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return, over the clips, the mean and the worst of everything measured."""
    found: dict[str, dict[str, float]] = {}
    for name, value in clips[0].items():
        if not isinstance(value, dict):
            values = [clip[name] for clip in clips]
            found[name] = {"mean": round(float(np.mean(values)), 3), "worst": max(values)}
            continue
        for measure in value:
            ratios = [clip[name][measure][0] for clip in clips]
            mean = round(float(np.exp(np.mean(np.log(ratios)))), 4)
            found[f"{name}: {measure}"] = {"mean": mean, "worst": max(ratios)}
    return found


def load(name: str, size: tuple[int, int], frames: int, packages: Path) -> Clip:
    """Return frames of a case, averaged down to a size."""
    film, start = CASES[name]
    path = fetch_film(film, packages)
    with av.open(path) as container:
        rate = container.streams.video[0].average_rate
    assert rate is not None
    clip = np.stack(list(decode(replace(film, size=size), path, round(start * rate), frames)))
    return clip[: (len(clip) - 1) // FACTOR * FACTOR + 1]


if __name__ == "__main__":
    main()
