"""What there is to run on: how much memory is free, and how many bytes a value will take there.

Plans need it before torch is loaded. On a machine that shows no accelerator nothing is loaded to know it; else torch is
asked, which takes a few seconds.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from venhancer.errors import SettingsError
from venhancer.planning.devices import Device
from venhancer.planning.memory import Machine
from venhancer.runtime.processor import has_bfloat16

if TYPE_CHECKING:
    import torch  # named, not loaded

FORMATS = ("auto", "fp32", "bf16", "fp16")
ACCELERATORS = ("/dev/nvidia0", "/dev/dxg", "/dev/kfd")
GROUP = Path("/sys/fs/cgroup")  # of the container, if there is one


def parse_devices(names: str) -> tuple[str, ...]:
    """Return the devices of a comma-separated list; a number alone is one of CUDA's.

    Raises:
        SettingsError: there is none in it.

    >>> parse_devices("0,1")
    ('cuda:0', 'cuda:1')
    """
    devices = tuple(f"cuda:{name}" if name.isdigit() else name for name in map(str.strip, names.split(",")))
    if not all(devices) or "auto" in devices:
        raise SettingsError(f"--devices {names} is not a list of devices; pass one such as 0,1 or cpu,cpu")
    return devices


def find_machine(device: str = "auto", dtype: str = "auto", *, devices: Sequence[str] = ()) -> Machine:
    """Return what `load_pipeline` would run on with the same names.

    Args:
        device: see `venhancer.weights.load_pipeline`.
        dtype: likewise.
        devices: several that share one video, in place of `device`.

    Raises:
        SettingsError: this machine has no such device, or there is no such dtype.
    """
    if devices:
        machines = [find_machine(name, dtype) for name in devices]
        least = min(machine.memory or 0 for machine in machines)
        shared = 1 if machines[0].has_own_memory else len(devices)
        return replace(machines[0], memory=least // shared, devices=len(devices))
    if device == "cpu" or (device == "auto" and not may_have_accelerator()):
        if dtype not in FORMATS:
            raise SettingsError(f"dtype {dtype} is unknown; pass {', '.join(FORMATS)}")
        automatic = "bf16" if has_bfloat16() else "fp32"
        return Machine(memory=free_memory(), number_format=automatic if dtype == "auto" else dtype)
    from venhancer.runtime.devices import choose_device, choose_dtype

    on = choose_device(device)
    return machine_of(on, choose_dtype(dtype, on))


def named_machine(device: Device, dtype: str = "auto") -> Machine:
    """Return a device that need not be here, with all its memory free.

    Raises:
        SettingsError: it has no such dtype.
    """
    number_format = device.number_format if dtype == "auto" else dtype
    if number_format not in device.tflops:
        raise SettingsError(f"dtype {dtype} is not for a {device.title}; pass auto, {', '.join(device.tflops)}")
    return Machine(memory=device.memory, number_format=number_format, has_own_memory=True)


def machine_of(device: "torch.device", dtype: "torch.dtype") -> Machine:
    """Return what a pipeline on a device runs on; memory that it takes itself already counts as free."""
    name = {"torch.bfloat16": "bf16", "torch.float16": "fp16"}.get(str(dtype), "fp32")
    if device.type == "cuda":
        import torch

        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        return Machine(memory=free, number_format=name, has_own_memory=True)
    return Machine(memory=free_memory(), number_format=name)  # Apple's GPU shares the main memory


def may_have_accelerator() -> bool:
    """Tell whether torch, once loaded, could find one."""
    if sys.platform == "darwin":
        return True
    return not version("torch").endswith("+cpu") and any(Path(path).exists() for path in ACCELERATORS)


def free_memory() -> int:
    """Return the bytes of main memory that this process takes or could take, within the limits of a container."""
    own = psutil.Process().memory_info().rss
    free = own + psutil.virtual_memory().available
    try:
        limit, usage = (int((GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or none with a limit
        return free
    return min(free, own + limit - usage + int(stat["inactive_file"]))
