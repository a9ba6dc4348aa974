"""What limits the embedded model at 4x/3x: key frames restored badly, or frames between them moved badly.

    python benchmarks/nano_limits.py [--model nano] [--cases ...] [--frames 25]

Rows have the key frames of the model, of SPAN + RIFE or of the truth, and the frames between that came with them or
those that `venhancer.frames.motion` makes of these key frames, with all its guesses at the motion or with the one of
Super SloMo alone. Prints means over the clips of `cases.py` and writes `benchmarks/results/nano_limits.json`.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from cases import CASES
from jaxtyping import UInt8
from quality import FACTOR, SCALE, fixed_clip

from venhancer.evaluation.cache import Cache
from venhancer.evaluation.contenders import parse_contender
from venhancer.evaluation.degrade import Degradation
from venhancer.evaluation.evaluate import EvaluateSettings, evaluate, shown_frames
from venhancer.evaluation.metrics.metric import Subject
from venhancer.evaluation.metrics.psnr import psnr
from venhancer.evaluation.metrics.registry import score
from venhancer.frames import motion
from venhancer.frames.levels import to_levels

Clip = UInt8[np.ndarray, "f h w 3"]
RESULTS = Path(__file__).parent / "results" / "nano_limits.json"
CHAIN = "span+rife"
METRICS = ("st_lpips", "warped_error", "frame_difference_error", "temporal_flicker")
TIMES = [number / FACTOR for number in range(1, FACTOR)]


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="ours: a name or a folder")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="clips")
    parser.add_argument("--frames", type=int, default=25, help="frames of a reference: one more than a multiple of 3")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where packages and kept outputs are")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packages, cache = arguments.data / "packages", Cache(arguments.data / "evaluation_cache")
    clips = [fixed_clip(name, arguments.frames, arguments.data / "quality_cache", packages) for name in arguments.cases]
    contenders = [parse_contender(name, packages) for name in (arguments.model, CHAIN)]
    settings = EvaluateSettings(degradation=Degradation(scale=SCALE, factor=FACTOR), metrics=("psnr",))
    evaluation = evaluate(clips, contenders, settings, cache)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for clip in clips:
        truth = clip.load()
        ours, chain = (
            np.array(shown_frames(clip, settings, evaluation.result(clip.name, contender.name), cache))
            for contender in contenders
        )
        rows: dict[str, Clip] = {
            "the model": ours,
            "its key frames, moved": moved(ours, motion.frames_between),
            "SPAN + RIFE": chain,
            "SPAN's key frames, moved": moved(chain, motion.frames_between),
            "SPAN's key frames, moved by one guess": moved(chain, one_guess),
            "the truth's key frames, moved": moved(truth, motion.frames_between),
        }
        for name, frames in rows.items():
            subject = Subject(result=frames, reference=truth, factor=FACTOR)
            between = np.arange(len(truth)) % FACTOR > 0
            scores = {"psnr_keys": psnr(frames[~between], truth[~between])}
            scores |= {"psnr_between": psnr(frames[between], truth[between]), **score(subject, METRICS)}
            found.setdefault(name, {})[clip.name] = scores
        print(f"{clip.name} done", flush=True)
    names = ("psnr_keys", "psnr_between", *METRICS)
    means = {
        row: {name: float(np.mean([scores[name] for scores in of_clips.values()])) for name in names}
        for row, of_clips in found.items()
    }
    width = max(map(len, means))
    print(" " * width, *(f"{name:>22}" for name in names))
    for name, row in means.items():
        print(name.ljust(width), *(f"{value:22.3f}" for value in row.values()))
    RESULTS.write_text(json.dumps({"means": means, "clips": found}, indent=1) + "\n")


def moved(frames: Clip, between: Callable[..., Iterable[torch.Tensor]]) -> Clip:
    """Return the key frames of a clip with the frames between made of them."""
    result = frames.copy()
    keys = [torch.from_numpy(frame).movedim(-1, 0).float() / 127.5 - 1 for frame in frames[::FACTOR]]
    for number, (before, after) in enumerate(pairwise(keys)):
        for offset, frame in enumerate(between(before, after, TIMES), start=1):
            result[number * FACTOR + offset] = to_levels(frame, 8)
    return result


def one_guess(before: torch.Tensor, after: torch.Tensor, times: Sequence[float]) -> Iterable[torch.Tensor]:
    """Yield the frames between two along a mean of both flows (Super SloMo, eq. 4)."""
    flows = motion.estimate_flows(before[None], after[None])
    sides = [
        torch.cat([picture[None], motion.trust_in(there, back)], dim=1)
        for picture, there, back in ((before, *flows), (after, *flows[::-1]))
    ]
    for time in times:
        yield motion.along(torch.lerp(flows.forward, -flows.backward, time), time, *sides)[0][0]


if __name__ == "__main__":
    main()
