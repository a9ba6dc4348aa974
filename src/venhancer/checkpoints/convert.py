"""Published weights to a pipeline folder, once: the only place that reads other programs' files.

The inputs are a checkpoint of VEnhancer, an autoencoder, a text encoder and the tokenizer's merges; the output is a
folder that `load_pipeline` reads, with safetensors and JSON only. All inputs are checked before anything is written,
tensors pass through memory one by one, and the folder appears under its name when it is complete.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Literal

from venhancer.checkpoints.autoencoder import image_autoencoder, video_autoencoder
from venhancer.checkpoints.component import Component
from venhancer.checkpoints.network import network_components
from venhancer.checkpoints.reading import TensorFile, open_tensors
from venhancer.checkpoints.text import text_encoder
from venhancer.checkpoints.tokenizer import clip_tokenizer, find_merges
from venhancer.checkpoints.writing import stored_bytes
from venhancer.durable import sha256_of, written_whole
from venhancer.errors import WeightsError
from venhancer.model_files.traits import load_traits
from venhancer.progress import SILENT, Progress, track

Version = Literal["v1", "v2"]
StoredDtype = Literal["fp16", "fp32"]


def convert(
    checkpoint: Path,
    *,
    vae: Path,
    text: Path,
    target: Path,
    version: Version,
    tokenizer: Path | None = None,
    dtype: StoredDtype = "fp16",
    progress: Progress = SILENT,
) -> Path:
    """Convert published weights into a new pipeline folder and return it.

    Args:
        checkpoint: `venhancer_paper.pt` (v1) or `venhancer_v2.pt`.
        vae: v1: Stable Diffusion 2.1's checkpoint or `vae` folder; v2: Stable Video Diffusion's `vae` folder or file.
        text: OpenCLIP ViT-H/14: open_clip's file, a transformers folder, or Stable Diffusion 2.1's checkpoint.
        target: folder to make; it must not exist.
        version: which release the checkpoint is of. Both hold the same names and shapes, so the file cannot tell.
        tokenizer: CLIP's `merges.txt`, open_clip's `bpe_simple_vocab_16e6.txt.gz`, or a folder with one of them;
            None looks beside `text`.
        dtype: number format of the stored weights.
        progress: advanced by every input hashed and every tensor written.

    Raises:
        WeightsError: an input is missing, damaged or not what it should be, `target` exists, or the disk is too small.
            Nothing is left behind then.
    """
    if target.exists():
        raise WeightsError(f"{target} already exists; remove it or choose another folder")
    sources = {"checkpoint": open_tensors(checkpoint), "vae": open_tensors(vae), "text": open_tensors(text)}
    merges = find_merges(text, tokenizer)
    inputs = {name: source.path for name, source in sources.items()} | {"tokenizer": merges}

    components = _components(sources, version)
    del sources  # each file stays mapped into memory only while a component still needs it
    config = components[0].model.config
    clip = clip_tokenizer(merges, vocabulary=config.vocab_size, length=config.max_position_embeddings)

    _require_space(target, sum(stored_bytes(component.shapes, dtype) for component in components))
    with _complete_or_nothing(target) as folder:
        record = {
            "version": version,
            "dtype": dtype,
            "venhancer": installed_version("venhancer"),
            "inputs": _describe(inputs, progress),
        }
        _write_json(folder / "conversion.json", record)
        _write_json(folder / "model_index.json", _model_index(components, type(clip).__name__, version))
        clip.save_pretrained(folder / "tokenizer")
        progress.start(sum(len(component.shapes) for component in components), "convert")
        while components:
            component = components.pop(0)
            component.write(folder / component.name, dtype=dtype, progress=progress)
    return target


def _components(sources: dict[str, TensorFile], version: Version) -> list[Component]:
    """Return all components with weights, those of small files first."""
    unet, controlnet = network_components(sources["checkpoint"])
    text_dim = unet.model.config.text_dim
    vae = {"v1": image_autoencoder, "v2": video_autoencoder}[version](sources["vae"])
    return [text_encoder(sources["text"], text_dim=text_dim), vae, controlnet, unet]


def _model_index(components: list[Component], tokenizer_class: str, version: Version) -> dict[str, Any]:
    return {
        "_class_name": "VEnhancerPipeline",
        "_diffusers_version": installed_version("diffusers"),
        **{component.name: component.class_path for component in components},
        "tokenizer": ("transformers", tokenizer_class),
        "between": "repeat",
        "defaults": asdict(load_traits(version).defaults),
    }


def _describe(inputs: dict[str, Path], progress: Progress) -> dict[str, dict[str, Any]]:
    """Return name, size and SHA-256 of every input."""
    described = {}
    for name, path in track(inputs.items(), len(inputs), "checksums", progress):
        described[name] = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return described


def _require_space(target: Path, needed: int) -> None:
    existing = next(folder for folder in target.absolute().parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise WeightsError(
            f"the converted weights take {needed / 1e9:.1f} GB and {existing} has {free / 1e9:.1f} GB free; "
            "free some space, choose another target, or convert to fp16"
        )


@contextmanager
def _complete_or_nothing(target: Path) -> Iterator[Path]:
    """Give a hidden folder beside `target` that takes its name at the end, or is removed when anything fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(target) as folder:
            folder.mkdir()
            yield folder
    except OSError as error:
        raise WeightsError(f"{target} cannot be written ({error.strerror}); choose another target") from error


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
