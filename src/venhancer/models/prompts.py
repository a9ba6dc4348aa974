"""Prompts as both networks need them: embedded once a clip, for every step and window."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from venhancer.models.attention import KeysValues
from venhancer.models.unet import VideoNetwork


class ProjectedText(NamedTuple):
    """A prompt, or several as a batch: keys and values of all cross-attentions of both networks."""

    unet: tuple[KeysValues, ...]
    controlnet: tuple[KeysValues, ...]


def project_text(network: VideoNetwork, embeds: Float[Tensor, "b n d"], device: torch.device) -> tuple[KeysValues, ...]:
    """Return a prompt's keys and values on `device`, made where the network's weights are or wait."""
    projected = network.project_text(embeds.to(next(network.parameters()).device))
    return tuple(KeysValues(*(values.to(device) for values in layer)) for layer in projected)


def join_prompts(prompts: Sequence[ProjectedText]) -> ProjectedText:
    """Return several prompts as one batch."""
    return ProjectedText(*(_join(texts) for texts in zip(*prompts, strict=True)))


def _join(texts: Sequence[tuple[KeysValues, ...]]) -> tuple[KeysValues, ...]:
    return tuple(
        KeysValues(*(torch.cat(parts) for parts in zip(*layer, strict=True))) for layer in zip(*texts, strict=True)
    )
