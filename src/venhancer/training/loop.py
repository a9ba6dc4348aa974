"""The training loop: batches in, a pipeline folder out.

Read `train` top-down. Stopped at any moment and started again, it goes on from the newest checkpoint and ends with the
same weights: a step's batch and randomness depend on the seed and the step's number only.
"""

import json
import logging
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from venhancer.errors import JobFailed
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.data import generator_for, load_batches
from venhancer.training.objective import Objective
from venhancer.training.perceptual import PerceptualDistance, find_weights
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline
from venhancer.training.state import TrainState

logger = logging.getLogger(__name__)


def train(settings: TrainSettings) -> Path:
    """Train to the last step and return the folder of the trained pipeline.

    Raises:
        JobFailed: the loss stopped being a number, or a checkpoint does not fit; checkpoints stay.
        InputError: the data cannot be used.
    """
    accelerator = Accelerator(mixed_precision=settings.precision)
    pipeline = start_pipeline(settings).to(accelerator.device)
    objective = make_objective(settings, pipeline)
    state = begin(settings, pipeline)
    checkpoints = settings.output / "checkpoints"
    state.resume(checkpoints)
    settings.output.mkdir(parents=True, exist_ok=True)

    unet, controlnet, text_encoder = pipeline.unet, pipeline.controlnet, pipeline.text_encoder
    started, started_at = time.monotonic(), state.step
    for batch in load_batches(settings, state.step):
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step)
        generator = generator_for(settings.seed, state.step, 1)
        with accelerator.autocast():
            terms = objective(unet, controlnet, text_encoder, batch.to(accelerator.device), generator)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise JobFailed(f"the loss is {loss.item()} at step {state.step}; go on from {checkpoints} more slowly")
        accelerator.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(trained_parameters(pipeline), settings.clip_norm)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.update_average(settings.ema_decay)

        if state.step % settings.log_every == 0:
            rate = (state.step - started_at) / (time.monotonic() - started)
            log(settings.output, state.step, terms, float(norm), rate)
        if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
            state.save(checkpoints, settings.keep_checkpoints)

    state.load_average()
    return export(pipeline, settings.output / "pipeline")


def begin(settings: TrainSettings, pipeline: VEnhancerPipeline) -> TrainState:
    """Return the state before the first step, with only what is to be trained open to gradients."""
    learns = {
        "unet": settings.train in ("unet", "all"),
        "controlnet": settings.train in ("controlnet", "all"),
        "text_encoder": settings.train == "all" and settings.start_from is None,
    }
    networks: dict[str, nn.Module] = {name: getattr(pipeline, name) for name in learns}
    for name, network in networks.items():
        network.requires_grad_(learns[name])
    optimizer = torch.optim.AdamW(
        trained_parameters(pipeline), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    return TrainState.begin(networks, optimizer)


def make_objective(settings: TrainSettings, pipeline: VEnhancerPipeline) -> Objective:
    """Return the objective that the settings ask for."""
    wants_perceptual = settings.objective.one_step_share > 0 and settings.objective.perceptual_weight > 0
    return Objective(
        vae=pipeline.vae,
        tokenizer=pipeline.tokenizer,
        schedule=pipeline.schedule,
        space=pipeline.space,
        between=settings.between,
        settings=settings.objective,
        perceptual=PerceptualDistance(find_weights()).to(pipeline.device) if wants_perceptual else None,
    )


def trained_parameters(pipeline: VEnhancerPipeline) -> list[nn.Parameter]:
    """Return the parameters that gradients reach."""
    networks = (pipeline.unet, pipeline.controlnet, pipeline.text_encoder)
    return [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then constant or a cosine down to zero."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    if not settings.cosine_decay:
        return settings.learning_rate
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def log(folder: Path, step: int, terms: dict[str, torch.Tensor], norm: float, rate: float) -> None:
    """Append a line to the run's log."""
    line = {"step": step, **{name: round(term.item(), 5) for name, term in terms.items()}}
    line |= {"gradient_norm": round(norm, 4), "steps_per_second": round(rate, 3)}
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    logger.info("%s", line)


def export(pipeline: VEnhancerPipeline, folder: Path) -> Path:
    """Write the pipeline's folder, half precision and free of where it was made, and return it."""
    for network in (pipeline.vae, pipeline.unet, pipeline.controlnet, pipeline.text_encoder):
        network.half()
    pipeline.save_pretrained(folder)
    for file in folder.rglob("*.json"):
        content = json.loads(file.read_text())
        content.pop("_name_or_path", None)
        file.write_text(json.dumps(content, indent=2) + "\n")
    return folder
