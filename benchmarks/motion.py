"""Frames between key frames that are the truth's own: optical flow, nano's motion network, and RIFE.

    python benchmarks/motion.py [--models nano runs/motion/pipeline] [--cases cyclist street ...]

Of every clip of `cases.py`, every third frame is a key frame and every contender makes the two between, at full size.
Only those are scored. Seconds are of one thread, all contenders in turn; of a clip of one size compare them with each
other only. Prints a table and writes `benchmarks/results/motion.json`.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch
from cases import CASES, load_reference
from torch import Tensor

from venhancer.evaluation.baselines.chains import load_rife_any_time, load_rife_midpoint
from venhancer.evaluation.baselines.networks import Between
from venhancer.evaluation.metrics.registry import metric_named
from venhancer.frames.levels import Frames, to_levels, to_pixels
from venhancer.frames.motion import Move, frames_between
from venhancer.models.motion import MotionByNetwork
from venhancer.weights import load_pipeline

FACTOR = 3
TIMES = [number / FACTOR for number in range(1, FACTOR)]
METRICS_SHOWN = ("psnr", "ssim", "st_lpips")
MULTIPLE = 8

RIFE = {"RIFE 4.0": load_rife_any_time, "RIFE HDv3": load_rife_midpoint}

Make = Callable[[Tensor, Tensor, Sequence[float]], Iterator[Tensor]]
"""Yields the frames at some times between two, all of them `3 h w` in [-1, 1]."""


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["nano"], help="names or folders of models with such a network")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="clips")
    parser.add_argument("--frames", type=int, default=13, help="of a clip: one more than a multiple of 3")
    parser.add_argument("--rife", nargs="*", choices=RIFE, default=list(RIFE), help="versions of it")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages are")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "motion.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packages = arguments.data / "packages"
    contenders: dict[str, Make] = {"repeated": repeated, "blended": blended, "DIS": frames_between}
    for name in arguments.models:
        move = MotionByNetwork(load_pipeline(name, dtype="fp32").motion)
        contenders |= {f"{name}, network alone": partial(alone, move), name: partial(frames_between, move=move)}
    contenders |= {name: partial(by_rife, RIFE[name](packages)) for name in arguments.rife}
    scores: dict[str, dict[str, dict[str, float]]] = {name: {} for name in contenders}
    for case in arguments.cases:
        reference, _ = load_reference(case, arguments.frames, MULTIPLE, packages)
        for name, make in contenders.items():
            scores[name][case] = score(make, reference)
            print(f"{case:12} {name:40}", *(f"{key} {value:.4f}" for key, value in scores[name][case].items()))
    print()
    for name, by_case in scores.items():
        means = {key: fmean(one[key] for one in by_case.values()) for key in (*METRICS_SHOWN, "seconds")}
        print(f"{name:40}", *(f"{key} {value:.4f}" for key, value in means.items()))
    arguments.results.write_text(json.dumps(scores, indent=1) + "\n")
    print(f"wrote {arguments.results}")


def score(make: Make, reference: Frames) -> dict[str, float]:
    """Return the metrics of the frames between, and the seconds of one."""
    device, seconds = torch.device("cpu"), list[float]()
    between, truth = list[np.ndarray](), list[np.ndarray]()
    for number, (before, after) in enumerate(pairwise(reference[::FACTOR])):
        began = time.perf_counter()
        frames = [to_levels(frame, 8) for frame in make(to_pixels(before, device), to_pixels(after, device), TIMES)]
        seconds.append((time.perf_counter() - began) / len(frames))
        between += frames
        truth += list(reference[number * FACTOR + 1 : (number + 1) * FACTOR])
    result, guide = np.stack(between), np.stack(truth)
    return {name: metric_named(name)(result, guide) for name in METRICS_SHOWN} | {"seconds": median(seconds)}


def repeated(before: Tensor, _: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
    """Yield the earlier frame for every time."""
    yield from (before for _ in times)


def blended(before: Tensor, after: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
    """Yield weighted means."""
    yield from (torch.lerp(before, after, time) for time in times)


def alone(move: Move, before: Tensor, after: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
    """Yield frames moved one way."""
    yield from (pair.blended() for pair in move(before, after, times))


def by_rife(between: Between, before: Tensor, after: Tensor, times: Sequence[float]) -> Iterator[Tensor]:
    """Yield RIFE's frames."""
    first, second = ((picture[None] + 1) / 2 for picture in (before, after))
    yield from (between(first, second, time)[0] * 2 - 1 for time in times)


if __name__ == "__main__":
    main()
