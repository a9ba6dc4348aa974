"""Weight files of other programs, opened without running anything in them and without reading them whole.

PyTorch files are mapped into memory and unpickled with `weights_only=True`; safetensors files are read tensor by
tensor. Everything after this sees names, shapes and a way to read one tensor.
"""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from venhancer.errors import WeightsError

Shape = tuple[int, ...]

_FILES_IN_FOLDERS = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.fp16.safetensors",
    "open_clip_model.safetensors",
    "model.safetensors",
    "model.fp16.safetensors",
    "diffusion_pytorch_model.bin",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)
_DAMAGED = (RuntimeError, ValueError, LookupError, EOFError, TypeError, AttributeError, OSError, zipfile.BadZipFile)
"""What reading a damaged PyTorch file was seen to raise."""


@dataclass(frozen=True, slots=True)
class TensorFile:
    """Names, shapes and values of the tensors in one file.

    Args:
        path: the file, for messages.
        shapes: shape of every tensor.
        read: gives one tensor, in the file's own dtype.
    """

    path: Path
    shapes: Mapping[str, Shape]
    read: Callable[[str], Tensor]

    def renamed(self, names: Mapping[str, str]) -> "TensorFile":
        """Return a view that holds only some tensors, under other names (new name -> name in the file)."""
        shapes = {new: self.shapes[old] for new, old in names.items()}
        return TensorFile(self.path, shapes, lambda new: self.read(names[new]))

    def below(self, *prefixes: str) -> "TensorFile":
        """Return the tensors below the first prefix that occurs, without it; "" is the whole file."""
        present = next((p for p in prefixes if any(key.startswith(p) for key in self.shapes)), prefixes[-1])
        return self.renamed({key.removeprefix(present): key for key in self.shapes if key.startswith(present)})

    def require(self, expected: Mapping[str, Shape], what: str) -> None:
        """Check that names and shapes are exactly the expected ones.

        Raises:
            WeightsError: they are not; the message counts the differences and names the first few.
        """
        missing = [key for key in expected if key not in self.shapes]
        unexpected = [key for key in self.shapes if key not in expected]
        wrong = [
            f"{key} is {_times(self.shapes[key])} instead of {_times(shape)}"
            for key, shape in expected.items()
            if key in self.shapes and self.shapes[key] != shape
        ]
        problems = [
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for kind, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
            if keys
        ]
        if problems:
            raise WeightsError(
                f"{self.path} is not {what}: of {len(expected)} tensors, {'; '.join(problems)}; "
                "check that this is the right file, or download it again"
            )


def open_tensors(path: Path) -> TensorFile:
    """Open a weight file, or the one in a model folder, and read its table of contents.

    Raises:
        WeightsError: there is no such file, it is damaged, it is no weight file, or it holds more than tensors.
    """
    path = path if path.is_file() else _file_in_folder(path)
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        return _open_torch(path)
    raise WeightsError(
        f"{path} is not a complete PyTorch or safetensors file; check its name and size, or download it again"
    )


def _file_in_folder(path: Path) -> Path:
    if not path.exists():
        raise WeightsError(f"{path} does not exist; pass a weight file or a model folder")
    for name in _FILES_IN_FOLDERS:
        if (path / name).is_file():
            return path / name
    raise WeightsError(f"{path} contains none of {', '.join(_FILES_IN_FOLDERS)}; pass the weight file itself")


def _open_torch(path: Path) -> TensorFile:
    try:
        loaded = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} contains more than tensors and was not loaded, because such files can run code; use a file with "
            f"tensors only, preferably .safetensors"
        ) from error
    except _DAMAGED as error:
        raise WeightsError(f"{path} is damaged or not a PyTorch weight file; download it again") from error
    named = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    values = _tensors_in(named) if isinstance(named, dict) else {}
    return TensorFile(path, {key: tuple(value.shape) for key, value in values.items()}, values.__getitem__)


def _tensors_in(loaded: dict[Any, Any]) -> dict[str, Tensor]:
    return {key: value for key, value in loaded.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _open_safetensors(path: Path) -> TensorFile:
    try:
        tensors = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file; download it again") from error
    shapes = {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118 - no mapping
    return TensorFile(path, shapes, tensors.get_tensor)


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"
