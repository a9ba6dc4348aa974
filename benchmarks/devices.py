"""One video on two devices against one: the processor's, a thread each; seconds, what travelled, and that bytes agree.

Two models of random weights with every class of a published one. In the first the networks take the time: two prompts
a step, four windows. In the second, the autoencoder that decodes several frames together.

Run: python benchmarks/devices.py [--models networks autoencoder] [--steps 2] [--runs 3]
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
from venhancer.plan import make_plan
from venhancer.planning.memory import Machine
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline
from venhancer.workers.workers import Workers

RESULTS = Path(__file__).parent / "results" / "devices.json"
sys.path.append(str(Path(__file__).parents[1] / "tests"))

from tiny_model import make_image_model, make_tiny_model  # noqa: E402 - after the path to it

WIDTHS = {"base_channels": 96, "head_dim": 32, "norm_groups": 32}
WINDOWS = {"scale": 4, "fps": 8, "window_frames": 9, "window_overlap": 1, "shots": False}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["networks", "autoencoder"], help="others keep their results")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3, help="of each way, in turn")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    with TemporaryDirectory() as folder:
        models = {
            "networks": make_tiny_model(Path(folder) / "networks", widths=WIDTHS),
            "autoencoder": make_image_model(Path(folder) / "autoencoder", temporal=True),
        }
        result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        result |= {name: measure(models[name], arguments.steps, arguments.runs) for name in arguments.models}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(model: Path, steps: int, runs: int) -> dict[str, object]:
    """Return what one and two devices take for a model's work on 32 frames, and whether they agree."""
    pipeline = load_pipeline(model, device="cpu", dtype="fp32")
    frames = np.random.default_rng(0).integers(0, 256, (32, 36, 64, 3), dtype=np.uint8)
    clip = describe_frames(*frames.shape[:3], Fraction(8))
    plan = make_plan(clip, parse_settings(**WINDOWS, steps=steps), pipeline.traits, machine=Machine(devices=2))
    seconds: dict[str, list[float]] = {"one": [], "two": []}
    outputs = {}
    with Workers(pipeline, ["cpu"]) as workers:  # each has one thread, and this process too
        for _ in range(runs):
            for way, chosen in (("one", None), ("two", workers)):
                pipeline.workers = chosen
                begun = time.perf_counter()
                outputs[way] = np.stack(list(pipeline.enhance(plan, lambda inputs: frames[list(inputs)])))
                seconds[way].append(time.perf_counter() - begun)
        (other,) = workers.others
    one, two = (statistics.median(each) for each in seconds.values())
    return {
        "one": round(one, 2),
        "two": round(two, 2),
        "times": round(one / two, 2),
        "same bytes": np.array_equal(*outputs.values()),
        "windows": sum(len(one.windows) for one in plan.segments),
        "predictions": other.predictions // runs,
        "coded parts": other.codings // runs,
        "steps": steps,
        "megabytes": round(other.bytes / runs / 1e6, 1),
    }


if __name__ == "__main__":
    main()
