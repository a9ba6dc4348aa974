"""What a result depends on, as values that can be kept and compared: the input, the settings, the model, the versions.

Unfinished work resumes only if none of them has changed; `differences` names those that have.
Files are identified by their content, so that a copy under another name is the same input. No torch.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from venhancer.errors import InputError, WeightsError
from venhancer.media.source import failures_as
from venhancer.media.stills.numbering import find_numbered, is_pattern
from venhancer.model_files.folders import find_model
from venhancer.settings import EnhanceSettings

Origin = Mapping[str, Any]
"""Values of JSON by what they are, in words."""

PACKAGES = ("venhancer", "torch", "diffusers", "transformers", "av", "numpy", "opencv-python-headless", "pillow")
"""Packages whose versions can change frames, or how they are read and written."""

WHOLE_BYTES = 64 * 2**20
SPOTS, FEW_SPOTS, SPOT_BYTES = 256, 16, 2**16


def origin_of(source: Path, settings: EnhanceSettings) -> dict[str, Any]:
    """Return what the result of enhancing a file depends on, as far as it is known before a model is loaded.

    Args:
        source: the clip: a file, or the pattern of numbered pictures.
        settings: the request. The model counts by its files, wherever they are.

    Raises:
        InputError: a file cannot be read.
    """
    chosen = settings.model_dump(mode="json", exclude={"model"})
    return {
        "input": fingerprint(source),
        **_model(settings.model),
        **{name.replace("_", " "): value for name, value in chosen.items()},
        **{f"version of {package}": number for package, number in versions().items()},
    }


def versions(*others: str) -> dict[str, str]:
    """Return the versions of `PACKAGES` and of others that are installed."""
    return {package: version(package) for package in (*PACKAGES, *others)}


def differences(then: Origin, now: Origin) -> list[str]:
    """Return in words what has changed since `then`; what only one of them knows is not compared."""
    return [_difference(name, then[name], now[name]) for name in then if name in now and then[name] != now[name]]


def fingerprint(path: Path) -> str:
    """Return what tells a file's content, or that of numbered pictures or of all files in a folder, from any other.

    A file is read once and again only when its size, times or place on the disk have changed.

    Files of up to 64 MiB are read whole. Of larger ones, size, time of change and 256 spots from first to last are
    sampled, which takes a moment however large they are. Of numbered pictures of more than 64 MiB together, size,
    time of change and the middle of each are.

    Raises:
        InputError: a file cannot be read.
    """
    with failures_as(InputError, f"{path} cannot be read; check the path and its permissions"):
        if is_pattern(path):
            files = tuple(find_numbered(path).paths())
        elif path.is_dir():
            files = tuple(sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path)))
        else:
            files = (path,)
        return _fingerprint(path, files, tuple(map(_state, files)))


@lru_cache(maxsize=8)
def _fingerprint(path: Path, files: tuple[Path, ...], states: tuple[tuple[int, ...], ...]) -> str:
    """Return the fingerprint of files in these states, which tell them apart."""
    if files == (path,):
        return _content(path).hex()
    if is_pattern(path):
        is_much = sum(size for size, *_ in states) > WHOLE_BYTES
        return _digest(_spots(picture, 1) if is_much else _content(picture) for picture in files)
    return _digest(part for file in files for part in (str(file.relative_to(path)).encode(), _content(file)))


def _state(file: Path) -> tuple[int, ...]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_dev, state.st_ino


def quick_fingerprint(path: Path) -> str:
    """Return what tells a file from any other in a moment: its size, time of change and up to 16 spots of its content.

    Raises:
        InputError: it cannot be read.
    """
    with failures_as(InputError, f"{path} cannot be read; check the path and its permissions"):
        return _spots(path, FEW_SPOTS).hex()


def _model(name: str) -> dict[str, str]:
    """Return the fingerprint of a model's folder; nothing while the model has not been downloaded yet."""
    try:
        return {"model": fingerprint(find_model(name))}
    except WeightsError:
        return {}


def _content(path: Path) -> bytes:
    """Return the digest of a file's content."""
    if path.stat().st_size > WHOLE_BYTES:
        return _spots(path, SPOTS)
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hash).digest()


def _spots(path: Path, spots: int) -> bytes:
    """Return the digest of a file's size, its time of change and some of its content: the middle, or evenly spread."""
    state, digest = path.stat(), _hash()
    digest.update(f"{state.st_size} {state.st_mtime_ns}".encode())
    last = max(0, state.st_size - SPOT_BYTES)
    with path.open("rb") as file:
        for spot in range(spots):
            file.seek(last // 2 if spots == 1 else last * spot // (spots - 1))
            digest.update(file.read(SPOT_BYTES))
    return digest.digest()


def _digest(parts: Iterable[bytes]) -> str:
    digest = _hash()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _hash() -> "hashlib.blake2b":
    return hashlib.blake2b(digest_size=16)


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _difference(name: str, then: object, now: object) -> str:
    if name in {"input", "model"}:
        return f"another {name}"
    if name == "weights":
        return "other weights"
    return f"{name} {_shown(then)} then and {_shown(now)} now"


def _shown(value: object) -> str:
    text = "none" if value in (None, "") else "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
