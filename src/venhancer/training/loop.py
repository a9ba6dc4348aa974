"""The training loop: groups of clips in, a pipeline folder out.

Read `train` top-down. Stopped at any moment and started again, it goes on from the newest checkpoint and ends with the
same weights: the clips and the randomness of a group depend on the seed, the step and the group's number only. So one
process and many do the same work; a step's gradient is the mean over all its groups, whoever computes them.
"""

import json
import logging
import math
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin

from venhancer.errors import JobFailed, SettingsError
from venhancer.runtime import choose_device
from venhancer.training.checkpoints import Checkpoints
from venhancer.training.data import fill_latent_cache, generator_for, load_batches
from venhancer.training.export import export
from venhancer.training.learner import SHARDED_TOGETHER, make_learner, make_optimizer
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline
from venhancer.training.state import TrainState
from venhancer.training.stopping import stop_requests

logger = logging.getLogger(__name__)


def train(settings: TrainSettings) -> Path | None:
    """Train to the last step and return the folder of the trained pipeline; None if told to stop before.

    Raises:
        SettingsError: the settings do not fit this machine, this many processes or the model to start from.
        JobFailed: the loss stopped being a number, or a checkpoint cannot be written or read; good ones stay.
        InputError: the data cannot be used.
        WeightsError: the model to start from cannot be used.
    """
    accelerator = make_accelerator(settings)
    with accelerator.main_process_first():
        pipeline = start_pipeline(settings).to(accelerator.device)
    bare = make_learner(settings, pipeline)
    learner, optimizer = accelerator.prepare(bare, make_optimizer(settings, bare))
    state = TrainState.begin(bare, optimizer.optimizer)
    checkpoints = Checkpoints(
        settings.output / "checkpoints",
        keep=settings.keep_checkpoints,
        keep_every=settings.keep_every,
        is_main=accelerator.is_main_process,
    )
    checkpoints.resume(state)
    mine = range(accelerator.process_index, settings.groups, accelerator.num_processes)
    fill_latent_cache(settings, pipeline.vae, rank=accelerator.process_index, ranks=accelerator.num_processes)
    accelerator.wait_for_everyone()
    batches = load_batches(settings, state.step, rank=accelerator.process_index, ranks=accelerator.num_processes)

    started, started_at = time.monotonic(), state.step
    with stop_requests() as stop:
        while state.step < settings.steps:
            for parameters in optimizer.param_groups:
                parameters["lr"] = learning_rate(settings, state.step)
            for group in mine:
                batch = next(batches).to(accelerator.device)
                generator = generator_for(settings.seed, state.step, group, 1)
                with nullcontext() if group == mine[-1] else accelerator.no_sync(learner):
                    losses = learner(batch, generator, state.step)
                    loss = torch.stack(list(losses.terms.values())).sum()
                    if not torch.isfinite(loss):
                        raise JobFailed(f"the loss is {loss.item()} at step {state.step}; go on more slowly")
                    accelerator.backward(loss / len(mine))
                if stop.agreed(accelerator):  # the step is done again from its beginning
                    checkpoints.save(state)
                    checkpoints.settle()
                    return None
            norm = accelerator.clip_grad_norm_(bare.trained().values(), settings.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            state.step += 1
            state.update_average(settings.ema_decay)

            if state.step % settings.log_every == 0 and accelerator.is_main_process:
                rate = (state.step - started_at) / (time.monotonic() - started)
                log(settings.output, state.step, losses.terms, float(norm), rate)
            checkpoints.settle(wait=False)
            if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
                checkpoints.save(state)
        checkpoints.settle()

    averaged = state.averaged_weights()
    return export(settings, averaged) if accelerator.is_main_process else settings.output / "pipeline"


def make_accelerator(settings: TrainSettings) -> Accelerator:
    """Return what distributes the run, alone or as one of the processes that a launcher started.

    Raises:
        SettingsError: there is no such device, or the groups of a step cannot be shared out evenly.
    """
    choose_device(settings.device)
    sharding = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=list(SHARDED_TOGETHER),
        reshard_after_forward=True,
    )
    accelerator = Accelerator(
        mixed_precision="no",  # the learner knows; what a launcher was configured with changes no run
        cpu=settings.device == "cpu",
        fsdp_plugin=sharding if settings.shard else None,
    )
    processes = accelerator.num_processes
    if settings.groups % processes:
        raise SettingsError(
            f"{settings.groups} groups a step (batch_size / micro_batch_size) cannot be shared out evenly "
            f"over {processes} processes; change one of the three"
        )
    if settings.shard and not accelerator.is_fsdp2:
        raise SettingsError(
            "shard needs several processes with a GPU each; start with accelerate launch or torchrun, or leave it out"
        )
    return accelerator


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
