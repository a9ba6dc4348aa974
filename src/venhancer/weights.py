"""Model folders to pipelines: the embedded model, a published one converted before, or any folder made by us.

Folders hold JSON and safetensors only. `model_index.json` may name classes of `venhancer.models` and of transformers
and no others, and values are mapped from the files rather than read into freshly initialised networks, so that a model
of two billion parameters opens in seconds and in no more memory than its weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
import transformers
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from venhancer import models
from venhancer.checkpoints.adapters import attach_adapters, merge_adapters
from venhancer.checkpoints.reading import open_tensors
from venhancer.errors import WeightsError
from venhancer.model_files.adapter import adapter_of
from venhancer.model_files.folders import (
    ABSENT,
    EMBEDDED,
    INDEX_FILE,
    PUBLISHED,
    damaged,
    find_model,
    is_component,
    read_json,
)
from venhancer.model_files.traits import load_traits
from venhancer.models.tiny_decoder import TinyDecoder
from venhancer.pipeline import VEnhancerPipeline
from venhancer.runtime.devices import choose_device, choose_dtype
from venhancer.settings import AnyPath

_NETWORK_FILE = "diffusion_pytorch_model.safetensors"
_OURS = models.__name__

Model = TypeVar("Model")


def load_pipeline(
    model: AnyPath = EMBEDDED,
    *,
    adapter: AnyPath | None = None,
    adapter_apart: bool = False,
    decoder: AnyPath | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> VEnhancerPipeline:
    """Return a pipeline ready to enhance clips.

    Args:
        model: "nano" (in the package), "v1" or "v2" (downloaded or converted before), or a model folder.
        adapter: file of adapters to merge into it, see `merge_adapters`; left out, the one that a folder carries.
        adapter_apart: whether adapters stay beside the weights instead, see `attach_adapters`.
        decoder: file of a tiny decoder that takes the place of the autoencoder's, see `TinyDecoder`.
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; see `venhancer.runtime.devices.choose_device`.
        dtype: "auto", "bf16", "fp16", "fp32"; see `venhancer.runtime.devices.choose_dtype`.

    Raises:
        WeightsError: there is no such model, its folder is incomplete or damaged, or the adapter or the decoder does
            not fit it.
        SettingsError: this machine has no such device, or there is no such dtype.
    """
    folder = find_model(model)
    on = choose_device(device)
    number_format = choose_dtype(dtype, on)
    index = read_json(folder / INDEX_FILE)
    loaded: dict[str, Any] = {}
    for name, value in index.items():
        if is_component(value):
            loaded[name] = _load_component(folder, name, value, number_format)
        elif not name.startswith("_") and value != ABSENT:
            loaded[name] = value
    if model in PUBLISHED:  # as plans say, whatever was written when the folder was converted
        loaded["defaults"] = asdict(load_traits(str(model)).defaults)
    try:
        pipeline = VEnhancerPipeline(**loaded)
    except TypeError as error:
        raise WeightsError(f"{folder / INDEX_FILE} does not describe a VEnhancer pipeline: {error}") from error
    if on.type != "cpu":  # on a processor, results would depend on the number of threads
        for network in (pipeline.unet, pipeline.controlnet):
            network.lay_out()
    pipeline.register_to_config(_name_or_path=str(model))
    if adapter is not None:
        pipeline.register_to_config(_adapter=str(adapter))
    if adapter_apart:
        pipeline.register_to_config(_adapter_apart=True)
    if (file := adapter_of(model, adapter)) is not None:
        (attach_adapters if adapter_apart else merge_adapters)(pipeline, file)
    if decoder is not None:
        pipeline.register_to_config(_decoder=str(decoder))
        pipeline.decoder = load_tiny_decoder(decoder, number_format)
    pipeline.runs_on = None if on.type == "cpu" else on  # where a plan moves the weights to, or some at a time
    return pipeline


def load_tiny_decoder(file: AnyPath, dtype: torch.dtype) -> TinyDecoder:
    """Return the decoder in a file of TAESD's or TAESDV's weights.

    Raises:
        WeightsError: it cannot be read, or is of another network.
    """
    tensors = open_tensors(Path(file))
    try:
        return TinyDecoder.from_weights({name: tensors.read(name) for name in tensors.shapes}).to(dtype)
    except RuntimeError as error:
        raise WeightsError(
            f"{file} is not a tiny decoder of Stable Diffusion's latents; pass the weights of TAESD's decoder or of "
            f"TAESDV"
        ) from error


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
    attribute = getattr(module, name, None)
    if not (isinstance(attribute, type) and issubclass(attribute, kind)):
        raise _unknown_class(folder, module.__name__, name)
    return attribute


def _load_network(network_class: type[ModelMixin], place: Path, dtype: torch.dtype) -> ModelMixin:
    """Build a network without values and give it the file's, which stay mapped where the dtype is the file's own."""
    config = {key: value for key, value in read_json(place / "config.json").items() if not key.startswith("_")}
    path = place / _NETWORK_FILE
    try:
        with torch.device("meta"):
            network = network_class(**config)
        values = {key: value.to(dtype) for key, value in load_file(path).items()}
        network.load_state_dict(values, assign=True)
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    return network.eval()


def _load_text_encoder(model_class: type[PreTrainedModel], place: Path, dtype: torch.dtype) -> PreTrainedModel:
    try:
        with _no_progress_bar():
            loaded: Any = model_class.from_pretrained(
                place, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise damaged(place, error) from error
    encoder, report = loaded
    if lost := report["missing_keys"]:
        raise damaged(place, KeyError(*lost))
    return encoder.eval()


def _load_tokenizer(tokenizer_class: type[PreTrainedTokenizerBase], place: Path) -> PreTrainedTokenizerBase:
    try:
        return tokenizer_class.from_pretrained(place, local_files_only=True)
    except (OSError, ValueError) as error:
        raise damaged(place, error) from error


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing its own bar."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


def _unknown_class(folder: Path, module: str, name: str) -> WeightsError:
    return WeightsError(
        f"{folder / INDEX_FILE} names {module}.{name}, which is not a component of a VEnhancer model; only "
        f"classes of {_OURS} and transformers are loaded"
    )
