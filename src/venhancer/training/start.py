"""The pipeline that a training run begins with: made from nothing, or loaded."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ByT5Tokenizer, CLIPTextConfig, CLIPTextModel

from venhancer.durable import written_whole
from venhancer.errors import JobFailed, SettingsError
from venhancer.model_files.folders import find_model
from venhancer.model_files.network_shape import EXTRA_ROWS, NetworkShape
from venhancer.model_files.traits import load_traits
from venhancer.models import LinearAutoencoder, VideoControlNet, VideoUNet
from venhancer.models.blocks import ResBlock, Upsample
from venhancer.models.motion import MotionNetwork
from venhancer.pipeline import VEnhancerPipeline
from venhancer.runtime.devices import choose_device, choose_dtype
from venhancer.training.data.batches import Batches
from venhancer.training.settings import NetworkSettings, TrainSettings
from venhancer.weights import load_pipeline

TEXT_WINDOW = 77
SETTLED_AT_START = {
    "between",
    "consistency",
    "enlarging",
    "fresh_controlnet",
    "lora",
    "motion",
    "network",
    "seed",
    "start_from",
    "steadying",
    "train",
}
SETTLED_FILE = "settings.json"
BYTE_PADDING, BYTE_END = 0, 1  # of the byte tokenizer
_BATCHES_TO_FIT_ON = 48
_EMBEDDING_SPREAD = 1.0
_LEAST_DEVIATION = 0.05  # of the latents' whole: a fainter channel is not made as loud as the others


def start_pipeline(settings: TrainSettings) -> VEnhancerPipeline:
    """Return the pipeline that a run began with, in float32, on the processor.

    One made from nothing is kept in the run's folder, so that data may grow later; of another model's files the
    checksums are, so that they cannot change unnoticed.

    Raises:
        JobFailed: the run was started with other settings, or from other weights; or its folder cannot be written.
        SettingsError: the crop does not fit the model.
        WeightsError: the model to start from cannot be used.
    """
    folder = settings.output / "start"
    check_crop(settings)
    origin = settings.model_dump(mode="json", include=SETTLED_AT_START) | {"precision": precision_of(settings)}
    if settings.start_from is not None:
        origin["weights"] = _checksums(find_model(settings.start_from))
    if not folder.exists():
        _begin(settings, folder, origin)
    earlier = json.loads((folder / SETTLED_FILE).read_text())
    changed = [
        name if isinstance(value, dict) else f"{name} {earlier[name]} then and {value} now"
        for name, value in origin.items()
        if name in earlier and earlier[name] != value
    ]
    if changed:
        raise JobFailed(
            f"{settings.output} was started with other settings ({', '.join(changed)}); restore them, or set another "
            f"output"
        )
    if settings.start_from is None:
        pipeline = VEnhancerPipeline.from_pretrained(folder, torch_dtype=torch.float32)
        pipeline.register_to_config(defaults=settings.defaults)  # they may change while a run lasts
        return pipeline
    return _pipeline_from(settings.start_from, settings)


def precision_of(settings: TrainSettings) -> Literal["no", "bf16"]:
    """Return the mixed precision of a run: what is requested, or what `auto` means on this machine."""
    if settings.precision != "auto":
        return settings.precision
    return "bf16" if choose_dtype("auto", choose_device(settings.device)) == torch.bfloat16 else "no"


def check_crop(settings: TrainSettings) -> None:
    """Refuse a crop that the networks cannot take in.

    Raises:
        SettingsError: it is off their grid; the message names the nearest that fits.
    """
    if settings.start_from is None:
        pixels, shape = settings.network.patch, new_shape(settings.network)
    else:
        traits = load_traits(str(settings.start_from))
        pixels, shape = traits.pixels_per_latent, traits.network
    period = shape.period
    height, width = (side / pixels for side in settings.crop)
    fitting = (
        pixels * (max(1, round((height - EXTRA_ROWS) / period)) * period + EXTRA_ROWS),
        pixels * max(1, round(width / period)) * period,
    )
    if fitting != settings.crop:
        raise SettingsError(
            f"crop {list(settings.crop)} is off the network's grid: height must be {pixels * period} k + "
            f"{EXTRA_ROWS * pixels} and width {pixels * period} k; the nearest is {list(fitting)}"
        )


def _begin(settings: TrainSettings, folder: Path, origin: dict[str, Any]) -> None:
    """Write what a run starts from; the folder appears whole or not at all."""
    pipeline = make_pipeline(settings) if settings.start_from is None else None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(folder) as partial:
            partial.mkdir()
            if pipeline is not None:
                pipeline.save_pretrained(partial)
            (partial / SETTLED_FILE).write_text(json.dumps(origin))
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise JobFailed(f"{folder} could not be written ({reason}); free some space, or set another output") from error


def _pipeline_from(model: Path, settings: TrainSettings) -> VEnhancerPipeline:
    """Return another model's pipeline with what the settings change of it."""
    pipeline = load_pipeline(model, device="cpu", dtype="fp32")
    for network in (pipeline.unet, pipeline.controlnet):
        network.lay_out(channels_last=False)
    if settings.fresh_controlnet:
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)  # of the few layers that the base network does not have
            pipeline.register_modules(controlnet=VideoControlNet.from_unet(pipeline.unet))
    if settings.train == "motion" and (settings.between or pipeline.config["between"]) != "interpolate":
        raise SettingsError(
            f"train: motion is for models that make frames between from finished ones, and {model} does not; start "
            f"from nano, or set between: interpolate"
        )
    if settings.train == "motion" and pipeline.motion is None:
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            pipeline.register_modules(motion=MotionNetwork(**settings.motion.model_dump()))
    own_ways = settings.model_dump(include={"between", "consistency", "enlarging", "steadying"}, exclude_none=True)
    pipeline.register_to_config(defaults={**pipeline.config["defaults"], **settings.defaults}, **own_ways)
    return pipeline


