"""The embedded model on the demo clip: seconds an output frame, where they go, and the most memory held.

Run: python benchmarks/nano.py
"""

import json
import resource
import time
from pathlib import Path

import torch

from venhancer.media.probe import probe
from venhancer.media.reader import FrameReader
from venhancer.plan import make_plan
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

CLIP = Path(__file__).parents[1] / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = Path(__file__).parent / "results" / "nano.json"


def main() -> None:
    """Measure and write the results."""
    started = time.perf_counter()
    pipeline = load_pipeline("nano")
    loading = time.perf_counter() - started
    clip = probe(CLIP)
    plan = make_plan(clip, parse_settings(scale=4, fps=24), pipeline.traits)
    seconds = dict.fromkeys(("encode", "denoise", "decode"), 0.0)
    prompts = pipeline.project_prompts([plan.sampling.prompt, plan.sampling.negative_prompt])
    carried = None
    for segment in plan.segments:
        with FrameReader(clip) as reader:
            frames = list(reader.read(plan.inputs_behind(pipeline.encoded_frames(plan, segment))))
        marks = [time.perf_counter()]
        conditions = pipeline.encode(frames, plan, segment)
        marks.append(time.perf_counter())
        latents, carried = pipeline.denoise(conditions, prompts, plan, segment, carried=carried)
        marks.append(time.perf_counter())
        list(pipeline.decode(latents[:, :, : len(segment.settled)], plan, segment, None, {}))
        marks.append(time.perf_counter())
        for stage, begin, end in zip(seconds, marks, marks[1:], strict=False):
            seconds[stage] += end - begin
    total = sum(seconds.values())
    result = {
        "output": [plan.width, plan.height, plan.frames],
        "threads": torch.get_num_threads(),
        "evaluations": plan.sampling.evaluations,
        "load_seconds": round(loading, 2),
        "seconds_per_frame": round(total / plan.frames, 3),
        "share": {stage: round(part / total, 3) for stage, part in seconds.items()},
        "gflops": round(plan.estimate.network_flops / seconds["denoise"] / 1e9, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "estimated_peak_gib": round(plan.footprint.total / 2**30, 2),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
