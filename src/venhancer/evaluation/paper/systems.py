"""Systems: the rows of tables, each with its recorded way to run, and what is missing before it can."""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from venhancer.errors import SettingsError, WeightsError
from venhancer.evaluation.baselines.baseline import Baseline, Request
from venhancer.evaluation.baselines.command import CommandBaseline, check_places
from venhancer.evaluation.baselines.existing import ExistingVideos
from venhancer.evaluation.contenders import Contender, parse_contender
from venhancer.frames.levels import Frames
from venhancer.jobs.origin import fingerprint, versions


class System(BaseModel):
    """One entry of `systems.yaml`, which says what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    contender: str = ""
    command: str = ""
    folder: str = ""
    config: dict[str, Any] | None = None
    holds_end: bool = False
    stages: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    scales: tuple[int, ...] = ()
    factors: tuple[int, ...] = ()
    source: str
    version: str
    licence: str
    note: str = ""

    @property
    def is_made_elsewhere(self) -> bool:
        """Whether there is nothing to run, only videos that exist."""
        return not (self.contender or self.command or self.stages)


class Place(BaseModel):
    """Where a user's copy of a system lies.

    Args:
        home: the folder of the program; its needs are looked for there.
        python: the interpreter of its environment; programs beside it, as `torchrun`, are found too.
        videos: a folder of results that exist, each named like its clip, used instead of the program.
        contender: another model for ours, as "v1" or a folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path | None = None
    python: Path | None = None
    videos: Path | None = None
    contender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """All systems, and where those of the user lie.

    Args:
        entries: by name.
        places: by name.
        packages: where packages with weights are kept.
    """

    entries: Mapping[str, System]
    places: Mapping[str, Place]
    packages: Path

    def __getitem__(self, name: str) -> System:
        """Return a system.

        Raises:
            SettingsError: there is none of this name.
        """
        if name not in self.entries:
            raise SettingsError(f"unknown system {name}; there are {', '.join(self.entries)}")
        return self.entries[name]

    def with_videos(self, videos: Mapping[str, Path]) -> Self:
        """Return the same with folders of videos that exist, by system.

        Raises:
            SettingsError: one is not there.
        """
        absent = [path for path in videos.values() if not path.is_dir()]
        if absent:
            raise SettingsError(f"{absent[0]} is not there; name a folder of videos")
        return replace(self, places={**self.places, **{name: Place(videos=path) for name, path in videos.items()}})

    def missing(self, name: str, *, scale: int = 0, factor: int = 0) -> str:
        """Return what a system lacks and where to get it; empty if it is ready.

        Args:
            name: of the system.
            scale: asked of it, 0 if that is not known yet.
            factor: likewise.
        """
        system, place = self[name], self.places.get(name, Place())
        if place.videos is not None:
            return "" if place.videos.is_dir() else f"{place.videos} is not there; name the folder of its videos"
        for allowed, asked, what in ((system.scales, scale, "scale"), (system.factors, factor, "temporal factor")):
            if asked and allowed and asked not in allowed:
                return f"it has {what} {', '.join(map(str, allowed))} only, not {asked}"
        if system.is_made_elsewhere:
            return f"name a folder of its videos in --systems ({name}: {{videos: FOLDER}}); from {system.source}"
        if system.contender:
            return self._lacks_of_contender(place.contender or system.contender)
        lacks = {stage: self._lacks_of_program(stage) for stage in system.stages or (name,)}
        reasons = {stage: reason for stage, reason in lacks.items() if reason}
        return "; ".join(f"{stage}: {reason}" if system.stages else reason for stage, reason in reasons.items())

    def contender(self, name: str) -> Contender:
        """Return a ready system as evaluations call it.

        Raises:
            SettingsError: it is not ready.
            WeightsError: its model is not there.
        """
        if reason := self.missing(name):
            raise SettingsError(f"{name} cannot run: {reason}")
        system, place = self[name], self.places.get(name, Place())
        if place.videos is not None:
            return Contender(name=name, load=partial(ExistingVideos, place.videos), identity=_of_folder(place.videos))
        if system.contender:
            known = parse_contender(place.contender or system.contender, self.packages)
            return Contender(name=name, load=known.load, identity=known.identity)
        stages = [self._program(stage) for stage in system.stages or (name,)]
        commands = [{"text": one.text, "folder": str(one.folder), "holds_end": one.holds_end} for one in stages]
        does = [(self[stage].scales, self[stage].factors) for stage in system.stages]
        run: Baseline = _in_turn(stages, does) if system.stages else stages[0]
        return Contender(name=name, load=lambda: run, identity={"programs": commands, "versions": versions()})

    def _lacks_of_contender(self, name: str) -> str:
        try:
            parse_contender(name, self.packages)
        except (SettingsError, WeightsError) as error:
            return str(error).replace(str(Path.home()), "~")  # tables are shown to others
        return ""

    def _lacks_of_program(self, name: str) -> str:
        system, place = self[name], self._place(name)
        if place.home is None:
            return f"get {system.source}, then name its folder in --systems ({name}: {{home: FOLDER}})"
        absent = [need for need in system.needs if not (place.home / need).exists()]
        if absent:
            return f"{place.home} lacks {', '.join(absent)}; from {system.source}"
        program = shlex.split(self._program(name).command)[0]
        return (
            ""
            if shutil.which(program)
            else f"program {program} is not installed; name its {{python: PATH}} in --systems"
        )

    def _place(self, name: str) -> Place:
        """Return where a system lies; stages of one program may share an entry with it."""
        own = self.places.get(name, Place())
        if own.home is not None:
            return own
        same = [other for other, place in self.places.items() if self[other].source == self[name].source and place.home]
        return self.places[same[0]] if same else own

    def _program(self, name: str) -> CommandBaseline:
        system, place = self[name], self._place(name)
        tools = {"python": str(place.python or "python"), "torchrun": "torchrun"}
        if place.python is not None:
            tools["torchrun"] = str(place.python.parent / "torchrun")
        command = system.command
        for tool, path in tools.items():
            command = command.replace(f"{{{tool}}}", shlex.quote(path))
        folder = (place.home or Path()) / system.folder
        return CommandBaseline(
            name=name, command=command, folder=folder.resolve(), config=system.config, holds_end=system.holds_end
        )