def _checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of every file of weights in a model folder."""
    checksums = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with path.open("rb") as file:
            checksums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, hashlib.blake2b).hexdigest()[:32]
    return checksums


def make_pipeline(settings: TrainSettings) -> VEnhancerPipeline:
    """Return a pipeline made from nothing; the same one for the same settings and data."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)  # weight initialisation has no other source of randomness
        return _new_pipeline(settings)


@torch.no_grad()
def _new_pipeline(settings: TrainSettings) -> VEnhancerPipeline:
    network = settings.network
    batches = Batches(settings)
    examples = [batches.group(number, 0) for number in range(_BATCHES_TO_FIT_ON)]
    between, steadying = settings.between or "repeat", settings.steadying or 0.0
    frames = torch.cat([example.target[:, :, 0] for example in examples])
    vae = LinearAutoencoder.fit(frames, patch=network.patch, latent_channels=network.latent_channels)

    shape = new_shape(network)
    unet = VideoUNet(**shape.arguments())
    pass_features_on(unet)
    controlnet = VideoControlNet.from_shape(shape) if shape.control_channels else VideoControlNet.from_unet(unet)
    if vae.is_lapped:
        if network.faintest_channel is not None:  # noise, which is as loud in every channel, is part of what comes in
            vae.gain.div_(_deviations(vae, frames[:, :, None], network.faintest_channel))
        else:
            keys = torch.cat([rearrange(example.key_frames, "b c k h w -> (b k) c 1 h w") for example in examples])
            deviations = _deviations(vae, keys, _LEAST_DEVIATION)
            for conv in (unet.encoder.conv_in, controlnet.encoder.conv_in, controlnet.key_frame_conv):
                conv.weight /= deviations[:, None, None]
    tokenizer = ByT5Tokenizer(extra_ids=0)
    return VEnhancerPipeline(
        vae=vae,
        unet=unet,
        controlnet=controlnet,
        text_encoder=new_text_encoder(network),
        tokenizer=tokenizer,
        between=between,
        steadying=steadying,
        enlarging=settings.enlarging or "bilinear",
        consistency=settings.consistency or 0.0,
        defaults=dict(settings.defaults),
    )


def _deviations(vae: LinearAutoencoder, frames: Float[Tensor, "n 3 1 h w"], least: float) -> Float[Tensor, " c"]:
    """Return the standard deviation of each latent channel, at least this share of that of all together."""
    latents = vae.encode_frames(frames)
    return latents.std(dim=(0, 2, 3, 4)).clamp(min=least * latents.std())


@torch.no_grad()
def pass_features_on(unet: VideoUNet) -> None:
    """Let a new decoder pass on what comes from below at full strength.

    Its stages begin with a convolution over features and skip, which left as it comes keeps 0.4 of the features: after
    nine stages the middle, and the prompt that enters there, would be heard at 3e-4.
    """
    channels = unet.config["base_channels"] * unet.config["channel_mults"][-1]
    for block in unet.decoder.modules():
        if isinstance(block, ResBlock) and isinstance(block.skip, nn.Conv2d):
            nn.init.dirac_(block.skip.weight[:, :channels])
            channels = block.skip.out_channels
        elif isinstance(block, Upsample):
            nn.init.dirac_(block.conv.weight)


def new_shape(network: NetworkSettings) -> NetworkShape:
    """Return the shape of the networks of a model made from nothing."""
    return NetworkShape(
        in_channels=network.latent_channels,
        out_channels=network.latent_channels,
        **network.model_dump(exclude={"faintest_channel", "latent_channels", "patch", "text_layers"}),
    )


def new_text_encoder(network: NetworkSettings) -> CLIPTextModel:
    """Return a small text encoder over bytes."""
    config = CLIPTextConfig(
        vocab_size=len(ByT5Tokenizer(extra_ids=0)),
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
    text_encoder = CLIPTextModel(config)
    # Left as they come, bytes and places are so faint beside the attention that every prompt looks the same.
    for embedding in (text_encoder.embeddings.token_embedding, text_encoder.embeddings.position_embedding):
        torch.nn.init.normal_(embedding.weight, std=_EMBEDDING_SPREAD)
    return text_encoder
