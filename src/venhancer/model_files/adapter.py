"""What a plan must know of a file of adapters before its weights are read. No torch.

A file holds pairs `NETWORK.LAYER.lora_A.weight` and `.lora_B.weight`, whole weights of the guidance input where it
brings one, and in its metadata the scale of the pairs and the sampling defaults that suit the adapted model: one entry,
since the library that writes files puts several in any order.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from venhancer.errors import WeightsError
from venhancer.model_files.folders import EMBEDDED, PUBLISHED
from venhancer.settings import AnyPath

CARRIED = "adapter.safetensors"
"""Name of the file that a model folder carries."""

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
GUIDANCE = "unet.guidance_embed."
METADATA = "venhancer"
"""Entry of the metadata: an object with "scale" and "defaults"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTraits:
    """What is known of a file of adapters.

    Args:
        file: where it is.
        scale: what every product of two matrices is multiplied by.
        defaults: sampling defaults that take the place of the model's.
        takes_guidance: whether the adapted base network takes the guidance scale as an input.
        parameters: how many values it holds.
        is_apart: whether it stays beside the weights instead of being merged into them.
    """

    file: Path
    scale: float
    defaults: dict[str, Any]
    takes_guidance: bool
    parameters: int
    is_apart: bool = False


def read_adapter(file: AnyPath) -> AdapterTraits:
    """Return what a file of adapters says of itself.

    Raises:
        WeightsError: it cannot be read, or is not such a file.
    """
    try:
        with safe_open(file, framework="numpy") as tensors:
            metadata = tensors.metadata() or {}
            sizes = {name: prod(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        content = json.loads(metadata[METADATA])
        scale, defaults = float(content["scale"]), dict(content["defaults"])
        if not any(name.endswith(DOWN) for name in sizes):
            raise ValueError("it contains no low-rank pairs")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = f"its metadata has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
        raise WeightsError(f"{file} is not an adapter file ({reason}); use one written by `train: lora`") from error
    takes_guidance = any(name.startswith(GUIDANCE) for name in sizes)
    parameters = sum(sizes.values())
    return AdapterTraits(
        file=Path(file), scale=scale, defaults=defaults, takes_guidance=takes_guidance, parameters=parameters
    )


def adapter_of(model: AnyPath, given: AnyPath | None) -> Path | None:
    """Return the file that adapts a model: the one given, or else the one that its folder carries, if any."""
    if given is not None:
        return Path(given)
    carried = Path(model) / CARRIED
    return carried if str(model) not in (EMBEDDED, *PUBLISHED) and carried.is_file() else None
