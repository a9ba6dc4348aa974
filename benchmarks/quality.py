"""Four times the size and three times the rate, on the fixed clips of `cases.py`: our model beside the baselines.

    python benchmarks/quality.py [--quick] [--contenders ...] [--models nano runs/nano/... nano@noise_augmentation=0]

What `venhancer evaluate` does, with fixed settings: every clip is degraded exactly (every third frame, made smaller
with a bicubic kernel or by the mean of each square: a network trained on one kernel alone can lose two decibels on the
other) and all contenders are scored on all frames, key frames and frames between alike. Outputs and scores are kept in
`data/evaluation_cache`. Prints tables, writes `benchmarks/results/quality.json` and `data/quality_report`.
"""

import argparse
import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from cases import CASES, QUICK, load_reference
from jaxtyping import UInt8

from venhancer.cli.terminal import Terminal
from venhancer.evaluation.cache import Cache
from venhancer.evaluation.clips import TestClip
from venhancer.evaluation.contenders import BASELINES, parse_contender
from venhancer.evaluation.degrade import Degradation, Kernel
from venhancer.evaluation.evaluation import EvaluateSettings, evaluate
from venhancer.evaluation.pages import to_json, write_pages
from venhancer.evaluation.tables import as_lines, failures, table_of_means, tables_by_clip

RESULTS = Path(__file__).parent / "results"

SCALE, FACTOR = 4, 3
MULTIPLE = 2 * SCALE
"""Sides of the references, so that sides of the inputs are even too."""

FIXED = ("bicubic+repeat", "lanczos+blend", "lanczos+minterpolate", "span+rife")


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="*", choices=BASELINES, default=FIXED, help="baselines")
    parser.add_argument("--models", nargs="*", default=["nano"], help="ours: names or folders, @setting=value")
    parser.add_argument("--metrics", nargs="+", help="names; all that can be had if left out")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="clips")
    parser.add_argument("--frames", type=int, default=25, help="frames of a reference: one more than a multiple of 3")
    parser.add_argument("--kernel", choices=get_args(Kernel), default="bicubic", help="how the inputs are made smaller")
    parser.add_argument("--noise", type=float, default=0.0, help="on the inputs, in levels of 255")
    parser.add_argument("--crf", type=int, help="quality of H.264 that the inputs go through")
    parser.add_argument("--quick", action="store_true", help="three clips of 13 frames")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages and kept outputs are")
    parser.add_argument("--results", type=Path, help="default: benchmarks/results/quality[_quick][_KERNEL].json")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names, frames = (QUICK, 13) if arguments.quick else (arguments.cases, arguments.frames)
    packages, cache = arguments.data / "packages", Cache(arguments.data / "evaluation_cache")
    contenders = [parse_contender(name, packages) for name in (*arguments.models, *arguments.contenders)]
    settings = EvaluateSettings(
        degradation=Degradation(
            scale=SCALE, factor=FACTOR, kernel=arguments.kernel, noise=arguments.noise, crf=arguments.crf
        ),
        metrics=tuple(arguments.metrics) if arguments.metrics else None,
    )
    folder = arguments.data / "quality_cache"
    clips = [fixed_clip(name, frames, folder, packages) for name in names]
    terminal = Terminal()
    with terminal.progress() as progress:
        evaluation = evaluate(clips, contenders, settings, cache, progress=progress)
    for table in (table_of_means(evaluation), *tables_by_clip(evaluation)):
        print(f"\n{table.title}\n", *as_lines(table), sep="\n")
    print(*failures(evaluation), sep="\n")
    is_damaged = bool(arguments.noise) or arguments.crf is not None
    suffix = "_quick" * arguments.quick + f"_{arguments.kernel}" * (arguments.kernel != "bicubic")
    suffix += "_damaged" * is_damaged
    file = arguments.results or RESULTS / f"quality{suffix}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**to_json(evaluation), "clip_frames": frames}, indent=1) + "\n")
    report = arguments.data / f"quality_report{suffix}"
    report.mkdir(parents=True, exist_ok=True)
    print(f"wrote {file} and {write_pages(report, evaluation, clips, cache)[-1]}")


def fixed_clip(name: str, frames: int, folder: Path, packages: Path) -> TestClip:
    """Return a case as a clip to judge on, decoded once and then kept."""
    place = folder / f"{name}-{frames}"
    if not (place / "rate.txt").exists():
        place.mkdir(parents=True, exist_ok=True)
        reference, rate = load_reference(name, frames, MULTIPLE, packages)
        np.save(place / "reference.npy", reference)
        (place / "rate.txt").write_text(str(rate))
    rate = Fraction((place / "rate.txt").read_text())
    return TestClip(name=name, rate=rate, load=partial(load, place / "reference.npy"))


def load(path: Path) -> UInt8[np.ndarray, "f h w 3"]:
    """Return frames."""
    return np.load(path)


if __name__ == "__main__":
    main()
