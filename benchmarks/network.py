"""The full-size network on this machine: FLOPs, their rate against a matrix product's, and memory beside the weights.

Latents 1 x 4 x 8 x 18 x 32 in float32, all weights random. Machines drift and speed up for a moment, so products are
run for as long as a forward, before and after each. Needs about 9 GB. Run: python benchmarks/network.py [--threads 1]

The peak depends on the allocator of the C library, which keeps freed blocks: with MALLOC_MMAP_THRESHOLD_=65536 set,
glibc gives large ones back and the peak is what is really in use.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from venhancer.model_files.network_shape import NetworkShape
from venhancer.models import KeyFrames, VideoControlNet, VideoUNet
from venhancer.planning.estimate import network_flops
from venhancer.runtime.heap import keep_freed_memory

FRAMES, HEIGHT, WIDTH = 8, 18, 32
SIDE = 2048
RESULTS = Path(__file__).parent / "results" / "network.json"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--keep-freed-memory", action="store_true", help="as programs do with small networks")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.keep_freed_memory:
        keep_freed_memory()
    forward = full_size_forward()
    weights = resident_bytes()
    forward()
    above_weights = peak_bytes() - weights
    with FlopCounterMode(display=False) as counter:
        forward()
    flops = counter.get_total_flops()
    before, pairs = 0.0, list[tuple[float, float]]()
    for _ in range(arguments.runs + 1):
        seconds = best_seconds(forward, 1)
        after = product_rate(seconds)
        if before:
            pairs.append((flops / seconds, (before + after) / 2))
        before = after
    result = {
        "latents": [1, 4, FRAMES, HEIGHT, WIDTH],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "tflop_counted": round(flops / 1e12, 3),
        "tflop_planned": round(network_flops(NetworkShape(), FRAMES, HEIGHT, WIDTH, 77, key_frames=3).total / 1e12, 3),
        "gflops": [round(rate / 1e9, 1) for rate, _ in pairs],
        "matrix_product_gflops": [round(product / 1e9, 1) for _, product in pairs],
        "share_of_matrix_product": round(statistics.median(rate / product for rate, product in pairs), 3),
        "weights_gib": round(weights / 2**30, 2),
        "peak_above_weights_gib": round(above_weights / 2**30, 2),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


@torch.inference_mode()
def full_size_forward() -> Callable[[], torch.Tensor]:
    """Return one call of both networks, with control and without guidance."""
    with torch.device("meta"):
        unet, controlnet = VideoUNet(), VideoControlNet()
    for network in (unet, controlnet):
        network.to_empty(device="cpu")
        for parameter in network.parameters():
            parameter.normal_(std=0.02)
        network.lay_out().eval()
    latents, timesteps = torch.randn(1, 4, FRAMES, HEIGHT, WIDTH), torch.tensor([500])
    embeds = torch.randn(1, 77, 1024)
    texts = unet.project_text(embeds), controlnet.project_text(embeds)
    mask = torch.tensor([[index % 3 == 0 for index in range(FRAMES)]])
    key_frames = KeyFrames(
        torch.randn(1, 4, int(mask.sum()), HEIGHT, WIDTH), mask, torch.tensor([199]), torch.tensor([4.0])
    )

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        return unet(latents, timesteps, texts[0], controlnet(latents, timesteps, texts[1], key_frames))

    return forward


def product_rate(seconds: float) -> float:
    """Return the FLOP/s of large products over about so many seconds."""
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    count, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        left @ right
        count += 1
    return count * 2 * SIDE**3 / spent


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest of some runs."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def resident_bytes() -> int:
    """Return what this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """Return the most this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
