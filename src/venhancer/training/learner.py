"""All networks of a run in one module whose forward is the loss, and which of their parameters learn.

One module, so that whatever distributes a run (DDP, FSDP2) sees every parameter and every use of it.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch
from jaxtyping import Int
from torch import Generator, Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from venhancer.errors import SettingsError
from venhancer.model_files.traits import load_traits
from venhancer.models import LinearAutoencoder
from venhancer.pipeline import VEnhancerPipeline
from venhancer.runtime.devices import choose_dtype
from venhancer.training.data.augment import Example
from venhancer.training.discriminator import LatentDiscriminator
from venhancer.training.lora import add_adapters, without_adapters
from venhancer.training.motion import MotionObjective
from venhancer.training.muon import Muon
from venhancer.training.objective import Losses, Objective, Teacher
from venhancer.training.perceptual import PerceptualDistance, find_weights
from venhancer.training.settings import TrainSettings
from venhancer.training.start import precision_of

FIRST_OR_LAST = re.compile(
    r"(encoder\.conv_in|key_frame_conv|^unet\.conv_out|^motion\.encoder\.0\.0|^motion.*\.exit|zero_convs?(\.\d+)?|_embedding)\.weight$"
)
"""Layers at either end of a network; Muon takes the matrices of all others."""

SHARDED_TOGETHER = ("ResBlock", "FeedForward", "Downsample", "Upsample")
"""Modules gathered and freed as one by FSDP2: those called by their forward only. Attention stays with the whole."""


class Learner(nn.Module):
    """The networks in training and what they minimise.

    Args:
        pipeline: whose networks learn.
        objective: the loss; it holds the frozen autoencoder, which is no part of this module.
        mixed_precision: compute in bfloat16 what tolerates it; weights stay as they are.
    """

    def __init__(
        self, pipeline: VEnhancerPipeline, objective: Objective | MotionObjective, *, mixed_precision: bool
    ) -> None:
        super().__init__()
        self.unet = pipeline.unet
        self.controlnet = pipeline.controlnet
        self.text_encoder = pipeline.text_encoder
        self.motion = pipeline.motion
        self.discriminator = None
        if objective.settings.finishing_share and objective.settings.adversarial_weight:
            self.discriminator = LatentDiscriminator(pipeline.unet.config["in_channels"])
        self.objective = objective
        self.mixed_precision = mixed_precision

    def forward(
        self, batch: Example, generator: Generator, step: int, timesteps: Int[Tensor, " b"] | None = None
    ) -> Losses:
        """Return what a group of clips costs at a step of the run; at `timesteps`, if given, see `Objective`."""
        networks, device = (self.unet, self.controlnet, self.text_encoder), batch.target.device
        precision = torch.autocast(device.type, torch.bfloat16, enabled=self.mixed_precision)
        with precision, _attention_on(device):
            if isinstance(self.objective, MotionObjective):
                return self.objective(self.motion, batch, generator)
            return self.objective(
                *networks,
                batch,
                generator=generator,
                step=step,
                timesteps=timesteps,
                discriminator=self.discriminator,
            )

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters that learn, by name, such as "controlnet.key_frame_conv.weight"."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def _attention_on(device: torch.device) -> AbstractContextManager[object]:
    """Return the context attention trains in: plain products on the CPU, whose fused kernel is slow when short."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _recompute_on(device: torch.device) -> Callable[..., Tensor]:
    """Return how a stage is called that the backward pass computes again, with the same attention."""
    return partial(checkpoint, use_reentrant=False, context_fn=lambda: (nullcontext(), _attention_on(device)))


def make_learner(settings: TrainSettings, pipeline: VEnhancerPipeline) -> Learner:
    """Return the networks of a pipeline with gradients only for the weights to train.

    Raises:
        SettingsError: adapters name layers that do not exist, or need a package that is missing.
        WeightsError: the objective needs weights that are missing.
    """
    if settings.precision == "bf16":
        choose_dtype("bf16", pipeline.device)  # warns where it is emulated
    is_mixed = precision_of(settings) == "bf16"
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # of the discriminator's first values
        learner = Learner(pipeline, make_objective(settings, pipeline), mixed_precision=is_mixed)
    pipeline.unet.requires_grad_(settings.train in ("unet", "all"))
    pipeline.controlnet.requires_grad_(settings.train in ("controlnet", "all"))
    pipeline.text_encoder.requires_grad_(settings.learns_text)
    if pipeline.motion is not None:
        pipeline.motion.requires_grad_(settings.train == "motion")
    if settings.train == "lora":
        add_adapters(pipeline, settings.lora, settings.seed)
    for network in (pipeline.unet, pipeline.controlnet):
        if settings.gradient_checkpointing:
            network.enable_gradient_checkpointing(_recompute_on(pipeline.device))
        if settings.compile_blocks:
            network.compile_repeated_blocks(dynamic=False)  # with sizes left open it fails on the CPU
    return learner


def make_objective(settings: TrainSettings, pipeline: VEnhancerPipeline) -> Objective | MotionObjective:
    """Return the objective of the settings."""
    if settings.train == "motion":
        return MotionObjective(settings.objective)
    if settings.objective.velocity_pixel_weight and not isinstance(pipeline.vae, LinearAutoencoder):
        raise SettingsError("velocity_pixel_weight needs a linear autoencoder, as models from nothing have; omit it")
    wants_perceptual = settings.objective.finishing_share > 0 and settings.objective.perceptual_weight > 0
    return Objective(
        vae=pipeline.vae.requires_grad_(requires_grad=False),
        tokenizer=pipeline.tokenizer,
        schedule=pipeline.schedule,
        between=pipeline.config["between"],
        steadying=pipeline.config["steadying"],
        settings=settings.objective,
        perceptual=PerceptualDistance(find_weights()).to(pipeline.device) if wants_perceptual else None,
        teacher=make_teacher(settings, pipeline) if settings.train == "lora" else None,
    )


def make_teacher(settings: TrainSettings, pipeline: VEnhancerPipeline) -> Teacher:
    """Return the networks that adapters are put into, and how they sample."""
    defaults = load_traits(str(settings.start_from)).defaults
    return Teacher(defaults=defaults, silenced=partial(without_adapters, pipeline.unet, pipeline.controlnet))


def make_optimizer(settings: TrainSettings, learner: Learner) -> torch.optim.Optimizer:
    """Return the optimiser of the parameters that learn.

    Raises:
        SettingsError: moments of 8 bits need torchao, which is missing.
    """
    parameters, rate = list(learner.trained().values()), settings.learning_rate
    if settings.optimizer == "muon":
        is_hidden = {name: p.ndim > 1 and FIRST_OR_LAST.search(name) is None for name, p in learner.trained().items()}
        matrices, others = (
            [p for name, p in learner.trained().items() if is_hidden[name] is hidden] for hidden in (True, False)
        )
        return Muon(matrices, others, lr=rate, weight_decay=settings.weight_decay, eps=settings.adam_epsilon)
    if settings.adam_bits == 32:
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=settings.weight_decay, eps=settings.adam_epsilon)
    if find_spec("torchao") is None:
        raise SettingsError("adam_bits: 8 needs torchao: run pip install 'venhancer[eight-bit]', or set adam_bits: 32")
    adam = import_module("torchao.optim").AdamW8bit
    return adam(parameters, lr=rate, weight_decay=settings.weight_decay, eps=settings.adam_epsilon)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of the next step; where it is kept in a tensor, in place."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
