"""What steps, guidance, presets and students do, on the small diffusion model of `recipes/teacher.yaml`.

    python recipes/footage.py --only bunny
    venhancer train recipes/teacher.yaml
    venhancer train recipes/teacher_low_noise.yaml
    venhancer train recipes/teacher_guidance.yaml
    venhancer train recipes/teacher_four_step.yaml
    python benchmarks/teacher.py [--only steps guidance ...] [--results FILE]

Clips are cut from film that training never saw: from the middle of each of its shots, the most detailed of nine crops,
every second frame of it, reduced 4 times. All frames are compared with the truth. Seconds are of processor time, of the
whole way from frames to frames. Results are added to `benchmarks/results/teacher.json`.
"""

import argparse
import json
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from venhancer.evaluation.degrade import Degradation
from venhancer.evaluation.metrics.psnr import psnr
from venhancer.evaluation.metrics.st_lpips import st_lpips
from venhancer.evaluation.metrics.warped_error import warped_error
from venhancer.frames.levels import Frames
from venhancer.training.data.manifest import find_manifest, read_manifest
from venhancer.weights import load_pipeline

RESULTS = Path(__file__).parent / "results" / "teacher.json"
SCALE, FACTOR = 4, 2
STUDIES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "steps": {f"{steps} steps": {"steps": steps} for steps in (1, 2, 4, 8, 15)},
    "steps without guidance": {
        f"{steps} steps, no guidance": {"steps": steps, "guidance_scale": 1.0} for steps in (1, 2, 4, 8, 15)
    },
    "guidance": {f"guidance {scale:g}": {"guidance_scale": scale} for scale in (1.0, 1.5, 2.0, 4.0, 7.5)},
    "presets": {name: {"preset": name} for name in ("exact", "balanced", "fast", "draft")},
    "interval": {
        "without guidance below 300": {"guidance_until": 300},
        "without guidance above 600": {"guidance_from": 600},
    },
    "guidance adapter": {f"adapter, guidance {scale:g}": {"guidance_scale": scale} for scale in (1.0, 1.5, 2.0)},
    "student": {
        "student": {},
        "student, 2 steps": {"steps": 2},
        "student, 1 step": {"steps": 1},
    },
}
ADAPTED = {"guidance adapter": "guidance", "student": "student"}


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/teacher_low_noise/pipeline"))
    parser.add_argument("--guidance", type=Path, default=Path("runs/teacher_guidance/adapters.safetensors"))
    parser.add_argument("--student", type=Path, default=Path("runs/teacher_four_step/adapters.safetensors"))
    parser.add_argument("--footage", type=Path, default=Path("data/footage"))
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--frames", type=int, default=9, help="of a clip: one more than a multiple of 2")
    parser.add_argument("--side", type=int, default=96, help="of a clip, in pixels")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    clips = cut_clips(arguments.footage, arguments.clips, arguments.frames, arguments.side)
    content: dict[str, Any] = json.loads(arguments.results.read_text()) if arguments.results.exists() else {}
    for study in arguments.only:
        adapter = getattr(arguments, ADAPTED[study]) if study in ADAPTED else None
        pipeline = load_pipeline(arguments.model, adapter=adapter, device="cpu", dtype="fp32")
        content[study] = {}
        for name, settings in STUDIES[study].items():
            content[study][name] = row = measure(pipeline, clips, settings)
            print(f"{name:32}", *(f"{key} {value:.4g}" for key, value in row.items()), flush=True)
        content["clips"] = {"count": len(clips), "frames": arguments.frames, "side": arguments.side}
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {arguments.results}")


def cut_clips(footage: Path, count: int, frames: int, side: int) -> list[tuple[Frames, Fraction]]:
    """Return as many clips, each from another shot where there are enough, with their rates."""
    manifest = find_manifest(footage)
    entries = [entry for entry in read_manifest(manifest, "held_out") if entry.frames >= frames]
    clips = []
    for number in range(count):
        entry = entries[number * len(entries) // count]
        whole = np.load(manifest.parent / entry.path, mmap_mode="r")
        first = (entry.frames - frames) // 2
        shown = np.ascontiguousarray(whole[first : first + frames])
        corners = [
            (y, x)
            for y in np.linspace(0, entry.height - side, 3, dtype=int)
            for x in np.linspace(0, entry.width - side, 3, dtype=int)
        ]
        crops = [shown[:, y : y + side, x : x + side] for y, x in corners]
        clips.append((max(crops, key=detail), Fraction(entry.rate)))
    return clips


def detail(frames: Frames) -> float:
    """Return how much neighbouring pixels differ."""
    return float(np.abs(np.diff(frames.astype(np.float32), axis=2)).mean())


def measure(pipeline: Any, clips: list[tuple[Frames, Fraction]], settings: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean scores of some settings, their network calls and processor time a clip."""
    calls: list[int] = []
    hook = pipeline.unet.register_forward_hook(lambda *call: calls.append(len(call[-1])))  # the result comes last
    scores: dict[str, list[float]] = {"psnr": [], "st_lpips": [], "warped_error": [], "seconds": []}
    for reference, rate in clips:
        source = Degradation(scale=SCALE, factor=FACTOR).apply(reference)
        started = time.process_time()
        result = pipeline(source, scale=SCALE, fps=rate, source_fps=rate / FACTOR, **settings)[: len(reference)]
        scores["seconds"].append(time.process_time() - started)
        scores["psnr"].append(psnr(result, reference))
        scores["st_lpips"].append(st_lpips(result, reference))
        scores["warped_error"].append(warped_error(result, reference))
    hook.remove()
    return {"calls": sum(calls) / len(clips), **{name: fmean(values) for name, values in scores.items()}}


if __name__ == "__main__":
    main()
