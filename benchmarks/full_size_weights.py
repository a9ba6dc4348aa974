"""Time and memory of converting, loading and running a model of the published size, with random weights.

Run by hand (needs 25 GB of disk and 8 GB of memory):

    python benchmarks/full_size_weights.py --folder /tmp/full-size --result benchmarks/full_size_weights.json

Each stage runs in a process of its own, so that its peak is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from venhancer.checkpoints.convert import convert
from venhancer.checkpoints.keys import published_keys, to_published
from venhancer.checkpoints.tokenizer import MOST_MERGES
from venhancer.models import KeyFrames, VideoControlNet, VideoUNet
from venhancer.weights import load_pipeline

GIB = 2**30
VOCABULARY = 49408
TEXT_WIDTH, TEXT_LAYERS = 1024, 24


def random_values(key: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """No biases, norms of one, else noise that keeps activations near one."""
    if len(shape) == 1:
        return torch.full(shape, 0.0 if key.endswith("bias") else 1.0, dtype=dtype)
    fan_in = torch.Size(shape[1:]).numel()
    return torch.randn(torch.Size(shape).numel()).mul_(fan_in**-0.5).to(dtype).reshape(shape)


def make_inputs(folder: Path) -> dict[str, object]:
    """Write a checkpoint, an autoencoder and a text encoder with the published names and shapes."""
    folder.mkdir(parents=True)
    with torch.device("meta"):
        networks = ((VideoUNet(), False), (VideoControlNet(), True))
    tensors = {}
    for network, control in networks:
        values = network.state_dict()
        for theirs, ours in published_keys(values, control=control).items():
            shape = tuple(to_published(theirs, values[ours]).shape)
            tensors[theirs] = random_values(theirs, shape, torch.float16)
    torch.save({"state_dict": tensors}, folder / "venhancer.pt")

    widths = (128, 256, 512, 512)
    with torch.device("meta"):
        vae = AutoencoderKLTemporalDecoder(
            down_block_types=("DownEncoderBlock2D",) * len(widths), block_out_channels=widths, layers_per_block=2
        )
    half = {key: random_values(key, tuple(value.shape), torch.float16) for key, value in vae.state_dict().items()}
    save_file(half, folder / "vae.safetensors")
    torch.save(text_tower(), folder / "open_clip.bin")

    letters = sorted(ByteLevel.alphabet())
    pairs = [f"{one} {other}" for one in letters for other in letters][:MOST_MERGES]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]), encoding="utf-8")
    return {"tensors": len(tensors), "parameters": sum(value.numel() for value in tensors.values())}


def text_tower() -> dict[str, Tensor]:
    """An OpenCLIP ViT-H/14 text tower in fp32."""
    width = TEXT_WIDTH
    shapes: dict[str, tuple[int, ...]] = {"positional_embedding": (77, width), "text_projection": (width, width)}
    for layer in range(TEXT_LAYERS):
        block = f"transformer.resblocks.{layer}."
        for name, out, inner in (
            ("attn.in_proj_", 3 * width, width),
            ("attn.out_proj.", width, width),
            ("mlp.c_fc.", 4 * width, width),
            ("mlp.c_proj.", width, 4 * width),
        ):
            shapes |= {f"{block}{name}weight": (out, inner), f"{block}{name}bias": (out,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}{norm}.weight": (width,), f"{block}{norm}.bias": (width,)}
    shapes |= {"token_embedding.weight": (VOCABULARY, width), "ln_final.weight": (width,), "ln_final.bias": (width,)}
    return {key: random_values(key, shape, torch.float32) for key, shape in shapes.items()}


def convert_inputs(folder: Path) -> dict[str, object]:
    """Convert what `make_inputs` wrote."""
    convert(
        folder / "venhancer.pt",
        vae=folder / "vae.safetensors",
        text=folder / "open_clip.bin",
        target=folder / "model",
        version="v2",
    )
    size = (folder / "venhancer.pt").stat().st_size
    return {"checkpoint_GiB": round(size / GIB, 2)}


def load_model(folder: Path) -> dict[str, object]:
    """Load in the format of the files, where values stay mapped."""
    start = time.perf_counter()
    pipeline = load_pipeline(folder / "model", device="cpu", dtype="fp16")
    return {"load_seconds": round(time.perf_counter() - start, 1), "dtype": str(pipeline.unet.dtype)}


def run_model(folder: Path) -> dict[str, object]:
    """Run both networks once on five frames of 18x16 latents."""
    start = time.perf_counter()
    pipeline = load_pipeline(folder / "model", device="cpu", dtype="bf16")
    loaded = time.perf_counter()
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 4, 5, 18, 16, generator=generator).bfloat16()
    text = torch.randn(1, 77, TEXT_WIDTH, generator=generator).bfloat16()
    timesteps = torch.tensor([500])
    mask = torch.tensor([[True, False, False, True, False]])
    key_frames = KeyFrames(latents[:, :, :2], mask, torch.tensor([199]), torch.tensor([4.0]))
    with torch.no_grad():
        control, unet = pipeline.controlnet, pipeline.unet
        residuals = control(latents, timesteps, control.project_text(text), key_frames)
        predicted = unet(latents, timesteps, unet.project_text(text), residuals)
    assert predicted.shape == latents.shape
    assert predicted.isfinite().all()
    return {
        "load_seconds": round(loaded - start, 1),
        "forward_seconds": round(time.perf_counter() - loaded, 1),
        "prediction_std": round(float(predicted.float().std()), 3),
    }


STAGES = {"make": make_inputs, "convert": convert_inputs, "load": load_model, "run": run_model}


class PeakOfOwnMemory:
    """Watches how much memory of its own (not mapped from files) this process holds; Linux only."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakOfOwnMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            lines = Path("/proc/self/status").read_text().splitlines()
            self.peak = max(self.peak, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")))


def run_stage(name: str, folder: Path) -> dict[str, object]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    with PeakOfOwnMemory() as own:
        facts = STAGES[name](folder)
    return {
        "stage": name,
        "seconds": round(time.perf_counter() - start, 1),
        "peak_GiB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB, 2),
        "peak_own_GiB": round(own.peak / GIB, 2),
        "imports_GiB": round(before / GIB, 2),
        **facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="an empty place with 25 GB of room")
    parser.add_argument("--result", type=Path, help="a JSON file for the figures")
    parser.add_argument("--stage", choices=STAGES, help="only this stage, in this process")
    arguments = parser.parse_args()
    if arguments.stage:
        print(json.dumps(run_stage(arguments.stage, arguments.folder)))
        return
    figures = []
    for stage in STAGES:
        command = [sys.executable, __file__, "--folder", str(arguments.folder), "--stage", stage]
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures.append(json.loads(finished.stdout.splitlines()[-1]))
        print(figures[-1])
    if arguments.result:
        arguments.result.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
