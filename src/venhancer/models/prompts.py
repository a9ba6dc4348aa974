"""Prompts as both networks need them, embedded once a clip for every step and window; and what the two make of them."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

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


Predict: TypeAlias = Callable[..., Sequence[Tensor]]
"""Return one v a prompt for key frames, x_t, timesteps and prompts; see `predict_velocities`."""


def project_prompts(
    networks: tuple[VideoUNet, VideoControlNet],
    embeds: Float[Tensor, "p n d"],
    device: torch.device,
    guidance: float = 1.0,
) -> list[ProjectedText]:
    """Return the keys and values of each prompt on `device`, made where a network's weights are or wait.

    Args:
        networks: the base network and the video ControlNet.
        embeds: of the prompts.
        device: where they are needed.
        guidance: its scale, for a network that takes it as an input.
    """

    def project(network: VideoNetwork, one: Tensor) -> tuple[KeysValues, ...]:
        home = next(network.parameters()).device
        projected = network.project_text(one.to(home), torch.full((len(one),), guidance, device=home))
        return tuple(KeysValues(*(values.to(device) for values in layer)) for layer in projected)

    return [ProjectedText(*(project(network, one) for network in networks)) for one in embeds.split(1)]


def pack_prompts(prompts: Sequence[ProjectedText]) -> dict[str, Tensor]:
    """Return the tensors of several prompts by name, for `unpack_prompts`."""
    return {
        f"{number}.{network}.{layer}.{name}": tensor
        for number, prompt in enumerate(prompts)
        for network, layers in prompt._asdict().items()
        for layer, pair in enumerate(layers)
        for name, tensor in pair._asdict().items()
    }


def unpack_prompts(tensors: Mapping[str, Tensor], count: int) -> list[ProjectedText]:
    """Return the `count` prompts that `pack_prompts` took apart."""

    def layers(prefix: str) -> tuple[KeysValues, ...]:
        found = itertools.takewhile(
            lambda layer: f"{layer}.keys" in tensors, (f"{prefix}.{n}" for n in itertools.count())
        )
        return tuple(KeysValues(tensors[f"{layer}.keys"], tensors[f"{layer}.values"]) for layer in found)

    return [
        ProjectedText(*(layers(f"{number}.{network}") for network in ProjectedText._fields)) for number in range(count)
    ]


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
