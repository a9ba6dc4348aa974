"""Small files with the names and layouts of the published ones, filled by a formula instead of training."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from safetensors.torch import save_file
from torch import Tensor

from venhancer.checkpoints.keys import published_keys, to_published
from venhancer.models import VideoControlNet, VideoUNet

GOLDEN = Path(__file__).parent / "golden"
NARROW = {"base_channels": 32, "channel_mults": (1, 2), "blocks_per_level": 1, "attention_levels": (True, False)}
NARROW |= {"head_dim": 8, "text_dim": 16}
WORDS = ["t h", "th e</w>", "a n", "an d</w>", "c a", "ca t</w>"]

Tensors = dict[str, Tensor]


def formula(key: str, shape: tuple[int, ...]) -> Tensor:
    """Return the reference weights of a published name: the same numbers everywhere, with no layer left at zero."""
    normal = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32)
    if key.endswith((".bias", "in_proj_bias")):
        return torch.from_numpy(normal * np.float32(0.05))
    if len(shape) == 1:
        return torch.from_numpy(1 + np.float32(0.1) * normal)
    return torch.from_numpy(normal * np.float32(1 / math.sqrt(math.prod(shape[1:]))))


def reference_input(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Return a reference input by its name."""
    rng = np.random.default_rng(zlib.crc32(f"input:{name}".encode()))
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(scale))


def published_shapes(network: ModelMixin, *, control: bool) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a network's parameters as the published checkpoints have them."""
    values = network.state_dict()
    names = published_keys(values, control=control)
    return {theirs: tuple(to_published(theirs, values[ours]).shape) for theirs, ours in names.items()}


def network_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a checkpoint with both networks of this configuration."""
    with torch.device("meta"):
        unet, controlnet = VideoUNet(**config), VideoControlNet(**config)
    return published_shapes(unet, control=False) | published_shapes(controlnet, control=True)


def autoencoder_shapes(which: str, shrunk_by: int = 4) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a published autoencoder ("sd21" or "temporal"), its widths divided."""
    shapes = json.loads((GOLDEN / "autoencoder_keys.json").read_text())[which]
    return {key: tuple(n // shrunk_by if n >= 128 else n for n in shape) for key, shape in shapes.items()}


def text_shapes(width: int, layers: int, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of an open_clip text tower."""
    shapes: dict[str, tuple[int, ...]] = {"positional_embedding": (77, width), "text_projection": (width, width // 2)}
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}."
        for name, shape in {
            "ln_1.weight": (width,),
            "ln_1.bias": (width,),
            "attn.in_proj_weight": (3 * width, width),
            "attn.in_proj_bias": (3 * width,),
            "attn.out_proj.weight": (width, width),
            "attn.out_proj.bias": (width,),
            "ln_2.weight": (width,),
            "ln_2.bias": (width,),
            "mlp.c_fc.weight": (4 * width, width),
            "mlp.c_fc.bias": (4 * width,),
            "mlp.c_proj.weight": (width, 4 * width),
            "mlp.c_proj.bias": (width,),
        }.items():
            shapes[block + name] = shape
    return shapes | {
        "token_embedding.weight": (vocabulary, width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
    }


def filled(shapes: dict[str, tuple[int, ...]]) -> Tensors:
    """Return the reference weights of these names."""
    return {key: formula(key, shape) for key, shape in shapes.items()}


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    """Return the tensors below a prefix."""
    return {prefix + key: value for key, value in tensors.items()}


def write_inputs(folder: Path, version: str, *, safetensors_only: bool = False) -> dict[str, Path]:
    """Write all four inputs of a conversion, narrow, and return them as `convert` takes them.

    Autoencoder and text encoder of v1 come as PyTorch files, of v2 as safetensors; as safetensors in both if asked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "venhancer.pt"
    torch.save({"state_dict": filled(network_shapes(NARROW))}, checkpoint)

    towers = filled(text_shapes(width=16, layers=3, vocabulary=512 + len(WORDS) + 2))
    towers |= {"visual.conv1.weight": torch.zeros(1), "logit_scale": torch.zeros(())}
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *WORDS]))

    autoencoder = filled(autoencoder_shapes("sd21" if version == "v1" else "temporal"))
    if version == "v1" and not safetensors_only:
        text, vae = folder / "open_clip_pytorch_model.bin", folder / "v2-1_512-ema-pruned.ckpt"
        torch.save(towers, text)
        torch.save({"state_dict": prefixed("first_stage_model.", autoencoder)}, vae)
    else:
        text, vae = folder / "open_clip_model.safetensors", folder / "diffusion_pytorch_model.fp16.safetensors"
        save_file(towers, text)
        save_file({key: value.half() for key, value in autoencoder.items()}, vae)
    return {"checkpoint": checkpoint, "vae": vae, "text": text}
