"""A real model of a few thousand parameters: every class of a shipped one, at widths that answer in moments."""

from pathlib import Path

import torch
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from venhancer.models import LinearAutoencoder, VideoControlNet, VideoUNet
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


def make_tiny_model(folder: Path) -> Path:
    """Save a pipeline folder that `--model` takes: two steps, two prompts a step, windows of eight frames."""
    smooth = torch.rand(16, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    frames = torch.nn.functional.interpolate(smooth, (32, 32), mode="bilinear")
    shape = {**TINY, "in_channels": LATENT_CHANNELS}
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
    pipeline = VEnhancerPipeline(
        vae=LinearAutoencoder.fit(frames, patch=4, latent_channels=LATENT_CHANNELS),
        unet=randomised(VideoUNet(**shape, out_channels=LATENT_CHANNELS)),
        controlnet=randomised(VideoControlNet(**shape)),
        text_encoder=randomised(CLIPTextModel(text)),
        tokenizer=tokenizer,
        residual_scale=[0.5] * LATENT_CHANNELS,
        between="blend",
        defaults={
            "steps": 2,
            "solver": "ddim",
            "start_timestep": 500,
            "guidance_scale": 2.0,
            "noise_augmentation": 10,
            "window_frames": 8,
            "window_overlap": 2,
            "negative_prompt": "blurry",
        },
    )
    pipeline.save_pretrained(folder)
    return folder