def as_rows(systems: Systems) -> list[tuple[str, str]]:
    """Return each system's name, and what it is and lacks, with where to get that."""
    rows = []
    for name, system in systems.entries.items():
        reason = systems.missing(name)
        state = f"missing: {reason}" if reason else "ready"
        rows.append((name, f"{system.title}, {system.version}, {system.licence}: {state}"))
    return rows


def load_systems(own: Path | None, packages: Path) -> Systems:
    """Return the systems of this package and of the user's own file, which says where they lie and may add further.

    Raises:
        SettingsError: the file cannot be read, or an entry of it cannot be.
    """
    entries = {name: System(**entry) for name, entry in known_entries().items()}
    places: dict[str, Place] = {}
    for name, entry in (_read(own) if own else {}).items():
        try:
            if name not in entries:
                entries[name] = System(**{key: value for key, value in entry.items() if key not in Place.model_fields})
            is_known = name in known_entries()
            allowed = {key: value for key, value in entry.items() if is_known or key in Place.model_fields}
            places[name] = Place(**allowed)
        except (ValidationError, TypeError, AttributeError) as error:
            lines = str(error).splitlines()
            reason = " ".join(lines[1:3]).strip() or lines[0]
            raise SettingsError(f"{own}: {name}: {reason}; it takes {', '.join(Place.model_fields)}") from error
    for name, system in entries.items():
        if system.command:
            text = system.command.replace("{python}", "").replace("{torchrun}", "")
            check_places(f"system {name}", text, yaml.safe_dump(system.config))
    return Systems(entries=entries, places=places, packages=packages)


def known_entries() -> dict[str, dict[str, Any]]:
    """Return the entries of `systems.yaml`."""
    return yaml.safe_load((files("venhancer.evaluation.paper") / "systems.yaml").read_text(encoding="utf-8"))


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeError) as error:
        raise SettingsError(f"{file} cannot be read as YAML: {' '.join(str(error).split())[:150]}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{file} must hold entries such as seedvr2: {{home: /opt/SeedVR}}")
    return content


def _of_folder(folder: Path) -> dict[str, object]:
    return {"videos": str(folder), "content": fingerprint(folder)}


def _in_turn(stages: Sequence[Baseline], does: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> Baseline:
    """Return the baseline in which each stage makes what it can of what is left to make."""

    def enhance(request: Request) -> Frames:
        frames, rate, scale, factor = request.key_frames, request.rate, request.scale, request.factor
        for stage, (scales, factors) in zip(stages, does, strict=True):
            own_scale = scale if not scales or scale in scales else 1
            own_factor = factor if not factors or factor in factors else 1
            part = Request(key_frames=frames, rate=rate, scale=own_scale, factor=own_factor, name=request.name)
            frames = part.check(stage(part))
            rate, scale, factor = rate * own_factor, scale // own_scale, factor // own_factor
        return frames

    return enhance
