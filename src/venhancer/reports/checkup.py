"""What a bug report needs to know of a machine, without the name or a path of its user in it: `venhancer doctor`."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import psutil

from venhancer.errors import VEnhancerError
from venhancer.jobs.origin import versions
from venhancer.media.limits import VARIABLE
from venhancer.media.writing.encoders import CODECS, pixel_formats
from venhancer.model_files.folders import PUBLISHED, cache_folder, find_model
from venhancer.planning.machine import find_machine
from venhancer.settings import format_memory

EXTRAS: Mapping[str, str] = {
    "train": "peft",
    "evaluate": "ncnn",
    "curves": "matplotlib",
    "eight-bit": "torchao",
    "tensorboard": "tensorboard",
    "ui": "gradio",
    "serve": "fastapi",
}
"""A package of each extra, by which one sees whether it is installed."""

VARIABLES = (VARIABLE, "VENHANCER_CACHE", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Variables that change what happens; only that they are set is told, not to what."""

MOST_ERROR = 20.0
"""Levels by which the self test's result, made small again, may lie off its input."""

Rows = Iterator[tuple[str, str]]


def check_up() -> Rows:
    """Yield labels and values; the last ones take a few seconds, in which torch is loaded and a clip is enhanced."""
    yield "venhancer", version("venhancer")
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "packages", ", ".join(f"{name} {number}" for name, number in versions().items() if name != "venhancer")
    yield "extras", ", ".join(_extras()) or "none"
    yield "processor", f"{psutil.cpu_count(logical=False)} cores, {os.cpu_count()} threads, {_instructions()}"
    memory = psutil.virtual_memory()
    yield "memory", f"{format_memory(memory.available)} free of {format_memory(memory.total)}"
    yield "disk", ", ".join(_disks())
    yield "encoders", ", ".join(name for name in CODECS if pixel_formats(name)) or "none"
    yield "models", ", ".join(_models())
    yield "variables set", ", ".join(name for name in VARIABLES if name in os.environ) or "none"
    yield from _devices()
    yield from _self_test()


def _extras() -> Iterator[str]:
    for extra, package in EXTRAS.items():
        with suppress(PackageNotFoundError):
            yield f"{extra} ({package} {version(package)})"


def _instructions() -> str:
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\nflags")[2].partition("\n")[0].split()
    except OSError:
        return "instructions unknown"
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return " ".join(known) or "none of avx2, avx512f, avx512_bf16, amx_bf16"


def _disks() -> Iterator[str]:
    for what, folder in (("here", Path()), ("temporary", Path(tempfile.gettempdir())), ("cache", cache_folder())):
        there = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.is_dir()), None)
        if there is not None:
            yield f"{format_memory(shutil.disk_usage(there).free)} free {what}"


def _models() -> Iterator[str]:
    yield "nano"
    for name in PUBLISHED:
        with suppress(VEnhancerError):
            find_model(name)
            yield name


def _devices() -> Rows:
    import torch

    machine = find_machine()
    yield "device", f"auto takes {_device_name()}, in {machine.number_format}, {torch.get_num_threads()} threads"
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield f"cuda:{number}", f"{name}, {format_memory(free)} free of {format_memory(total)}"


def _device_name() -> str:
    from venhancer.runtime.devices import choose_device

    return choose_device().type


def _self_test() -> Rows:
    """Enhance a clip that moves with the embedded model, and tell how that went."""
    from venhancer.weights import load_pipeline

    started = time.monotonic()
    try:
        pipeline = load_pipeline("nano")
        loaded = time.monotonic()
        slope = np.linspace(0, 255, 64).astype(np.uint8)
        frames = np.stack([np.broadcast_to(np.roll(slope, n)[None, :, None], (48, 64, 3)) for n in range(4)])
        result = pipeline(frames, source_fps=8, scale=2, fps=16)
        error = float(np.abs(result[::2, ::2, ::2].astype(float) - frames).mean())
    except Exception as failure:  # whatever it is, the report must tell it
        yield "self test", f"failed: {type(failure).__name__}: {' '.join(str(failure).split())[:200]}"
        return
    seconds = f"loaded in {loaded - started:.1f} s, enhanced in {time.monotonic() - loaded:.1f} s"
    yield "self test", f"{'passed' if error < MOST_ERROR else 'FAILED'}: {seconds}, {error:.1f} levels from the input"
