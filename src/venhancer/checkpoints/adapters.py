"""Low-rank adapters from a file into a pipeline: what `train: lora` makes, used without the package it is made with."""

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from venhancer.errors import WeightsError
from venhancer.model_files.adapter import DOWN, GUIDANCE, UP, read_adapter
from venhancer.model_files.traits import adapted_defaults
from venhancer.pipeline import VEnhancerPipeline
from venhancer.settings import AnyPath


@torch.no_grad()
def merge_adapters(pipeline: VEnhancerPipeline, file: AnyPath, *, strength: float = 1.0) -> None:
    """Add a file of low-rank adapters to the weights of a pipeline's networks.

    Sampling defaults in the file take the place of the pipeline's. A guidance input that it brings is put in place.

    Args:
        pipeline: whose weights change: W becomes W + strength scale B A.
        file: a safetensors file of pairs `network.layer.lora_A.weight` (A) and `network.layer.lora_B.weight` (B).
        strength: 1 as trained; less is weaker, and the negative takes the same adapters out again.

    Raises:
        WeightsError: the file cannot be read, or is of another network; the pipeline is as it was then.
    """
    traits, values = read_adapter(file), load_file(file)
    misfit = WeightsError(f"{file} does not fit this model; use it with the model it was trained on")
    changes = []
    for name in (name for name in values if name.endswith(DOWN)):
        layer = name.removesuffix(DOWN)
        weight, up = _weight_of(pipeline, layer), values.get(layer + UP)
        if weight is None or up is None or (change := product_of(values[name], up, weight)) is None:
            raise WeightsError(f"{misfit} ({layer})")
        changes.append((weight, strength * traits.scale * change))
    guidance = {
        name.removeprefix(GUIDANCE): value.to(pipeline.unet.dtype)
        for name, value in values.items()
        if name.startswith(GUIDANCE)
    }
    defaults = adapted_defaults(str(file), pipeline.config["defaults"], traits.defaults)
    if guidance:
        try:
            pipeline.unet.take_guidance(guidance)
        except RuntimeError as error:
            raise misfit from error
    for weight, change in changes:
        weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))
    pipeline.register_to_config(defaults=defaults)


def product_of(down: Tensor, up: Tensor, weight: Tensor) -> Tensor | None:
    """Return B A, shaped as the weight of the linear layer or convolution; None if it is another layer's."""
    if up.ndim != down.ndim or up.shape[:1] != weight.shape[:1] or down.shape[1:] != weight.shape[1:]:
        return None
    if up.flatten(1).shape[1] != len(down):
        return None
    return (up.float().flatten(1) @ down.float().flatten(1)).view(weight.shape)


def _weight_of(pipeline: VEnhancerPipeline, layer: str) -> nn.Parameter | None:
    """Return the weight of a layer such as "unet.decoder.0.1.to_q"."""
    component, _, path = layer.partition(".")
    try:
        return getattr(pipeline, component).get_submodule(path).weight
    except AttributeError:
        return None
