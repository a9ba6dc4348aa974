"""All that a GPU is rented for, in one command of under ten minutes, `python benchmarks/gpu.py`.

In this order, each case written to the results as it ends, so that a run may be stopped at any moment: rates of a large
product and copy; golden numbers in float32 and bfloat16; the pipeline of v2's size with random weights at 640x360 and
1280x720 (seconds an evaluation, peak against plan, predicted seconds); operators, copies and waits of one evaluation;
presets; compiled blocks; kinds of offload; the autoencoder; NVENC; a training step of every published recipe; the
embedded model. A table in Markdown is written beside the JSON. It needs no footage, no PyAV and no network.

`--tiny` does the same with small networks and pictures on any device: a test runs that on a processor.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.profiler import ProfilerActivity, profile
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from stand_ins import GOLDEN, filled, network_shapes, reference_input  # noqa: E402
from venhancer.checkpoints.network import network_components  # noqa: E402
from venhancer.checkpoints.reading import TensorFile  # noqa: E402
from venhancer.media.clip import describe_frames  # noqa: E402
from venhancer.model_files.network_shape import NetworkShape  # noqa: E402
from venhancer.model_files.traits import ModelTraits, load_traits  # noqa: E402
from venhancer.models import KeyFrames, VideoAutoencoder, VideoControlNet, VideoUNet  # noqa: E402
from venhancer.pipeline import VEnhancerPipeline  # noqa: E402
from venhancer.plan import EnhancePlan, make_plan  # noqa: E402
from venhancer.planning.devices import LARGE_COPY, LARGE_PRODUCT, Device  # noqa: E402
from venhancer.planning.execution import CODED_FRAMES  # noqa: E402
from venhancer.planning.machine import machine_of  # noqa: E402
from venhancer.planning.prediction import predict  # noqa: E402
from venhancer.settings import parse_settings  # noqa: E402
from venhancer.training.data.augment import Example  # noqa: E402
from venhancer.training.learner import Learner, make_learner, make_optimizer  # noqa: E402
from venhancer.training.settings import TrainSettings  # noqa: E402
from venhancer.weights import load_pipeline  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "gpu.json"
RECIPES = ("controlnet_finetune_v2", "lora_finetune_v2", "controlnet_paper")
GIB = 2**30
FULL_TEXT = {"vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23}
TINY_TEXT = {"vocab_size": 384, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
TINY_NETWORK = {"base_channels": 32, "channel_mults": (1, 2), "blocks_per_level": 1, "attention_levels": (True, False)}
TINY_NETWORK |= {"head_dim": 16, "text_dim": 32, "entry_heads": 2}
GOLDEN_NETWORK = {"base_channels": 64, "head_dim": 32, "text_dim": 32}
WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "cudaStreamSynchronize")
COPIES = ("aten::clone", "aten::copy_", "aten::contiguous", "aten::_to_copy")

Result = dict[str, Any]


@dataclass
class Bench:
    """What the cases share.

    Args:
        device: where everything runs.
        tiny: whether networks and pictures are small.
        rates: of number formats and memory, once measured.
    """

    device: torch.device
    tiny: bool
    rates: Device | None = field(default=None)

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the networks."""
        return torch.float32 if self.tiny else torch.bfloat16

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Widths and heights of outputs."""
        return ((128, 96), (160, 128)) if self.tiny else ((640, 360), (1280, 720))

    @property
    def frames(self) -> int:
        """Frames of outputs."""
        return 6 if self.tiny else 32

    @cached_property
    def traits(self) -> ModelTraits:
        """Those of v2, or of its classes at small width."""
        traits = load_traits("v2")
        if not self.tiny:
            return traits
        shape = NetworkShape(**TINY_NETWORK)
        return replace(traits, network=shape, parameters=10**6, companion_parameters=10**6, autoencoder_width=32)

    @cached_property
    def pipeline(self) -> VEnhancerPipeline:
        """Random weights in all components."""
        width = 32 if self.tiny else 128
        widths = (width,) * 4 if self.tiny else (width, 2 * width, 4 * width, 4 * width)
        text = CLIPTextConfig(
            **(TINY_TEXT if self.tiny else FULL_TEXT),
            num_attention_heads=2 if self.tiny else 16,
            max_position_embeddings=77,
        )
        config = self.traits.network.arguments()
        control = {name: value for name, value in config.items() if name != "out_channels"}
        with torch.device("meta"):
            parts = (
                VideoAutoencoder(
                    block_out_channels=widths,
                    down_block_types=("DownEncoderBlock2D",) * 4,
                    layers_per_block=2,
                    scaling_factor=0.18215,
                ),
                VideoUNet(**config),
                VideoControlNet(**control),
            )
        for part in parts:
            part.to_empty(device=self.device).to(self.dtype).eval()
            for values in part.parameters():
                values.data.normal_(std=0.02)
        vae, unet, controlnet = parts
        encoder = CLIPTextModel(text).to(self.device, self.dtype).eval()
        pipeline = VEnhancerPipeline(vae, unet, controlnet, encoder, ByT5Tokenizer(extra_ids=0))
        pipeline.traits = self.traits  # pyright: ignore[reportAttributeAccessIssue] - cached, as loading would have
        pipeline.runs_on = self.device
        return pipeline

    def plan(self, size: tuple[int, int], steps: int = 3, **settings: object) -> EnhancePlan:
        """Return the plan of an enhancement by four, at three times the rate."""
        width, height = size
        clip = describe_frames(-(-self.frames // 3), height // 4, width // 4, Fraction(8))
        asked = {"fps": 24, "size": f"{width}x{height}", "steps": steps, "window_overlap": 0, **settings}
        machine = machine_of(self.device, self.dtype)
        return make_plan(clip, parse_settings(model="v2", **asked), self.traits, machine=machine)

    def wait(self) -> None:
        """Wait until the device has done all it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], repeats: int = 3) -> float:
        """Return the median time of some work, after one run to warm up."""
        times = []
        for _ in range(repeats + 1):
            self.wait()
            started = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - started)
        return median(times[1:])

    def run(self, plan: EnhancePlan) -> Result:
        """Enhance noise; return seconds of each evaluation and of all, and the peak of memory."""
        clip, moments = plan.clip, []
        inputs = np.random.default_rng(0).integers(0, 256, (clip.frames, clip.height, clip.width, 3), np.uint8)

        def on_step(_: int, __: float, denoised: torch.Tensor) -> torch.Tensor:
            self.wait()
            moments.append(time.perf_counter())
            return denoised

        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        began = time.perf_counter()
        frames = self.pipeline.enhance(plan, lambda numbers: inputs[list(numbers)], on_step=on_step)
        made = sum(1 for _ in frames)
        self.wait()
        gaps = [after - before for before, after in pairwise(moments)]
        peak = torch.cuda.max_memory_allocated(self.device) / GIB if self.device.type == "cuda" else None
        return {
            "frames": made,
            "seconds": round(time.perf_counter() - began, 3),
            "seconds_an_evaluation": round(median(gaps), 4) if gaps else None,
            "peak_gib": peak and round(peak, 2),
        }


