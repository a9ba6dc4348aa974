"""The embedded model on the demo clip: seconds an output frame and where they go, memory; how soon commands answer.

Run: python benchmarks/nano.py [--dtype bf16] (other number formats than the usual one have results of their own)
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.plan import make_plan
from venhancer.runtime.heap import keep_freed_memory
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

CLIP = Path(__file__).parents[1] / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = Path(__file__).parent / "results"
COMMANDS = {
    "help": ["--help"],
    "plan": ["plan", str(CLIP), "--scale", "4", "--fps", "24"],
    "plan of v2": ["plan", str(CLIP), "--scale", "4", "--fps", "24", "--model", "v2"],
}
RUNS = 3


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="auto", help="number format of the networks")
    dtype = parser.parse_args().dtype
    started = time.perf_counter()
    keep_freed_memory()  # as the program does
    pipeline = load_pipeline("nano", dtype=dtype)
    loading = time.perf_counter() - started
    clip = probe(CLIP)
    plan = make_plan(clip, parse_settings(scale=4, fps=24), pipeline.traits, machine=pipeline.machine)
    seconds = {"encode": 0.0, "denoise": 0.0}

    def timed(stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: object, **named: object) -> Any:
            begun = time.perf_counter()
            done = work(*given, **named)
            seconds[stage] += time.perf_counter() - begun
            return done

        return run

    pipeline.encode = timed("encode", pipeline.encode)
    pipeline.denoise = timed("denoise", pipeline.denoise)
    started = time.perf_counter()
    with FrameReader(clip) as reader:
        frames = sum(1 for _ in pipeline.enhance(plan, reader.read))
    total = time.perf_counter() - started
    seconds["decode"] = total - sum(seconds.values())
    result = {
        "output": [plan.width, plan.height, frames],
        "threads": torch.get_num_threads(),
        "evaluations": len(plan.sampling.evaluations),
        "load_seconds": round(loading, 2),
        "seconds_per_frame": round(total / frames, 3),
        "share": {stage: round(part / total, 3) for stage, part in seconds.items()},
        "gflops": round(plan.estimate.network_flops / seconds["denoise"] / 1e9, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "estimated_peak_gib": round(plan.footprint.total / 2**30, 2),
        "command_seconds": {
            name: round(median(map(run_command, [words] * RUNS)), 2) for name, words in COMMANDS.items()
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"nano{'' if dtype == 'auto' else '_' + dtype}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def run_command(words: list[str]) -> float:
    """Return how many seconds a command takes, from its start to its end."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venhancer", *words], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
