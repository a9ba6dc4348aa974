"""The pipeline that a training run begins with: made from nothing, or loaded."""

import json
import shutil

import torch
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from venhancer.conditioning import spread_key_frames
from venhancer.errors import JobFailed
from venhancer.models import LinearAutoencoder, VideoControlNet, VideoUNet
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.data import Batches
from venhancer.training.settings import NetworkSettings, TrainSettings

TEXT_WINDOW = 77
SETTLED_AT_START = {"network", "start_from", "relative_to_start", "between", "seed"}
SETTLED_FILE = "settings.json"
BYTE_PADDING, BYTE_END = 0, 1  # of the byte tokenizer
_BATCHES_TO_FIT_ON = 48


def start_pipeline(settings: TrainSettings) -> VEnhancerPipeline:
    """Return the pipeline that a run began with, in float32: kept in the run's folder, so that data may grow later.

    Raises:
        JobFailed: the run was begun with another network, or from another pipeline.
    """
    kept = settings.output / "start"
    begun_with = settings.model_dump(mode="json", include=SETTLED_AT_START)
    if not kept.exists():
        partial = kept.with_name(".start.part")
        shutil.rmtree(partial, ignore_errors=True)
        make_pipeline(settings).save_pretrained(partial)
        (partial / SETTLED_FILE).write_text(json.dumps(begun_with))
        partial.rename(kept)
    settled = json.loads((kept / SETTLED_FILE).read_text())
    changed = [name for name, value in begun_with.items() if settled[name] != value]
    if changed:
        raise JobFailed(
            f"{settings.output} was begun with other settings ({', '.join(changed)}); "
            "restore them, or give another output"
        )
    return VEnhancerPipeline.from_pretrained(kept, torch_dtype=torch.float32)


def make_pipeline(settings: TrainSettings) -> VEnhancerPipeline:
    """Return the pipeline to train; the same one for the same settings and data."""
    if settings.start_from is not None:
        return VEnhancerPipeline.from_pretrained(settings.start_from, torch_dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # weight initialisation has no other source of randomness
        return _new_pipeline(settings)


@torch.no_grad()
def _new_pipeline(settings: TrainSettings) -> VEnhancerPipeline:
    network = settings.network
    batches = Batches(settings)
    examples = [batches.group(number, 0) for number in range(_BATCHES_TO_FIT_ON)]
    frames = torch.cat([example.target[:, :, 0] for example in examples])
    vae = LinearAutoencoder.fit(frames, patch=network.patch, latent_channels=network.latent_channels)

    residual_scale = None
    if settings.relative_to_start:
        differences = []
        for example in examples:
            start = spread_key_frames(vae.encode_frames(example.key_frames), example.key_frame_mask, settings.between)
            differences.append((vae.encode_frames(example.target) - start).transpose(0, 1).flatten(1))
        residual_scale = [round(float(deviation), 5) for deviation in torch.cat(differences, dim=1).std(dim=1)]

    shape = {
        "in_channels": network.latent_channels,
        "base_channels": network.base_channels,
        "channel_mults": network.channel_mults,
        "blocks_per_level": network.blocks_per_level,
        "attention_levels": network.attention_levels,
        "head_dim": network.head_dim,
        "text_dim": network.text_dim,
        "entry_heads": network.entry_heads,
        "norm_groups": network.norm_groups,
    }
    unet = VideoUNet(**shape, out_channels=network.latent_channels)
    tokenizer = ByT5Tokenizer(extra_ids=0)
    return VEnhancerPipeline(
        vae=vae,
        unet=unet,
        controlnet=VideoControlNet.from_unet(unet),
        text_encoder=_byte_text_encoder(network, tokenizer),
        tokenizer=tokenizer,
        residual_scale=residual_scale,
        between=settings.between,
        defaults=dict(settings.defaults),
    )


def _byte_text_encoder(network: NetworkSettings, tokenizer: ByT5Tokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=network.text_dim,
        intermediate_size=2 * network.text_dim,
        num_hidden_layers=network.text_layers,
        num_attention_heads=max(1, network.text_dim // 16),
        max_position_embeddings=TEXT_WINDOW,
        hidden_act="gelu",
        bos_token_id=None,
        eos_token_id=BYTE_END,
        pad_token_id=BYTE_PADDING,
    )
    return CLIPTextModel(config)
