"""Weight files of ours, written one tensor at a time.

The safetensors library writes a file from a dict that holds all of it; a published checkpoint is 8 GB. The format is a
length, a JSON table of names, shapes and offsets, and the values: since the shapes are known beforehand, the table can
be written first and each tensor can be read, converted, written and forgotten.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from venhancer.checkpoints.reading import Shape
from venhancer.errors import WeightsError
from venhancer.progress import Progress

DTYPES = {"fp16": (torch.float16, "F16"), "fp32": (torch.float32, "F32")}


def stored_bytes(shapes: Mapping[str, Shape], dtype: str) -> int:
    """Return how many bytes the values of these shapes take on disk."""
    return sum(math.prod(shape) for shape in shapes.values()) * DTYPES[dtype][0].itemsize


def write_safetensors(
    target: Path, shapes: Mapping[str, Shape], read: Callable[[str], Tensor], *, dtype: str, progress: Progress
) -> None:
    """Write the tensors of these names to a new file, holding one of them at a time.

    Args:
        target: the file to write.
        shapes: names and shapes, in the order they are written in.
        read: gives the value of a name, in that shape and any floating dtype.
        dtype: "fp16" or "fp32".
        progress: advanced by every tensor; its stage was started by the caller.

    Raises:
        WeightsError: a value is infinite or no number, or becomes so in `dtype`.
    """
    torch_dtype, code = DTYPES[dtype]
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for key, shape in shapes.items():
        end = offset + math.prod(shape) * torch_dtype.itemsize
        entries[key] = {"dtype": code, "shape": shape, "data_offsets": (offset, end)}
        offset = end
    table = json.dumps(entries, separators=(",", ":")).encode()
    table += b" " * (-len(table) % 8)
    with target.open("wb") as file:
        file.write(len(table).to_bytes(8, "little"))
        file.write(table)
        for key in shapes:
            value = read(key).to(torch_dtype).contiguous()
            if not value.isfinite().all():
                raise WeightsError(
                    f"{key} holds values that {dtype} cannot; convert with fp32, or download the file again"
                )
            file.write(value.numpy().data)
            progress.advance()
        file.flush()
        os.fsync(file.fileno())
