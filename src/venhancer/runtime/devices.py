"""Where and in which number format networks run: decided here and nowhere else."""

import logging

import torch

from venhancer.errors import SettingsError
from venhancer.runtime.processor import has_bfloat16

logger = logging.getLogger(__name__)

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
        raise SettingsError(f"device {device} is not on this machine; pass {', '.join(available)} or auto")
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
        raise SettingsError(f"dtype {dtype} is unknown; pass auto, {', '.join(DTYPES)}")
    if dtype == "bf16" and device.type == "cpu" and not has_bfloat16():
        logger.warning(
            "this processor emulates bf16, which can take ten times as long as fp32; pass auto to use the faster format"
        )
    return DTYPES[dtype]


def release_memory(device: torch.device) -> None:
    """Give what torch keeps of a GPU's memory for reuse back to it; of main memory it keeps nothing."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def flush_denormals() -> None:
    """Count values below the smallest normal one (1e-38) as 0 from now on, in this thread and those it starts.

    Many processors work on them far more slowly, and gradients of trained networks without normalisation hold many
    (`benchmarks/training.py`). Programs call it before torch has started its threads.
    """
    torch.set_flush_denormal(True)
