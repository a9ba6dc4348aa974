"""The published models' autoencoders: Stable Diffusion 2.1's for v1, Stable Video Diffusion's for v2.

Stable Diffusion's is met under three sets of names: inside a whole checkpoint below `first_stage_model.`, in a
diffusers folder, and in a diffusers folder of 2022, whose attention layers are called `query`, `key`, `value` and
`proj_attn`. All become diffusers' present names first; everything else is read off the shapes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from venhancer.checkpoints.component import Component
from venhancer.checkpoints.reading import Shape, TensorFile
from venhancer.errors import WeightsError
from venhancer.models import ImageAutoencoder, VideoAutoencoder

SCALING_FACTOR = 0.18215
"""By which both autoencoders' latents are multiplied for the networks."""

_ATTENTION = "mid_block.attentions.0."
_PRESENT_NAMES = (
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.up\.(\d+)\.block\.", r".up_blocks.-\1.resnets."),
    (r"\.up\.(\d+)\.upsample\.", r".up_blocks.-\1.upsamplers.0."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", f".{_ATTENTION}"),
    (r"coder\.norm_out\.", "coder.conv_norm_out."),
    (rf"({_ATTENTION})norm\.", r"\1group_norm."),
    (rf"({_ATTENTION})(?:q|query)\.", r"\1to_q."),
    (rf"({_ATTENTION})(?:k|key)\.", r"\1to_k."),
    (rf"({_ATTENTION})(?:v|value)\.", r"\1to_v."),
    (rf"({_ATTENTION})(?:proj_out|proj_attn)\.", r"\1to_out.0."),
)


def image_autoencoder(source: TensorFile) -> Component:
    """Return v1's autoencoder from a checkpoint of Stable Diffusion 2.1 or from its `vae` folder.

    Raises:
        WeightsError: names or shapes are not those of such an autoencoder.
    """
    tensors = source.below("first_stage_model.", "")
    levels = sum(f"decoder.up.{level}.block.0.norm1.weight" in tensors.shapes for level in range(10))
    names = {present_name(key, levels): key for key in tensors.shapes}

    def build(config: dict[str, Any]) -> ImageAutoencoder:
        way_up: dict[str, Any] = {"up_block_types": ("UpDecoderBlock2D",) * len(config["block_out_channels"])}
        return ImageAutoencoder(**config, **way_up, force_upcast=False)

    return _component(tensors.renamed(names), build, "Stable Diffusion's autoencoder")


def video_autoencoder(source: TensorFile) -> Component:
    """Return v2's autoencoder from the `vae` folder of Stable Video Diffusion, or from the weight file in it.

    Raises:
        WeightsError: names or shapes are not those of such an autoencoder.
    """
    return _component(source, lambda config: VideoAutoencoder(**config), "Stable Video Diffusion's autoencoder")


def present_name(key: str, levels: int) -> str:
    """Return diffusers' present name of a parameter; the levels of the way up are counted from the other end there.

    >>> present_name("decoder.up.3.block.0.nin_shortcut.weight", 4)
    'decoder.up_blocks.0.resnets.0.conv_shortcut.weight'
    """
    for pattern, replacement in _PRESENT_NAMES:
        key = re.sub(pattern, replacement, key)
    return re.sub(r"up_blocks\.-(\d+)", lambda match: f"up_blocks.{levels - 1 - int(match[1])}", key)


def _component(
    tensors: TensorFile, build: Callable[[dict[str, Any]], ImageAutoencoder | VideoAutoencoder], what: str
) -> Component:
    try:
        config = _config_of(tensors.shapes)
    except (KeyError, IndexError) as error:
        raise WeightsError(
            f"{tensors.path} is not {what}: {error} is missing from its {len(tensors.shapes)} tensors; pass that "
            f"autoencoder's weight file or folder"
        ) from error
    with torch.device("meta"):
        model = build(config)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    unfolded = {
        key: shape[:2] if len(shapes.get(key, shape)) == 2 and shape[2:] == (1, 1) else shape
        for key, shape in tensors.shapes.items()
    }
    TensorFile(tensors.path, unfolded, tensors.read).require(shapes, what)

    def read(key: str) -> Tensor:
        return tensors.read(key).reshape(shapes[key])  # 1x1 convolutions of attention become linear layers

    return Component("vae", model, read)


def _config_of(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Return the configuration that these shapes were made with.

    Raises:
        KeyError: a tensor that a part of it follows from is missing.
    """
    first = "encoder.down_blocks.{}.resnets.{}.conv1.weight"
    widths = [shapes[first.format(level, 0)][0] for level in range(10) if first.format(level, 0) in shapes]
    return {
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "block_out_channels": widths,
        "layers_per_block": sum(first.format(0, block) in shapes for block in range(10)),
        "latent_channels": shapes["quant_conv.weight"][0] // 2,
        "scaling_factor": SCALING_FACTOR,
    }
