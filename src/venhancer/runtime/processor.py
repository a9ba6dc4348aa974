"""The number formats that the processor supports, from the system: plans need them before torch is loaded."""

import sys
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""Of processors whose products in bfloat16 oneDNN computes by instructions for them."""


@cache
def has_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Tell whether products in bfloat16 have instructions of their own here, so that they are quick.

    Only Linux says so without a measurement, and a measurement could answer otherwise when unfinished work resumes.
    Everywhere else the answer is no: torch has no such products on Apple's processors.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        lines = cpu_info.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not BFLOAT16_FLAGS.isdisjoint(flags)
