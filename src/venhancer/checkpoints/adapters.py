"""Low-rank adapters from a file into a pipeline: what `train: lora` makes, used without the package it is made with.

Merged, they cost nothing. In 16 bits a sum keeps only what is not small beside the weight, so they can also stay apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from venhancer.errors import WeightsError
from venhancer.model_files.adapter import DOWN, GUIDANCE, UP, read_adapter
from venhancer.model_files.traits import adapted_defaults
from venhancer.pipeline import VEnhancerPipeline
from venhancer.settings import AnyPath


class LowRank(nn.Module):
    """What an adapter adds to the result of a layer: B A x, A being a layer of the same kind and B one over channels.

    Args:
        layer: linear, or a convolution over pixels.
        down: A.
        up: B, with the adapter's strength in it.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, down: Tensor, up: Tensor) -> None:
        super().__init__()
        self.down, self.up = (nn.Parameter(values.to(layer.weight), requires_grad=False) for values in (down, up))
        self.steps: dict[str, Any] = {}
        if isinstance(layer, nn.Conv2d):
            self.steps = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}

    def forward(self, x: Tensor) -> Tensor:
        """Return what comes on top of the layer's own result for the same input."""
        if self.down.ndim == 2:
            return F.linear(F.linear(x, self.down), self.up)
        return F.conv2d(F.conv2d(x, self.down, **self.steps), self.up)


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
    adapters = _read_for(pipeline, file, strength)
    _adopt(pipeline, adapters, file)
    for layer, down, up in adapters.pairs.values():
        weight = layer.get_parameter("weight")
        change = product_of(down, up, weight)
        assert change is not None
        weight.copy_((weight.float() + change.to(weight.device)).to(weight.dtype))


@torch.no_grad()
def attach_adapters(pipeline: VEnhancerPipeline, file: AnyPath, *, strength: float = 1.0) -> None:
    """Let a file of low-rank adapters act beside the weights of a pipeline's networks, which stay as they are.

    Args:
        pipeline: whose layers get them. To save it, merge the file into a fresh pipeline instead.
        file: see `merge_adapters`.
        strength: likewise.

    Raises:
        WeightsError: the file cannot be read, is of another network, or adapts a layer that is neither linear nor a
            convolution over pixels; the pipeline is as it was then.
    """
    adapters = _read_for(pipeline, file, strength)
    low_rank = []
    for name, (layer, down, up) in adapters.pairs.items():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            raise WeightsError(
                f"{file} adapts {name}, a {type(layer).__name__}, which needs it merged; do not keep it apart"
            )
        low_rank.append((layer, LowRank(layer, down, up)))
    _adopt(pipeline, adapters, file)
    for layer, adapter in low_rank:
        layer.add_module("adapter", adapter)
        layer.register_forward_hook(_with_adapter)


def _with_adapter(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output + layer.get_submodule("adapter")(inputs[0])


@dataclass(frozen=True, slots=True)
class _Adapters:
    """What a file does to a pipeline.

    Args:
        pairs: layer, A and B of each adapter, strength and scale in B, by the layer's name.
        guidance: weights of the guidance input, if it brings one.
        defaults: sampling defaults, the file's over the pipeline's.
    """

    pairs: Mapping[str, tuple[nn.Module, Tensor, Tensor]]
    guidance: Mapping[str, Tensor]
    defaults: Mapping[str, Any]


def _read_for(pipeline: VEnhancerPipeline, file: AnyPath, strength: float) -> _Adapters:
    """Return what a file does to a pipeline, which it has been checked against.

    Raises:
        WeightsError: the file cannot be read, or is of another network.
    """
    traits, values = read_adapter(file), load_file(file)
    pairs = {}
    for name in (name.removesuffix(DOWN) for name in values if name.endswith(DOWN)):
        layer, down, up = _layer_of(pipeline, name), values[name + DOWN], values.get(name + UP)
        if layer is None or up is None or product_of(down, up, layer.get_parameter("weight")) is None:
            raise WeightsError(f"{_misfit(file)} ({name})")
        pairs[name] = layer, down, strength * traits.scale * up.float()
    guidance = {
        name.removeprefix(GUIDANCE): value.to(pipeline.unet.dtype)
        for name, value in values.items()
        if name.startswith(GUIDANCE)
    }
    return _Adapters(pairs, guidance, adapted_defaults(str(file), pipeline.config["defaults"], traits.defaults))


def _adopt(pipeline: VEnhancerPipeline, adapters: _Adapters, file: AnyPath) -> None:
    """Give a pipeline the guidance input and the defaults that come with adapters.

    Raises:
        WeightsError: the guidance input is of another network.
    """
    if adapters.guidance:
        try:
            pipeline.unet.take_guidance(adapters.guidance)
        except RuntimeError as error:
            raise WeightsError(_misfit(file)) from error
    pipeline.register_to_config(defaults=dict(adapters.defaults))


def _misfit(file: AnyPath) -> str:
    return f"{file} does not fit this model; use it with the model it was trained on"


def product_of(down: Tensor, up: Tensor, weight: Tensor) -> Tensor | None:
    """Return B A, shaped as the weight of the linear layer or convolution; None if it is another layer's."""
    if up.ndim != down.ndim or up.shape[:1] != weight.shape[:1] or down.shape[1:] != weight.shape[1:]:
        return None
    if up.flatten(1).shape[1] != len(down):
        return None
    return (up.float().flatten(1) @ down.float().flatten(1)).view(weight.shape)


def _layer_of(pipeline: VEnhancerPipeline, name: str) -> nn.Module | None:
    """Return a layer with a weight, such as "unet.decoder.0.1.to_q"."""
    component, _, path = name.partition(".")
    try:
        layer = getattr(pipeline, component).get_submodule(path)
        layer.get_parameter("weight")
    except AttributeError:
        return None
    return layer