def rates(bench: Bench) -> Result:
    """Measure a large product and a large copy."""
    side, values = (256, 2**20) if bench.tiny else (8192, 2**29)
    speeds = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
        speeds[name] = 2 * side**3 / bench.seconds(partial(torch.mm, left, right)) / 1e12
    source = torch.randn(values, device=bench.device)
    copy = 8 * values / bench.seconds(partial(torch.empty_like(source).copy_, source))
    bench.rates = Device(
        title="measured",
        tflops={name: speed / LARGE_PRODUCT for name, speed in speeds.items()},
        bandwidth=copy / LARGE_COPY,
        memory=0,
        source="this run",
    )
    return {**{f"{name}_tflops": round(speed, 3) for name, speed in speeds.items()}, "copy_gb_s": round(copy / 1e9, 1)}


def parity(bench: Bench) -> Result:
    """Compare the published network's golden numbers with both number formats here, and with float64 on the host."""
    weights = filled(network_shapes(GOLDEN_NETWORK))
    source = TensorFile(GOLDEN, {key: tuple(value.shape) for key, value in weights.items()}, weights.__getitem__)
    networks = []
    for component in network_components(source):
        component.model.load_state_dict({key: component.read(key) for key in component.model.state_dict()}, assign=True)
        networks.append(component.model.eval())
    golden = load_file(GOLDEN / "tiny_network.safetensors")["v2_b1_t500/out"]
    latents, text = reference_input("x.b1", (1, 4, 5, 18, 16)), reference_input("y.b1", (1, 77, 32))
    mask = torch.tensor([[True, False, False, True, False]])
    hint = reference_input("hint.b1", (1, 4, 2, 18, 16))
    errors = {}
    ways = {"fp64": ("cpu", torch.float64), "fp32": (bench.device, torch.float32)}
    for name, (device, dtype) in (ways | {"bf16": (bench.device, torch.bfloat16)}).items():
        unet, controlnet = (network.to(device=device, dtype=dtype) for network in networks)
        x, y, h = (each.to(device, dtype) for each in (latents, text, hint))
        numbers = torch.tensor([199], device=device), torch.tensor([4.0], device=device)
        times, keys = torch.tensor([500], device=device), KeyFrames(h, mask.to(device), *numbers)
        with torch.inference_mode():
            residuals = controlnet(x, times, controlnet.project_text(y), keys)
            predicted = unet(x, times, unet.project_text(y), residuals)
        errors[f"{name}_error"] = float((predicted.cpu().double() - golden.double()).abs().max())
    return errors


