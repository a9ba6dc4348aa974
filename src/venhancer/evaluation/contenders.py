"""Who takes part: our models and the baselines by name, any program by its command; made from what the user wrote."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from venhancer.errors import SettingsError
from venhancer.evaluation.baselines.baseline import Baseline, Request
from venhancer.evaluation.baselines.chains import CHAINS
from venhancer.evaluation.baselines.command import CommandBaseline
from venhancer.evaluation.baselines.resizing import bicubic_repeat, lanczos_blend, lanczos_minterpolate
from venhancer.frames.levels import Frames
from venhancer.jobs.origin import fingerprint, versions
from venhancer.model_files.folders import EMBEDDED, PUBLISHED, find_model
from venhancer.settings import parse_settings

RESIZING: Mapping[str, tuple[Baseline, tuple[str, ...]]] = {
    "bicubic+repeat": (bicubic_repeat, ()),
    "lanczos+blend": (lanczos_blend, ()),
    "lanczos+minterpolate": (lanczos_minterpolate, ("imageio_ffmpeg",)),
}
"""Baselines without networks, and the optional modules each needs."""

BASELINES = (*RESIZING, *CHAINS)
MODELS = (EMBEDDED, *PUBLISHED)

_NOT_OF_THE_OUTPUT = ("evaluation", "training", "cli", "reports")
"""Files of this package that no output frame depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One that enhances clips.

    Args:
        name: in tables.
        load: makes it ready; called once, and only if an output is not kept from before.
        identity: everything that its output depends on besides the input: outputs in the cache of another are not used.
    """

    name: str
    load: Callable[[], Baseline]
    identity: Mapping[str, object] = field(default_factory=dict)


def parse_contender(text: str, packages: Path) -> Contender:
    """Return the contender that a word means: a baseline, or a model with settings, as in "nano@noise_augmentation=0".

    Args:
        text: a name of `BASELINES` or `MODELS`, or a model folder; `@name=value` after a model sets a setting.
        packages: where packages with weights are kept.

    Raises:
        SettingsError: there is none of this name, a setting cannot be, or an optional package is missing.
        WeightsError: there is no such model.
    """
    if text in RESIZING:
        baseline, modules = RESIZING[text]
        _check_installed(text, modules)
        return Contender(name=text, load=lambda: baseline, identity={"baseline": text, "versions": versions(*modules)})
    if text in CHAINS:
        chain = CHAINS[text]
        _check_installed(text, ("ncnn",))
        identity = {"baseline": text, "packages": chain.packages, "versions": versions("ncnn")}
        return Contender(name=text, load=lambda: chain.load(packages), identity=identity)
    model, *settings = text.split("@")
    if model not in MODELS and not Path(model).is_dir():
        known = ", ".join((*MODELS, *BASELINES))
        raise SettingsError(
            f"unknown contender {model!r}; there are {known}, model folders, and --baseline NAME=COMMAND"
        )
    return model_contender(model, parse_pairs(settings, text), name=text)


def parse_pairs(pairs: Sequence[str], text: str) -> dict[str, str]:
    """Return settings given as "name=value".

    Raises:
        SettingsError: one has no "=".
    """
    for pair in pairs:
        if "=" not in pair:
            raise SettingsError(f"contender {text}: {pair!r} is not name=value, such as nano@noise_augmentation=0")
    return {name.replace("-", "_"): value for name, _, value in (pair.partition("=") for pair in pairs)}


def model_contender(model: str | Path, settings: Mapping[str, object], *, name: str = "") -> Contender:
    """Return one of our models with its own settings.

    Args:
        model: "nano", "v1", "v2" or a folder.
        settings: fields of `EnhanceSettings` other than scale and rate, which every contender is given.
        name: in tables; the model's if empty.

    Raises:
        SettingsError: a setting cannot be.
        WeightsError: there is no such model.
    """
    shared = {"scale", "size", "fps", "slow", "model"} & settings.keys()
    if shared:
        raise SettingsError(
            f"contender {name or model}: {min(shared)} must be the same for all; use --scale or --temporal-factor"
        )
    parse_settings(**settings)
    extras: dict[str, Any] = dict(settings)
    find_model(model)

    def load() -> Baseline:
        from venhancer.weights import load_pipeline

        pipeline = load_pipeline(model)

        def enhance(request: Request) -> Frames:
            rate = request.rate * request.factor
            return pipeline(request.key_frames, scale=request.scale, fps=rate, source_fps=request.rate, **extras)

        return enhance

    identity = {**model_identity(model), "settings": {name: str(value) for name, value in settings.items()}}
    return Contender(name=name or Path(model).name, load=load, identity=identity)


def model_identity(model: str | Path) -> Mapping[str, object]:
    """Return what tells a model's outputs from another's: its files, this package's code, the versions of others.

    Raises:
        WeightsError: there is no such model.
    """
    return {"model": fingerprint(find_model(model)), "code": _code_digest(), "versions": versions()}


def command_contender(text: str) -> Contender:
    """Return the program that "name=command" means.

    Raises:
        SettingsError: it has another form, or the program does not exist.
    """
    baseline = CommandBaseline.parse(text)
    identity = {"command": baseline.command, "versions": versions()}
    return Contender(name=baseline.name, load=lambda: baseline, identity=identity)


def _check_installed(name: str, modules: Sequence[str]) -> None:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise SettingsError(f"contender {name} needs {', '.join(missing)}: run pip install 'venhancer[evaluate]'")


def _code_digest() -> str:
    """Return a digest of this package's files that output frames depend on."""
    folder, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        inside = file.relative_to(folder)
        if inside.parts[0] not in _NOT_OF_THE_OUTPUT:
            digest.update(str(inside).encode() + file.read_bytes())
    return digest.hexdigest()[:16]
