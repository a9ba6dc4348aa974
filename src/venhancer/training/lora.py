"""Low-rank adapters: put into networks that otherwise stay frozen (Hu et al. 2021), and written as a small file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from venhancer.checkpoints.adapters import merge_adapters
from venhancer.durable import written_whole
from venhancer.errors import SettingsError
from venhancer.model_files.adapter import METADATA
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.settings import LoraSettings, TrainSettings

ENDS = r"(encoder\.)?conv_(in|out)"
"""The networks' first and last convolutions, which get no adapters: their names are also those of layers inside."""

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
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=list(settings.layers), exclude_modules=ENDS
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # the only source of randomness of an adapter's first values
        for name in settings.networks:
            try:
                inject_adapter_in_model(config, getattr(pipeline, name), adapter_name=_NAME)
            except ValueError as error:
                layers = ", ".join(settings.layers)
                raise SettingsError(f"lora.layers: {name} has no linear layers named {layers}") from error
        if settings.guidance_input:
            pipeline.unet.take_guidance()


@contextmanager
def without_adapters(*networks: nn.Module) -> Iterator[None]:
    """Within the block the networks are those that adapters were put into."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for network in networks for module in network.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(enabled=False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(enabled=True)


def adapter_weights(trained: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of adapters in training under the names that a file of them has."""
    networks = {name: value for name, value in trained.items() if name.split(".")[0] in ("unet", "controlnet")}
    return {name.replace(f".{_NAME}.", "."): value.cpu().contiguous() for name, value in networks.items()}


def save_adapters(trained: dict[str, Tensor], settings: TrainSettings, pipeline: VEnhancerPipeline, file: Path) -> None:
    """Write adapters with their sampling defaults as a file of their own, and merge them into a pipeline."""
    content = {"scale": settings.lora.alpha / settings.lora.rank, "defaults": settings.defaults}
    with written_whole(file) as partial:
        save_file(adapter_weights(trained), partial, metadata={METADATA: json.dumps(content)})
    merge_adapters(pipeline, file)
