"""Messages between this process and a worker, over its standard input and output: a few values and some tensors.

A message is two lengths, then JSON, then tensors as safetensors holds them: nothing that a reader would execute.
"""

import json
import struct
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from safetensors.torch import load, save
from torch import Tensor

LENGTHS = struct.Struct("<QQ")


class Message(NamedTuple):
    """What one process tells the other.

    Args:
        values: anything that JSON can hold.
        tensors: by name, in main memory.
    """

    values: dict[str, Any]
    tensors: dict[str, Tensor]


def send(stream: IO[bytes], values: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> int:
    """Write a message and return its bytes.

    Raises:
        OSError: the other process is gone.
    """
    text = json.dumps(values).encode()
    own = {name: tensor.to("cpu", copy=True).contiguous() for name, tensor in (tensors or {}).items()}  # none shared
    payload = save(own) if own else b""
    for part in (LENGTHS.pack(len(text), len(payload)), text, payload):
        stream.write(part)
    stream.flush()
    return LENGTHS.size + len(text) + len(payload)


def receive(stream: IO[bytes]) -> Message:
    """Read a message.

    Raises:
        EOFError: the other process is gone.
    """
    text_bytes, payload_bytes = LENGTHS.unpack(_read(stream, LENGTHS.size))
    values = json.loads(_read(stream, text_bytes))
    return Message(values, load(_read(stream, payload_bytes)) if payload_bytes else {})


def _read(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data
