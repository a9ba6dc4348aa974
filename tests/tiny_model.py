"""A real model of a few thousand parameters: every class of a shipped one, at widths that answer in moments."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from venhancer.model_files.network_shape import NetworkShape
from venhancer.models import (
    ImageAutoencoder,
    LinearAutoencoder,
    MotionNetwork,
    VideoAutoencoder,
    VideoControlNet,
    VideoUNet,
)
from venhancer.pipeline import VEnhancerPipeline

TINY = {
    "base_channels": 16,
    "channel_mults": (1, 2),
    "blocks_per_level": 1,
    "attention_levels": (True, False),
    "head_dim": 8,
    "text_dim": 12,
    "entry_heads": 2,
    "norm_groups": 8,
}
LATENT_CHANNELS = 6


def randomised(network: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter a value, so that no branch is silent."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        spread = 0.3 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
        parameter.data = torch.randn(parameter.shape, generator=generator) * spread + (parameter.dim() == 1) * 0.5
    return network.eval()


FLAT = {
    "channel_mults": (1,),
    "attention_levels": (False,),
    "entry_heads": 0,
    "norm_groups": 0,
    "temporal_convs": 0,
    "middle_attention": False,
    "control_channels": 8,
}
"""What the embedded model's networks have of their own: one level, nothing across time, a narrow ControlNet."""
FLAT_SAMPLING = {"steps": 1, "guidance_scale": 1.0, "start_timestep": 3, "start_noise": 0.0, "noise_augmentation": 0}


def make_tiny_model(
    folder: Path, *, flat: bool = False, moving: bool = False, widths: Mapping[str, int] | None = None
) -> Path:
    """Save a pipeline folder that `--model` takes: two steps, two prompts a step, windows of eight frames.

    Args:
        folder: where.
        flat: shaped as the embedded model, which makes frames between from finished key frames.
        moving: with a network for the motion between key frames.
        widths: in place of those of `TINY`.
    """
    smooth = torch.rand(16, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    frames = torch.nn.functional.interpolate(smooth, (32, 32), mode="bilinear")
    channels = 48 if flat else LATENT_CHANNELS
    shape = NetworkShape(
        **TINY | (FLAT if flat else {}) | dict(widths or {}), in_channels=channels, out_channels=channels
    )
    unet = randomised(VideoUNet(**shape.arguments()))
    if flat:  # without norms a random network's output is far out of range
        unet.conv_out.weight.data *= 0.01
    pipeline = VEnhancerPipeline(
        vae=LinearAutoencoder.fit(frames, patch=4, latent_channels=channels),
        unet=unet,
        controlnet=randomised(VideoControlNet.from_shape(shape)),
        **text_components(),
        motion=randomised(MotionNetwork(channels=(8, 8))) if moving else None,
        between="interpolate" if flat else "blend",
        enlarging="sharp" if flat else "bilinear",
        consistency=0.8 if flat else 0.0,
        defaults={
            "steps": 2,
            "solver": "ddim",
            "start_timestep": 500,
            "guidance_scale": 2.0,
            "noise_augmentation": 10,
            "window_frames": 8,
            "window_overlap": 2,
            "negative_prompt": "blurry",
            **(FLAT_SAMPLING if flat else {}),
        },
    )
    pipeline.save_pretrained(folder)
    return folder


def make_image_model(folder: Path, *, temporal: bool = False) -> Path:
    """Save a pipeline folder shaped as the published models: latents of four channels at an eighth of the size.

    Args:
        folder: where.
        temporal: with v2's decoder, which sees several frames, in place of v1's.
    """
    shape = NetworkShape(**TINY)
    down = {"down_block_types": ("DownEncoderBlock2D",) * 4}
    if temporal:
        vae = VideoAutoencoder(block_out_channels=(32,) * 4, layers_per_block=1, **down)
    else:
        up = {"up_block_types": ("UpDecoderBlock2D",) * 4}
        vae = ImageAutoencoder(block_out_channels=(8,) * 4, norm_num_groups=4, **down, **up)
    pipeline = VEnhancerPipeline(
        vae=vae.eval(),
        unet=randomised(VideoUNet(**shape.arguments())),
        controlnet=randomised(VideoControlNet.from_shape(shape)),
        **text_components(),
        defaults={"steps": 2, "solver": "ddim", "guidance_scale": 1.0, "window_frames": 8, "window_overlap": 2},
    )
    pipeline.save_pretrained(folder)
    return folder


def text_components() -> dict[str, Any]:
    """Return a tiny text encoder and its tokenizer."""
    tokenizer = ByT5Tokenizer(extra_ids=0)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TINY["text_dim"],
        intermediate_size=TINY["text_dim"],
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=77,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return {"text_encoder": randomised(CLIPTextModel(text)), "tokenizer": tokenizer}
