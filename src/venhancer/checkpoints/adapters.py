"""Low-rank adapters from a file into a pipeline: what `train: lora` makes, used without the package it is made with."""

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from venhancer.errors import WeightsError
from venhancer.pipeline import VEnhancerPipeline
from venhancer.settings import AnyPath

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
SCALE = "scale"
"""Key of the file's metadata: what every product of two matrices is multiplied by."""


@torch.no_grad()
def merge_adapters(pipeline: VEnhancerPipeline, file: AnyPath, *, strength: float = 1.0) -> None:
    """Add a file of low-rank adapters to the weights of a pipeline's networks.

    Args:
        pipeline: whose weights change: W becomes W + strength scale B A.
        file: a safetensors file of pairs `network.layer.lora_A.weight` (A) and `network.layer.lora_B.weight` (B).
        strength: 1 as trained; less is weaker, and the negative takes the same adapters out again.

    Raises:
        WeightsError: the file cannot be read, or is of another network; the pipeline is as it was then.
    """
    try:
        with safe_open(file, framework="pt") as tensors:
            scale = float((tensors.metadata() or {})[SCALE])
            values = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{file} is not an adapter file ({error}); use one written by `train: lora`") from error
    changes = []
    for name in (name for name in values if name.endswith(DOWN)):
        layer = name.removesuffix(DOWN)
        weight = _weight_of(pipeline, layer)
        change = strength * scale * values[layer + UP].float() @ values[name].float()
        if weight is None or weight.shape != change.shape:
            raise WeightsError(f"{file} does not fit this model (at {layer}); use it with the model it was trained on")
        changes.append((weight, change))
    for weight, change in changes:
        weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))


def _weight_of(pipeline: VEnhancerPipeline, layer: str) -> nn.Parameter | None:
    """Return the weight of a linear layer such as "unet.decoder.0.1.to_q"."""
    component, _, path = layer.partition(".")
    try:
        return getattr(pipeline, component).get_submodule(path).weight
    except AttributeError:
        return None
