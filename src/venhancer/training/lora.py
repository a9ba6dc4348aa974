"""Low-rank adapters: put into networks that otherwise stay frozen (Hu et al. 2021), and written as a small file."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from venhancer.checkpoints.adapters import SCALE, merge_adapters
from venhancer.durable import written_whole
from venhancer.errors import SettingsError
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.settings import LoraSettings

_NAME = "default"  # peft names every adapter; ours are alone


def add_adapters(pipeline: VEnhancerPipeline, settings: LoraSettings, seed: int) -> None:
    """Put adapters that change nothing yet into a pipeline's networks; only they are open to gradients.

    Raises:
        SettingsError: peft is missing, or a network has no layer of these names.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise SettingsError("train: lora needs peft; run pip install 'venhancer[train]'") from error
    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.layers))
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the only source of randomness of an adapter's first values
        for name in settings.networks:
            try:
                inject_adapter_in_model(config, getattr(pipeline, name), adapter_name=_NAME)
            except ValueError as error:
                layers = ", ".join(settings.layers)
                raise SettingsError(f"lora.layers: {name} has no linear layers named {layers}") from error


def adapter_weights(trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of adapters in training under the names that a file of them has."""
    return {name.replace(f".{_NAME}.", "."): value.cpu().contiguous() for name, value in trained.items()}


def save_adapters(trained: dict[str, Tensor], settings: LoraSettings, pipeline: VEnhancerPipeline, file: Path) -> None:
    """Write adapters as a file of their own and merge them into a pipeline without any."""
    with written_whole(file) as partial:
        save_file(adapter_weights(trained), partial, metadata={SCALE: repr(settings.alpha / settings.rank)})
    merge_adapters(pipeline, file)
