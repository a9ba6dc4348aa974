"""Training the embedded model's recipe on this machine: clips a second, their rate against a matrix product's, memory.

The recipe is `recipes/nano.yaml` as it stands, over arrays of moving waves made for the occasion, so that it runs
anywhere; `--data` takes a manifest of your own. Networks and product are in the recipe's number format and timed in
turn in the same process. A network half as wide is timed as well, and the model that ships, trained on.
`--keep-denormals` does without what the command does about values below 1e-38; both results are kept side by side.

Run: python benchmarks/training.py [--steps N] [--data MANIFEST] [--keep-denormals]
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from venhancer.runtime.devices import flush_denormals
from venhancer.training.cost import run_cost
from venhancer.training.data.batches import generator_for, load_batches
from venhancer.training.data.manifest import MANIFEST, ClipEntry, write_manifest
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.log.log import RunLog
from venhancer.training.settings import TrainSettings
from venhancer.training.start import precision_of, start_pipeline
from venhancer.training.state import TrainState

RECIPE = Path(__file__).parents[1] / "recipes" / "nano.yaml"
RESULTS = Path(__file__).parent / "results" / "training.json"
SIDE = 1024


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--data", type=Path, help="a manifest; else clips are made")
    parser.add_argument("--keep-denormals", action="store_true", help="do not count values below 1e-38 as 0")
    arguments = parser.parse_args()
    if not arguments.keep_denormals:
        flush_denormals()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or make_clips(Path(folder) / "clips")
        recipe = TrainSettings.from_file(RECIPE)
        changes = {"output": Path(folder) / "run", "data": recipe.data.model_copy(update={"manifest": data})}
        settings = recipe.model_copy(update=changes)
        times = list(step_times(settings, arguments.steps))
        half = {"base_channels": settings.network.base_channels // 2}
        network, output = settings.network.model_copy(update=half), Path(folder) / "narrow"
        narrow = settings.model_copy(update={"network": network, "output": output})
        narrow_times = list(step_times(narrow, arguments.steps))
        trained = settings.model_copy(update={"start_from": Path("nano"), "output": Path(folder) / "trained"})
        trained_times = list(step_times(trained, arguments.steps))
    result = {"threads": torch.get_num_threads(), "torch": torch.__version__, "precision": precision_of(settings)}
    result |= {"clips": settings.batch_size, "frames": settings.frames, "crop": list(settings.crop)}
    product = statistics.median(rate for _, _, rate in times)
    computing = statistics.median(seconds for seconds, _, _ in times)
    waiting = statistics.median(seconds for _, seconds, _ in times)
    rate = run_cost(settings).step_flops / computing
    result |= {
        "clips_per_second": round(settings.batch_size / (computing + waiting), 3),
        "seconds_a_step": round(computing + waiting, 3),
        "seconds_a_step_half_as_wide": round(statistics.median(sum(one[:2]) for one in narrow_times), 3),
        "seconds_a_step_trained": round(statistics.median(sum(one[:2]) for one in trained_times), 3),
        "data_share": round(waiting / (computing + waiting), 4),
        "gflops": round(rate / 1e9, 1),
        "matrix_product_gflops": round(product / 1e9, 1),
        "share_of_matrix_product": round(rate / product, 3),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "estimated_gib": round(sum(run_cost(settings).memory.values()) / 2**30, 2),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    every = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    every["denormals kept" if arguments.keep_denormals else "as trained"] = result
    RESULTS.write_text(json.dumps(every, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def step_times(settings: TrainSettings, steps: int) -> Iterator[tuple[float, float, float]]:
    """Yield, for every step but the first two, seconds of computing, seconds of waiting and a product's FLOP/s.

    A clip has fewer than the most frames in some steps; the FLOPs compared with are those of the most.
    """
    learner = make_learner(settings, start_pipeline(settings))
    optimizer = make_optimizer(settings, learner)
    state = TrainState.begin(learner, optimizer, RunLog(settings, checkpoints=dict))
    batches = load_batches(settings, 0)
    left, right = (torch.randn(SIDE, SIDE, dtype=number_format(settings)) for _ in range(2))
    for step in range(steps + 2):
        computing, waiting = 0.0, 0.0
        for group in range(settings.groups):
            began = time.perf_counter()
            batch = next(batches)
            waited = time.perf_counter()
            losses = learner(batch, generator_for(settings.seed, step, group, 1), step)
            (torch.stack(list(losses.terms.values())).sum() / settings.groups).backward()
            waiting += waited - began
            computing += time.perf_counter() - waited
        began = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(learner.trained().values(), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.update_average(settings.ema_decay)
        computing += time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(10):
            left @ right
        rate = 10 * 2 * SIDE**3 / (time.perf_counter() - began)
        if step > 1:
            yield computing, waiting, rate


def number_format(settings: TrainSettings) -> torch.dtype:
    return torch.bfloat16 if precision_of(settings) == "bf16" else torch.float32


def make_clips(folder: Path) -> Path:
    """Write four clips of 480x270 and their manifest."""
    folder.mkdir(parents=True)
    f, y, x, c = np.ogrid[:25, :270, :480, :3]
    entries = []
    for number in range(4):
        waves = np.sin((x + 2 * f + 5 * number) / 4 + c) * np.cos((y - f) / (6 + number))
        np.save(folder / f"{number}.npy", (127 + 90 * waves).astype(np.uint8))
        entries.append(ClipEntry(path=f"{number}.npy", frames=25, rate=24, width=480, height=270))
    write_manifest(folder / MANIFEST, entries)
    return folder / MANIFEST


if __name__ == "__main__":
    main()
