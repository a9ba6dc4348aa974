"""The memory that plans tell, against the memory that carrying them out takes: nano and the full-size network.

Each case runs in a process of its own, reading and writing included, and is measured by the most memory it ever held
(`ru_maxrss`: interpreter, libraries, weights, everything). Full-size weights are all one value; nothing of the memory
depends on them. Exits with 1 if one estimate is off by more than 15 %.

Run: python benchmarks/memory_plan.py [--cases nano] (those whose name begins so; the full-size ones need up to 12 GB)
     python benchmarks/memory_plan.py --table (what is chosen for `v2` on GPUs of some sizes; measures nothing)
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import torch
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from venhancer.enhance import enhance_as_planned
from venhancer.errors import SettingsError
from venhancer.media.clip import describe_frames
from venhancer.media.reading.probe import probe
from venhancer.model_files.traits import load_traits
from venhancer.models import VideoAutoencoder, VideoControlNet, VideoUNet
from venhancer.pipeline import VEnhancerPipeline
from venhancer.plan import EnhancePlan, make_plan
from venhancer.planning.memory import Machine
from venhancer.runtime.heap import keep_freed_memory
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline

CLIP = Path(__file__).parents[1] / "examples" / "meadow_160x90_8fps.mp4"
RESULTS = Path(__file__).parent / "results" / "memory_plan.json"
ALLOWED = 0.15
SIZES, GPUS = ((640, 360), (1280, 720), (1920, 1080)), (8, 16, 24, 48, 80)  # of the table; gigabytes
NANO = {
    "nano": {"fps": 24},
    "nano, at its own rate and size": {"scale": 1},
    "nano, twice the size": {"scale": 2, "fps": 24},
    "nano, windows of 8 frames": {"fps": 24, "window_frames": 8},
    "nano, tiles": {"fps": 16, "tile": "352x216"},
    "nano, guided": {"scale": 2, "fps": 16, "guidance_scale": 3, "steps": 2, "solver": "dpmpp_2m_sde"},
    "nano in 1.2 GB": {"fps": 24, "memory": "1.2GB"},
}
FULL = {  # number format, frames, height and width of the clip, settings
    "full size, 16 bits": ("bf16", 6, 64, 96, {"scale": 2, "steps": 2}),
    "full size, 16 bits, in 7 GB": ("bf16", 8, 96, 160, {"scale": 2, "steps": 2, "memory": "7GB"}),
    "full size, 32 bits": ("fp32", 6, 64, 96, {"scale": 2, "steps": 2}),
}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="", help="only cases whose name begins so; other results are kept")
    parser.add_argument("--table", action="store_true", help="only show what is chosen for v2 on GPUs of some sizes")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.table:
        print("\n".join(table()))
        return
    if arguments.case:
        print(json.dumps(measure(arguments.case)))
        return
    figures = json.loads(RESULTS.read_text()) if arguments.cases and RESULTS.exists() else {}
    for case in filter(lambda name: name.startswith(arguments.cases), (*NANO, *FULL)):
        command = [sys.executable, __file__, "--case", case]
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures[case] = json.loads(finished.stdout.splitlines()[-1])
        print(case, figures[case])
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    wrong = [case for case, figure in figures.items() if abs(figure["estimate_over_measured"] - 1) > ALLOWED]
    sys.exit(f"off by more than {ALLOWED:.0%}: {'; '.join(wrong)}" if wrong else 0)


def table() -> Iterator[str]:
    """Yield rows of what is chosen for `v2` in 16 bits: 32 frames, from half the size and a third of the rate."""
    yield "| output | GPU | estimate | frames in a window | tiles: networks, autoencoder | work | TFLOP | moved |"
    yield "|---|---|---|---|---|---|---|---|"
    for (width, height), limit in product(SIZES, GPUS):
        clip = describe_frames(11, height // 2, width // 2, Fraction(8))
        asked = parse_settings(size=f"{width}x{height}", fps=24, memory=f"{limit}GB", model="v2")
        try:
            plan = make_plan(clip, asked, load_traits("v2"), machine=Machine(number_format="bf16", has_own_memory=True))
        except SettingsError as error:
            yield f"| {width}x{height} | {limit} GB | {error} |||||||"
            continue
        how = plan.execution
        ways = [
            "slices" if how.slice_tokens else "whole",
            *(["one prompt after the other"] if not how.batches_guidance else []),
            *([f"weights come by {how.offload}"] if how.offload != "none" else []),
        ]
        frames = max(len(window) for segment in plan.segments for window in segment.windows)
        cells = [f"{width}x{height}", f"{limit} GB", f"{plan.footprint.total / 1e9:.1f} GB", frames]
        cells += [f"{len(plan.tiles)}, {len(plan.coded_tiles)}", ", ".join(ways)]
        cells += [f"{plan.estimate.network_flops / 1e12:,.0f}", f"{plan.estimate.moved_bytes / 1e9:,.0f} GB"]
        yield f"| {' | '.join(map(str, cells))} |"


def measure(case: str) -> dict[str, object]:
    """Carry out one case."""
    started = time.perf_counter()
    plan = run_nano(NANO[case]) if case in NANO else run_full_size(*FULL[case])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "output": [plan.width, plan.height, plan.frames],
        "window_frames": max(len(window) for segment in plan.segments for window in segment.windows),
        "tiles": len(plan.tiles),
        "sliced": plan.execution.slice_tokens is not None,
        "bits": 8 * plan.machine.value_bytes,
        "estimated_gb": round(plan.footprint.total / 1e9, 2),
        "measured_gb": round(peak / 1e9, 2),
        "estimate_over_measured": round(plan.footprint.total / peak, 3),
        "seconds": round(time.perf_counter() - started, 1),
    }


def run_nano(settings: dict[str, object]) -> EnhancePlan:
    """Enhance the demo clip from file to file."""
    keep_freed_memory()  # as the program does
    pipeline = load_pipeline("nano", device="cpu", dtype="fp32")
    plan = make_plan(probe(CLIP), parse_settings(**settings), pipeline.traits)
    with tempfile.TemporaryDirectory() as folder:
        enhance_as_planned(plan, Path(folder) / "out.mp4", pipeline)
    return plan


def run_full_size(dtype: str, frames: int, height: int, width: int, settings: dict[str, object]) -> EnhancePlan:
    """Enhance a few frames in memory with networks, autoencoder and text encoder of the published size."""
    number_format = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
    pipeline = full_size_pipeline(number_format)
    clip = describe_frames(frames, height, width, Fraction(8))
    machine = Machine(number_format=dtype)
    plan = make_plan(clip, parse_settings(**settings, model="v2"), load_traits("v2"), machine=machine)
    pictures = np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    for _ in pipeline.enhance(plan, lambda inputs: (pictures[index] for index in inputs)):
        pass
    return plan


def full_size_pipeline(number_format: torch.dtype) -> VEnhancerPipeline:
    """Return a pipeline of the published size whose weights say nothing."""
    tokenizer = ByT5Tokenizer(extra_ids=0)
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=23,
        num_attention_heads=16,
        max_position_embeddings=77,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    widths = (128, 256, 512, 512)
    down = ("DownEncoderBlock2D",) * len(widths)
    with torch.device("meta"):
        parts = {
            "vae": VideoAutoencoder(down_block_types=down, block_out_channels=widths, layers_per_block=2),
            "unet": VideoUNet(),
            "controlnet": VideoControlNet(),
            "text_encoder": CLIPTextModel(text),
        }
    for part in parts.values():
        torch.nn.Module.to(part, number_format).to_empty(device="cpu").requires_grad_(requires_grad=False).eval()
        for values in (*part.parameters(), *part.buffers()):
            values.fill_(0.001 if values.is_floating_point() else 0)
    return VEnhancerPipeline(**parts, tokenizer=tokenizer)


if __name__ == "__main__":
    main()
