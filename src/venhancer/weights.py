"""Model folders to pipelines: the embedded model, a published one converted before, or any folder made by us.

Folders hold JSON and safetensors only. `model_index.json` may name classes of `venhancer.models` and of transformers
and no others, and values are mapped from the files rather than read into freshly initialised networks, so that a model
of two billion parameters opens in seconds and in no more memory than its weights.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
import transformers
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from venhancer import models
from venhancer.errors import WeightsError
from venhancer.model_folders import EMBEDDED, INDEX_FILE, find_model
from venhancer.pipeline import VEnhancerPipeline
from venhancer.runtime import choose_device, choose_dtype

_NETWORK_FILE = "diffusion_pytorch_model.safetensors"
_OURS = models.__name__

Model = TypeVar("Model")


def load_pipeline(model: str | Path = EMBEDDED, *, device: str = "auto", dtype: str = "auto") -> VEnhancerPipeline:
    """Return a pipeline ready to enhance clips.

    Args:
        model: "nano" (in the package), "v1" or "v2" (downloaded or converted before), or a model folder.
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; see `venhancer.runtime.choose_device`.
        dtype: "auto", "bf16", "fp16", "fp32"; see `venhancer.runtime.choose_dtype`.

    Raises:
        WeightsError: there is no such model, or its folder is incomplete or damaged.
        SettingsError: this machine has no such device, or there is no such dtype.
    """
    folder = find_model(model)
    on = choose_device(device)
    number_format = choose_dtype(dtype, on)
    index = _read_json(folder / INDEX_FILE)
    loaded: dict[str, Any] = {}
    for name, value in index.items():
        if _is_component(value):
            loaded[name] = _load_component(folder, name, value, number_format)
        elif not name.startswith("_"):
            loaded[name] = value
    try:
        pipeline = VEnhancerPipeline(**loaded)
    except TypeError as error:
        raise WeightsError(f"{folder / INDEX_FILE} does not describe a VEnhancer pipeline: {error}") from error
    return pipeline.to(on)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentDescription:
    """What one component's weight file says of itself."""

    name: str
    class_name: str
    parameters: int
    dtypes: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What a model folder holds.

    Args:
        folder: where it is.
        components: those with weights, in the index's order.
        settings: everything else in the index, such as the model's own defaults.
        conversion: the record of `convert`, with the inputs' checksums; None for a model trained by us.
    """

    folder: Path
    components: tuple[ComponentDescription, ...]
    settings: dict[str, Any]
    conversion: dict[str, Any] | None


def describe_model(model: str | Path) -> ModelDescription:
    """Return what a model folder holds, from its JSON files and the headers of its weight files.

    Raises:
        WeightsError: there is no such model, or its folder is incomplete or damaged.
    """
    folder = find_model(model)
    index = _read_json(folder / INDEX_FILE)
    record = folder / "conversion.json"
    return ModelDescription(
        folder=folder,
        components=tuple(
            _describe_component(path, value[1])
            for name, value in index.items()
            if _is_component(value) and (path := next((folder / name).glob("*.safetensors"), None))
        ),
        settings={name: value for name, value in index.items() if not _is_component(value) and name[0] != "_"},
        conversion=_read_json(record) if record.is_file() else None,
    )


def _describe_component(path: Path, class_name: str) -> ComponentDescription:
    try:
        with safe_open(path, framework="pt") as tensors:
            slices = [tensors.get_slice(key) for key in tensors.keys()]  # noqa: SIM118 - no mapping
            return ComponentDescription(
                name=path.parent.name,
                class_name=class_name,
                parameters=sum(torch.Size(each.get_shape()).numel() for each in slices),
                dtypes=tuple(sorted({each.get_dtype() for each in slices})),
                bytes=path.stat().st_size,
            )
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _is_component(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _load_component(folder: Path, name: str, class_path: list[str], dtype: torch.dtype) -> object:
    module, class_name = class_path
    place = folder / name
    if not place.is_dir():
        raise WeightsError(f"model folder {folder} has no {name} folder; copy or convert the model again")
    if module == _OURS or module.startswith(_OURS + "."):
        return _load_network(_class_named(models, class_name, ModelMixin, folder), place, dtype)
    if module == transformers.__name__ and name == "tokenizer":
        return _load_tokenizer(_class_named(transformers, class_name, PreTrainedTokenizerBase, folder), place)
    if module == transformers.__name__:
        return _load_text_encoder(_class_named(transformers, class_name, PreTrainedModel, folder), place, dtype)
    raise _unknown_class(folder, module, class_name)


def _class_named(module: ModuleType, name: str, kind: type[Model], folder: Path) -> type[Model]:
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise _unknown_class(folder, module.__name__, name)
    return found


def _load_network(network_class: type[ModelMixin], place: Path, dtype: torch.dtype) -> ModelMixin:
    """Build a network without values and give it the file's, which stay mapped where the dtype is the file's own."""
    config = {key: value for key, value in _read_json(place / "config.json").items() if not key.startswith("_")}
    path = place / _NETWORK_FILE
    try:
        with torch.device("meta"):
            network = network_class(**config)
        values = {key: value.to(dtype) for key, value in load_file(path).items()}
        network.load_state_dict(values, assign=True)
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error
    return network.eval()


def _load_text_encoder(model_class: type[PreTrainedModel], place: Path, dtype: torch.dtype) -> PreTrainedModel:
    try:
        with _no_progress_bar():
            return model_class.from_pretrained(place, local_files_only=True, use_safetensors=True, dtype=dtype).eval()
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise _damaged(place, error) from error


def _load_tokenizer(tokenizer_class: type[PreTrainedTokenizerBase], place: Path) -> PreTrainedTokenizerBase:
    try:
        return tokenizer_class.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _damaged(place, error) from error


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing its own bar."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise _damaged(path, ValueError("not an object"))
    return content


def _damaged(path: Path, error: Exception) -> WeightsError:
    reason = " ".join(str(error).split())[:200]
    return WeightsError(f"{path} is damaged or incomplete ({reason}); copy, download or convert the model again")


def _unknown_class(folder: Path, module: str, name: str) -> WeightsError:
    return WeightsError(
        f"{folder / INDEX_FILE} names {module}.{name}, which is no component of a VEnhancer model; only classes of "
        f"{_OURS} and transformers are loaded"
    )