def pipelines(bench: Bench) -> Result:
    """Run the whole pipeline at two sizes, each twice; the second counts."""
    result = {}
    for width, height in bench.sizes:
        plan = bench.plan((width, height))
        bench.run(bench.plan((width, height), steps=1))
        result[f"{width}x{height}"] = bench.run(plan) | {
            "planned_gib": round(plan.footprint.total / GIB, 2),
            "tflop_an_evaluation": round(plan.estimate.network_flops / len(plan.sampling.evaluations) / 1e12, 3),
            "predicted_seconds_an_evaluation": predicted(bench, plan),
        }
    return result


def predicted(bench: Bench, plan: EnhancePlan) -> float | None:
    """Return what the plan's own model says of an evaluation on a device of the rates measured here."""
    if bench.rates is None:
        return None
    seconds = predict(plan.layout, bench.rates, plan.machine.number_format).networks
    return round(seconds / len(plan.sampling.evaluations), 4)


def operators(bench: Bench) -> Result:
    """Trace one evaluation: the operators that take longest, copies, and waits for the device."""
    plan = bench.plan(bench.sizes[-1], steps=1)
    bench.run(plan)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.device.type == "cuda" else [])]
    with profile(activities=activities) as trace:
        bench.run(plan)
    rows = trace.key_averages()

    def own(row: Any) -> float:
        return row.self_device_time_total if bench.device.type == "cuda" else row.self_cpu_time_total

    longest = sorted(rows, key=own, reverse=True)[:20]
    return {
        "milliseconds": {row.key: round(own(row) / 1e3, 2) for row in longest},
        "waits": {row.key: row.count for row in rows if row.key in WAITS},
        "copies": {row.key: row.count for row in rows if row.key in COPIES},
    }


def presets(bench: Bench) -> Result:
    """Time each preset at the smaller size, from fifteen steps."""
    result = {}
    for preset in ("exact", "balanced", "fast", "draft"):
        steps = {"steps": 15} if preset == "exact" else {"steps": None}
        plan = bench.plan(bench.sizes[0], preset=preset, **steps)
        result[preset] = bench.run(plan) | {"tflop": round(plan.estimate.network_flops / 1e12, 3)}
    return result


def compiled(bench: Bench) -> Result:
    """Compare eager and compiled blocks; the first compiled run compiles."""
    size = bench.sizes[0]
    eager = bench.run(bench.plan(size, steps=3))
    first = bench.run(bench.plan(size, steps=3, compile=True))
    again = bench.run(bench.plan(size, steps=3, compile=True))
    return {"eager": eager, "compiling": first, "compiled": again}


def offloads(bench: Bench) -> Result:
    """Time every kind of offload that there is here."""
    kinds = ("none", "components", "groups") if bench.device.type == "cuda" else ("none",)
    return {kind: bench.run(bench.plan(bench.sizes[0], offload=kind)) for kind in kinds}


