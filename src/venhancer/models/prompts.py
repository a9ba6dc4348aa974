"""Prompts as both networks need them, embedded once a clip for every step and window; and what the two make of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from venhancer.models.attention import KeysValues
from venhancer.models.controlnet import KeyFrames, VideoControlNet
from venhancer.models.unet import VideoNetwork, VideoUNet


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


def predict_velocities(
    networks: tuple[VideoUNet, VideoControlNet],
    key_frames: KeyFrames,
    noisy_latents: Float[Tensor, "b c f h w"],
    timesteps: Int[Tensor, " b"],
    prompts: Sequence[ProjectedText],
    *,
    max_tokens: int | None = None,
    together: bool = True,
    bring: Callable[[nn.Module], None] = lambda _: None,
    features: list[list[Tensor]] | None = None,
) -> Sequence[Float[Tensor, "b c f h w"]]:
    """Return one v a prompt.

    Args:
        networks: the base network and the video ControlNet.
        key_frames: the low-quality input.
        noisy_latents: x_t.
        timesteps: of each clip.
        prompts: for both networks.
        max_tokens: see `BlockContext`.
        together: run the prompts as a batch that shares what no prompt changes, or one after the other.
        bring: called with each network before it runs.
        features: see `VideoUNet.forward`, a list for each prompt, or of the first for all together; those kept leave
            the ControlNet out.
    """
    unet, controlnet = networks

    def predict(text: ProjectedText, kept: list[Tensor] | None) -> Tensor:
        residuals = None
        if not kept:
            bring(controlnet)
            residuals = controlnet(noisy_latents, timesteps, text.controlnet, key_frames, max_tokens)
        bring(unet)
        return unet(
            noisy_latents,
            timesteps,
            text.unet,
            control_residuals=residuals,
            max_tokens=max_tokens,
            features=kept,
        )

    kept = features or [None] * len(prompts)
    if not together:
        return [predict(*one) for one in zip(prompts, kept, strict=True)]
    return predict(join_prompts(prompts), kept[0]).chunk(len(prompts))


def _join(texts: Sequence[tuple[KeysValues, ...]]) -> tuple[KeysValues, ...]:
    return tuple(
        KeysValues(*(torch.cat(parts) for parts in zip(*layer, strict=True))) for layer in zip(*texts, strict=True)
    )
