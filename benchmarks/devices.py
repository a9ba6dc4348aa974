"""One video on two devices against one: the processor's, a thread each; seconds, what travelled, and that bytes agree.

The model has every class of a published one at small widths, with random weights: two prompts a step, four windows.

Run: python benchmarks/devices.py [--steps 2] [--runs 3]
"""

import argparse
import json
import statistics
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from venhancer.media.clip import describe_frames
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.memory import Machine
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline
from venhancer.workers.workers import Workers

RESULTS = Path(__file__).parent / "results" / "devices.json"
sys.path.append(str(Path(__file__).parents[1] / "tests"))

from tiny_model import make_tiny_model  # noqa: E402 - after the path to it

WIDTHS = {"base_channels": 96, "head_dim": 32, "norm_groups": 32}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3, help="of each way, in turn")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    frames = np.random.default_rng(0).integers(0, 256, (32, 36, 64, 3), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        pipeline = load_pipeline(make_tiny_model(Path(folder) / "model", widths=WIDTHS), device="cpu", dtype="fp32")
        settings = parse_settings(scale=4, fps=8, steps=arguments.steps, window_frames=9, window_overlap=1, shots=False)
        clip = describe_frames(*frames.shape[:3], Fraction(8))
        plan = make_plan(clip, settings, pipeline.traits, machine=Machine(devices=2))
        seconds: dict[str, list[float]] = {"one": [], "two": []}
        outputs = {}
        with Workers(pipeline, ["cpu"]) as workers:  # each has one thread, and this process too
            for _ in range(arguments.runs):
                for way, chosen in (("one", None), ("two", workers)):
                    pipeline.workers = chosen
                    begun = time.perf_counter()
                    outputs[way] = np.stack(list(run(pipeline, plan, frames)))
                    seconds[way].append(time.perf_counter() - begun)
            predictions, travelled = workers.others[0].predictions, workers.others[0].bytes
    result = {way: round(statistics.median(each), 2) for way, each in seconds.items()}
    result |= {"times": round(result["one"] / result["two"], 2), "same bytes": np.array_equal(*outputs.values())}
    result |= {"windows": sum(len(one.windows) for one in plan.segments), "steps": arguments.steps}
    result |= {"megabytes a prediction": round(travelled / max(1, predictions) / 1e6, 3)}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def run(pipeline: VEnhancerPipeline, plan: EnhancePlan, frames: np.ndarray) -> object:
    return pipeline.enhance(plan, lambda inputs: frames[list(inputs)])


if __name__ == "__main__":
    main()