def autoencoder(bench: Bench) -> Result:
    """Time frames encoded one by one and together, and a window of frames decoded."""
    width, height = bench.sizes[-1]
    vae, count = bench.pipeline.vae, bench.traits.decode_window
    frames = torch.rand(1, 3, CODED_FRAMES, height, width, device=bench.device) * 2 - 1
    latents = torch.randn(1, 4, count, height // 8, width // 8, device=bench.device)
    found: Result = {}
    with torch.inference_mode():
        for at_once in (CODED_FRAMES, 1):
            vae.at_once = at_once
            seconds = bench.seconds(partial(vae.encode_frames, frames)) / CODED_FRAMES
            found[f"encode_seconds_a_frame_{at_once}_at_once"] = round(seconds, 4)
        found["decode_seconds_a_frame"] = round(bench.seconds(lambda: list(vae.decode_each(latents))) / count, 4)
    return found


def nvenc(_: Bench) -> Result:
    """Tell which of NVIDIA's encoders PyAV has, if it is here."""
    import av

    return {"encoders": sorted(name for name in av.codecs_available if name.endswith("_nvenc"))}


def training(bench: Bench) -> Result:
    """Take one step of a group of clips by every published recipe."""
    result = {}
    for name in RECIPES:
        settings = TrainSettings.from_file(ROOT / "recipes" / f"{name}.yaml")
        if bench.tiny:
            settings = settings.model_copy(update={"crop": (80, 96), "frames": 5, "precision": "no"})
        learner = make_learner(settings, bench.pipeline.to(torch.float32))
        optimizer, batch = make_optimizer(settings, learner), example(bench, settings)
        if bench.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(bench.device)
        seconds = bench.seconds(partial(take_step, learner, optimizer, batch), 1)
        peak = torch.cuda.max_memory_allocated(bench.device) / GIB if bench.device.type == "cuda" else None
        result[name] = {"seconds_a_group": round(seconds, 3), "groups": settings.groups, "peak_gib": peak}
        del learner, optimizer, bench.pipeline  # adapters stay in networks: the next recipe gets new ones
    return result


def take_step(learner: Learner, optimizer: torch.optim.Optimizer, batch: Example) -> None:
    """Take one step of training."""
    losses = learner(batch, torch.Generator().manual_seed(0), 0)
    torch.stack(list(losses.terms.values())).sum().backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def example(bench: Bench, settings: TrainSettings) -> Example:
    """Return a group of clips of noise, of the recipe's shape."""
    clips, (height, width), frames = settings.micro_batch_size or 1, settings.crop, settings.frames
    target = torch.rand(clips, 3, frames, height, width) * 2 - 1
    mask = torch.tensor([[number % 4 == 0 for number in range(frames)]] * clips)
    return Example(
        target=target,
        key_frames=target[:, :, ::4],
        key_frame_mask=mask,
        downscale_factor=torch.full((clips,), 4.0),
        noise_augmentation=torch.full((clips,), 100),
        caption=["noise"] * clips,
    ).to(bench.device)


def nano(bench: Bench) -> Result:
    """Time the embedded model an output frame."""
    size = (8, 45, 80) if bench.tiny else (16, 180, 320)
    frames = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pipeline = load_pipeline("nano", device=str(bench.device))
    made = 3 * size[0]
    seconds = bench.seconds(lambda: pipeline(frames, source_fps=8, fps=24, scale=2 if bench.tiny else 4), 1)
    return {"seconds_a_frame": round(seconds / made, 4)}


CASES: dict[str, Callable[[Bench], Result]] = {
    case.__name__: case
    for case in (
        *(rates, parity, pipelines, operators, presets, compiled, offloads),
        *(autoencoder, nvenc, training, nano),
    )
}


def main(words: list[str] | None = None) -> None:
    """Run the cases that there is time for, and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float, default=9.0, help="no case starts later")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args(words)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    bench, began = Bench(torch.device(arguments.device), arguments.tiny), time.monotonic()
    card = torch.cuda.get_device_name(bench.device) if bench.device.type == "cuda" else "processor"
    results: Result = {"device": card, "torch": torch.__version__, "tiny": arguments.tiny, "cases": {}}
    for name in arguments.cases:
        results["cases"][name] = attempt(CASES[name], bench, began + 60 * arguments.minutes)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps({name: results["cases"][name]}), flush=True)
    arguments.output.with_suffix(".md").write_text(table(results))


def attempt(case: Callable[[Bench], Result], bench: Bench, latest: float) -> Result:
    """Return what a case finds, or why it did not: one that fails must not cost those after it."""
    if time.monotonic() > latest:
        return {"left_out": "no time was left"}
    started = time.monotonic()
    try:
        return case(bench) | {"case_seconds": round(time.monotonic() - started, 1)}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"[:500]}


def table(results: Result) -> str:
    """Return all figures as a table in Markdown."""
    lines = [f"{results['device']}, torch {results['torch']}", "", "| case | figure | value |", "|---|---|---|"]
    for case, found in results["cases"].items():
        lines += [f"| {case} | {name} | {value} |" for name, value in flattened(found)]
    return "\n".join(lines) + "\n"


def flattened(found: Result, before: str = "") -> Iterator[tuple[str, object]]:
    """Yield every figure with the names that lead to it."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{before}{name}, ")
        else:
            yield f"{before}{name}", value


if __name__ == "__main__":
    main()
