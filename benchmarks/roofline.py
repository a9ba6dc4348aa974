"""Predicted seconds against measured ones on this machine: the embedded model, and a forward of the published size.

The rates of a large product and of a large copy are measured here, before and after the work and for about as long, and
take the place of what a data sheet states; all else is `venhancer.planning`, as `venhancer plan --on` uses it.
Needs about 9 GB; --small leaves the full-size forward out. Run: python benchmarks/roofline.py
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import torch
from network import FRAMES, HEIGHT, WIDTH, best_seconds, full_size_forward, product_rate

from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.model_files.network_shape import NetworkShape
from venhancer.plan import make_plan
from venhancer.planning.devices import LARGE_COPY, LARGE_PRODUCT, Device
from venhancer.planning.estimate import network_flops
from venhancer.planning.prediction import predict
from venhancer.runtime.heap import keep_freed_memory
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

CLIP = Path(__file__).parents[1] / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = Path(__file__).parent / "results" / "roofline.json"
COPIED = 64 * 2**20  # values of 4 bytes: far more than caches hold


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="leave the full-size forward out")
    arguments = parser.parse_args()
    keep_freed_memory()  # as the program does
    cases = {"nano": nano}
    if not arguments.small:
        cases["full-size forward"] = full_size
    result = {"threads": torch.get_num_threads(), "torch": torch.__version__}
    for name, case in cases.items():
        work, predicted_on = case()
        before, pairs = this_machine(work()), list[tuple[float, float]]()
        for _ in range(arguments.runs):
            measured = work()
            after = this_machine(measured)
            pairs.append(((predicted_on(before) + predicted_on(after)) / 2, measured))
            before = after
        result[name] = {
            "predicted_seconds": [round(predicted, 2) for predicted, _ in pairs],
            "measured_seconds": [round(measured, 2) for _, measured in pairs],
            "predicted_over_measured": round(median(predicted / measured for predicted, measured in pairs), 3),
            "product_gflops": round(before.tflops["fp32"] * LARGE_PRODUCT * 1e3, 1),
            "copy_gigabytes_a_second": round(before.bandwidth * LARGE_COPY / 1e9, 1),
        }
        print(json.dumps({name: result[name]}), flush=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def this_machine(seconds: float) -> Device:
    """Return this machine by the rates that it reaches now, products for about so many seconds."""
    source, target = torch.randn(COPIED), torch.empty(COPIED)
    copy = 2 * 4 * COPIED / median(best_seconds(lambda: target.copy_(source), 1) for _ in range(9))
    return Device(
        title="this machine",
        tflops={"fp32": product_rate(seconds) / LARGE_PRODUCT / 1e12},
        bandwidth=copy / LARGE_COPY,
        memory=0,
        source="measured",
    )


Case = tuple[Callable[[], float], Callable[[Device], float]]
"""Work that tells its seconds, and what predicts them."""


def nano() -> Case:
    """Return the denoising of the demo clip by the embedded model."""
    pipeline, clip, seconds = load_pipeline("nano", dtype="fp32"), probe(CLIP), []
    plan = make_plan(clip, parse_settings(scale=4, fps=24), pipeline.traits, machine=pipeline.machine)
    denoise = pipeline.denoise

    def timed(*given: object, **named: object) -> object:
        started = time.perf_counter()
        done = denoise(*given, **named)
        seconds.append(time.perf_counter() - started)
        return done

    def work() -> float:
        seconds.clear()
        with FrameReader(clip) as reader:
            for _ in pipeline.enhance(plan, reader.read):
                pass
        return sum(seconds)

    pipeline.denoise = timed
    return work, lambda device: predict(plan.layout, device, "fp32").networks


def full_size() -> Case:
    """Return one forward of both networks of the published size."""
    grid = (FRAMES, HEIGHT, WIDTH)
    count = partial(network_flops, NetworkShape(), *grid, 77, key_frames=3)
    forward = full_size_forward()
    return partial(
        best_seconds, forward, 1
    ), lambda device: count(measure=partial(device.seconds, number_format="fp32")).total


if __name__ == "__main__":
    main()
