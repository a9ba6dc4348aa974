"""Where and in which number format networks run, and the noise they start from: decided here and nowhere else."""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from venhancer.errors import SettingsError
from venhancer.processor import has_bfloat16

logger = logging.getLogger(__name__)

DrawNoise: TypeAlias = Callable[[int, int, Sequence[int], int], Float[Tensor, "..."]]
"""Return unit noise by seed, number of the output frame, shape and draw, as `frame_noise` does."""

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def choose_device(device: str = "auto") -> torch.device:
    """Return the device to run on; "auto" takes CUDA, else Apple's GPU, else the processor.

    Raises:
        SettingsError: the name is none, or this machine has no such device.
    """
    available = [name for name, has in (("cuda", torch.cuda), ("mps", torch.backends.mps)) if has.is_available()]
    available.append("cpu")
    if device == "auto":
        return torch.device(available[0])
    kind, _, number = device.partition(":")
    counted = torch.cuda.device_count() if kind == "cuda" else 1
    if kind not in available or (number and not (number.isdigit() and int(number) < counted)):
        raise SettingsError(f"device {device} is not on this machine, which has {', '.join(available)}; or pass auto")
    return torch.device(device)


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the networks' number format; "auto" is bf16 where there are instructions for it.

    Elsewhere, "auto" is fp16 on CUDA GPUs and fp32 on all others. Emulated bf16 is warned of.

    Raises:
        SettingsError: the name is none of auto, bf16, fp16 and fp32.
    """
    if dtype == "auto":
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        return torch.bfloat16 if device.type == "cpu" and has_bfloat16() else torch.float32
    if dtype not in DTYPES:
        raise SettingsError(f"dtype {dtype} is none of auto, {', '.join(DTYPES)}")
    if dtype == "bf16" and device.type == "cpu" and not has_bfloat16():
        logger.warning("this processor emulates bf16, which can take ten times as long as fp32; auto takes the faster")
    return DTYPES[dtype]


def release_memory(device: torch.device) -> None:
    """Give what torch keeps of a GPU's memory for reuse back to it; of main memory it keeps nothing."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def weights_fingerprint(components: Mapping[str, nn.Module]) -> str:
    """Return a digest of components' weights by name, from up to about 64 values of each tensor."""
    digest = hashlib.blake2b(digest_size=16)
    for component, module in components.items():
        for name, values in module.state_dict().items():
            few = values.flatten()[:: max(1, values.numel() // 64)].double().cpu().numpy()
            digest.update(f"{component}.{name} {values.dtype} {tuple(values.shape)}".encode() + few.tobytes())
    return digest.hexdigest()


def frame_noise(seed: int, frame_index: int, shape: Sequence[int], draw: int = 0) -> Float[Tensor, "..."]:
    """Return noise of one output frame, which depends on the seed, the frame's number in the clip and the draw only.

    So a frame starts from the same noise whatever window, segment or device it is computed in (drawn on the CPU in
    float32).

    Args:
        seed: any integer.
        frame_index: number of the frame in the whole output.
        shape: of the frame's latents.
        draw: which of the frame's noises, from 0.
    """
    digest = hashlib.blake2b(f"{seed}:{frame_index}:{draw}".encode(), digest_size=8).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest, "little"))
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)
