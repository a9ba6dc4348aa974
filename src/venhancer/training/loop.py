"""The training loop: groups of clips in, a pipeline folder out.

Read `train` top-down. Stopped at any moment and started again, it resumes from the newest checkpoint and ends with the
same weights: the clips and the randomness of a group depend on the seed, the step and the group's number only. So one
process and many do the same work; a step's gradient is the mean over all its groups, in any process.
"""

import logging
import math
import signal
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin, gather, gather_object

from venhancer.errors import SettingsError
from venhancer.jobs.stopping import StopRequest, stop_requests
from venhancer.runtime.devices import choose_device
from venhancer.training.checkpoints import Checkpoints, only_run
from venhancer.training.data.batches import fill_latent_cache, generator_for, load_batches
from venhancer.training.export import export
from venhancer.training.learner import SHARDED_TOGETHER, make_learner, make_optimizer, set_learning_rate
from venhancer.training.log.log import RunLog
from venhancer.training.log.validation import Validation
from venhancer.training.settings import TrainSettings
from venhancer.training.start import start_pipeline
from venhancer.training.state import TrainState

logger = logging.getLogger(__name__)


def train(settings: TrainSettings) -> Path | None:
    """Train to the last step and return the folder of the trained pipeline; None if told to stop before.

    Raises:
        SettingsError: the settings do not fit this machine, this many processes or the model to start from.
        JobFailed: the loss stopped being a number or jumped, or a checkpoint cannot be written or read; good ones stay.
        InputError: the data cannot be used, or another run is at work in the same folder.
        WeightsError: the model to start from cannot be used.
    """
    accelerator = make_accelerator(settings)
    with only_run(settings.output) if accelerator.is_main_process else nullcontext():
        return _train(settings, accelerator)


def _train(settings: TrainSettings, accelerator: Accelerator) -> Path | None:
    with accelerator.main_process_first():
        pipeline = start_pipeline(settings).to(accelerator.device)
    bare = make_learner(settings, pipeline)
    learner, optimizer = accelerator.prepare(bare, make_optimizer(settings, bare))
    checkpoints = Checkpoints(
        settings.output / "checkpoints",
        keep=settings.keep_checkpoints,
        keep_every=settings.keep_every,
        is_main=accelerator.is_main_process,
    )
    log = RunLog(
        settings,
        checkpoints=checkpoints.by_step,
        is_main=accelerator.is_main_process,
        gather=gather_object,
    )
    state = TrainState.begin(bare, optimizer.optimizer, log)
    checkpoints.resume(state)
    validation = Validation(settings, pipeline, bare)
    mine = range(accelerator.process_index, settings.groups, accelerator.num_processes)
    fill_latent_cache(settings, pipeline.vae, rank=accelerator.process_index, ranks=accelerator.num_processes)
    accelerator.wait_for_everyone()
    batches = load_batches(settings, state.step, rank=accelerator.process_index, ranks=accelerator.num_processes)

    log.begin(state.step)
    wants_checkpoint = False
    with stop_requests(_say_stopping, (signal.SIGTERM, signal.SIGINT)) as stop:
        while state.step < settings.steps:
            rate = learning_rate(settings, state.step)
            set_learning_rate(optimizer, rate)
            for group in mine:
                with log.spending("loading"):
                    batch = next(batches).to(accelerator.device)
                generator = generator_for(settings.seed, state.step, group, 1)
                with nullcontext() if group == mine[-1] else accelerator.no_sync(learner):
                    losses = learner(batch, generator, state.step)
                    accelerator.backward(torch.stack(list(losses.terms.values())).sum() / len(mine))
                log.add(batch, losses)
                if _stop_is_agreed(stop, accelerator):  # the step is done again from its beginning
                    checkpoints.save(state)
                    checkpoints.settle()
                    return None
            norm = accelerator.clip_grad_norm_(bare.trained().values(), settings.clip_norm)
            assert norm is not None
            log.finish_step(state.step + 1, norm, rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            state.step += 1
            state.update_average(settings.ema_decay)

            if validation.is_due(state.step):
                with state.averaged(), log.spending("aside"):
                    validation.look(state.step, log)
            checkpoints.settle(wait=False)
            wants_checkpoint = wants_checkpoint or state.step % settings.checkpoint_every == 0
            if state.step == settings.steps or (wants_checkpoint and log.is_steady):
                checkpoints.save(state)
                wants_checkpoint = False
        checkpoints.settle()

    skipped = gather_object(list(batches.skipped))
    log.finish(state.step, skipped_clips=len(set(skipped)))
    averaged = state.averaged_weights()
    return export(settings, averaged) if accelerator.is_main_process else settings.output / "pipeline"


def _say_stopping(name: str) -> None:
    logger.info("%s: stopping and saving", name)


def _stop_is_agreed(stop: StopRequest, accelerator: Accelerator) -> bool:
    """Tell whether any process got a stop request; all of them must call it and get the same answer."""
    if accelerator.num_processes == 1:
        return stop.was_made
    wishes = torch.tensor([float(stop.was_made)], device=accelerator.device)
    return bool(cast("torch.Tensor", gather(wishes)).any())


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
            f"{settings.groups} groups a step (batch_size / micro_batch_size) cannot be split evenly over {processes} "
            f"processes; change one of the three"
        )
    if settings.shard and not accelerator.is_fsdp2:
        raise SettingsError(
            "shard needs several processes with a GPU each; start with accelerate launch or torchrun, or omit it"
        )
    return accelerator


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then constant, a cosine, or an even fall at the end."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    if settings.decay_steps:
        return settings.learning_rate * min(1.0, (settings.steps - step) / settings.decay_steps)
    if not settings.cosine_decay:
        return settings.learning_rate
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
