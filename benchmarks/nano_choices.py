"""Short training runs that differ in one choice: which of them learns faster.

    python benchmarks/nano_choices.py [--steps 100] [--crop 136 128] [--only NAME ...] [--data data/footage]

Each run is `recipes/nano.yaml` with one thing changed, from nothing, on the same clips in the same order, for as much
computing as the recipe's `--steps` steps take: a network half as costly gets twice as many. It is judged before the
first step and three times on the way, on groups that it does not train on (4 times smaller, no damage), at the rate of
the input and at three times that: mean absolute difference from the target, in levels of 255, of what its own sampler
makes. The learning rate falls along a cosine, so the last figure counts. Prints a table and writes
`benchmarks/results/nano_choices.json`.
"""

import argparse
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from venhancer.training.cost import run_cost
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.learner import Learner, make_learner, make_optimizer
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "nano_choices.json"
JUDGED = 3
JUDGED_GROUPS = 6
LEVELS = 127.5
"""Of 255, in a difference of 1 between pixels of [-1, 1]."""

UNSEEN = 1_000_000
"""Steps from here on are never trained on."""

FROM_300 = {"finishing_start_timestep": 300, "finishing_start_noise": 1.0}
CHOICES: dict[str, dict[str, Any]] = {
    "recipe": {},
    "with denoising": {"objective": {"finishing_share": 0.9}},
    "start at t = 150": {"objective": {"finishing_start_timestep": 150}},
    "start with noise": {"objective": {"finishing_start_timestep": 899, "finishing_start_noise": 1.0}},
    "relative to start": {"relative_to_start": True},
    "relative, noise": {
        "relative_to_start": True,
        "objective": {"finishing_start_timestep": 899, "finishing_start_noise": 1.0},
    },
    "v alone": {"objective": {"finishing_share": 0.0}},
    "v alone, min-SNR 5": {"objective": {"finishing_share": 0.0, "min_snr_gamma": 5.0}},
    "v alone, t below 300": {"objective": {"finishing_share": 0.0, "timestep_range": (0, 300)}},
    "v alone, t below 60": {"objective": {"finishing_share": 0.0, "timestep_range": (0, 60)}},
    "two steps": {"objective": {"finishing_steps": 2}},
    "four steps": {"objective": {"finishing_steps": 4}},
    "two steps from t = 300": {"objective": {"finishing_steps": 2, **FROM_300}},
    "four steps from t = 300": {"objective": {"finishing_steps": 4, **FROM_300}},
    "feature distance": {"objective": {"perceptual_from_step": 0}},
    "16 groups": {"network": {"norm_groups": 16}},
    "frames blended": {"between": "blend"},
    "narrow, longer": {"network": {"base_channels": 32}},
    "wide": {"network": {"base_channels": 96}},
}
RATES = {"1x": (1.0, 0, 0, 0, 0, 0, 0, 0), "3x": (0, 0, 1.0, 0, 0, 0, 0, 0)}
PLAIN = {
    "downscale_focus_share": 1.0,
    "clean_key_frames": 1.0,
    "low_quality_share": 0.0,
    "prompt_dropout": 0.0,
}
"""Augmentation of the groups that judge."""


def main() -> None:
    """Train, judge, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="of the recipe; others get as much computing")
    parser.add_argument("--crop", type=int, nargs=2, default=(136, 128), help="height and width")
    parser.add_argument("--batch-size", type=int, default=4, help="clips a step")
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--data", type=Path, default=Path("data/footage"))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = TrainSettings.from_file(ROOT / "recipes" / "nano.yaml").model_dump(mode="python", exclude_unset=True)
    same: dict[str, Any] = {
        "data": arguments.data,
        "workers": 0,
        "crop": tuple(arguments.crop),
        "batch_size": arguments.batch_size,
    }
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        budget = arguments.steps * step_cost(_settings(recipe, {}, same, Path(folder)))
        for name in arguments.only:
            settings = _settings(recipe, CHOICES[name], same, Path(folder) / name.replace(" ", "_"))
            steps = max(JUDGED, round(budget / step_cost(settings)))
            errors = run(settings, steps)
            found[name] = {"steps": steps, "crop": list(settings.crop), "clips": settings.batch_size, "errors": errors}
            told = ("/".join(f"{error:.3f}" for error in one.values()) for one in errors)
            print(f"{name} ({steps} steps): {' '.join(told)}", flush=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def step_cost(settings: TrainSettings) -> float:
    """Return the operations of a step; sampler steps before the last are forward only, a third of it."""
    finishing = settings.objective.finishing_share * (settings.objective.finishing_steps - 1) / 3
    return run_cost(settings).step_flops * (1 + finishing)


def run(settings: TrainSettings, steps: int) -> list[dict[str, float]]:
    """Return the errors on unseen groups before the first step and some times on the way."""
    pipeline = start_pipeline(settings)
    learner = make_learner(settings, pipeline)
    optimizer = make_optimizer(settings, learner)
    batches = Batches(settings)
    judging = {
        name: Batches(
            settings.model_copy(
                update={"augment": settings.augment.model_copy(update=PLAIN | {"temporal_weights": weights})}
            )
        )
        for name, weights in RATES.items()
    }
    errors = [judge(learner, judging)]
    for step in range(steps):
        for parameters in optimizer.param_groups:
            falling = (1 + math.cos(math.pi * step / steps)) / 2
            parameters["lr"] = settings.learning_rate * falling * min(1.0, (step + 1) / 20)
        losses = learner(batches.group(step, 0), generator_for(settings.seed, step, 0, 1), step)
        torch.stack(list(losses.terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(list(learner.trained().values()), settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % max(1, steps // JUDGED) == 0:
            errors.append(judge(learner, judging))
    return errors


@torch.no_grad()
def judge(learner: Learner, judging: dict[str, Batches]) -> dict[str, float]:
    """Return the mean absolute difference of finished frames from their targets over the judging groups, by rate."""
    objective = learner.objective
    only_finishing = objective.settings.model_copy(update={"finishing_share": 1.0, "perceptual_weight": 0.0})
    learner.objective = replace(objective, settings=only_finishing, perceptual=None)
    try:
        errors = {
            name: [
                learner(batches.group(UNSEEN + number, 0), generator_for(number), 0).per_clip
                for number in range(JUDGED_GROUPS)
            ]
            for name, batches in judging.items()
        }
    finally:
        learner.objective = objective
    return {name: round(float(torch.cat(those).mean()) * LEVELS, 4) for name, those in errors.items()}


def _settings(recipe: dict[str, Any], choice: dict[str, Any], same: dict[str, Any], output: Path) -> TrainSettings:
    return TrainSettings.model_validate(_merged(_merged(recipe, choice), same | {"output": output}))


def _merged(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested fields with some of them changed."""
    merged = dict(fields)
    for name, value in changes.items():
        kept = merged.get(name)
        merged[name] = _merged(kept, value) if isinstance(value, dict) and isinstance(kept, dict) else value
    return merged


if __name__ == "__main__":
    main()
