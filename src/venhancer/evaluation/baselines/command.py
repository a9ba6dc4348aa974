"""Any program as a baseline, by a line such as "python upscale.py {input} {output}"; nothing is run by a shell.

The program reads a lossless video or a folder of pictures and writes any video or a folder of pictures.
"""

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from jaxtyping import UInt8
from PIL import Image

from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.lossless import write_lossless
from venhancer.evaluation.programs import run_program
from venhancer.frames.levels import Frames
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.media.source import open_picture

PLACES = (
    *("input", "output", "input_frames", "output_frames", "input_videos", "output_videos", "config"),
    *("scale", "factor", "width", "height", "in_width", "in_height", "fps", "frames"),
)
"""Placeholders in braces: files, folders of pictures or of one video, factors, and what the input and output are."""

_PLACE = re.compile(r"\{(\w*)\}")
_FILE = re.compile(r"\{(input|output)\}(\.\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBaseline:
    """A program and how it is called.

    Args:
        name: in tables.
        command: its words, with places in braces; `{input}` and `{output}` are Matroska files unless an ending follows.
        folder: the program runs in.
        config: what the file `{config}` holds, as YAML; texts in it may have places too.
        holds_end: whether the last key frame is given twice, for programs that make no frame of the last one.
    """

    name: str
    command: str
    folder: Path | None = None
    config: Mapping[str, object] | None = None
    holds_end: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the baseline that "name=command" means.

        Raises:
            SettingsError: it has another form or an unknown placeholder, or the program does not exist.
        """
        name, _, command = text.partition("=")
        if not name.strip() or not command.strip():
            raise SettingsError(f'baseline {text!r} is not name=command, such as "mine=prog {{input}} {{output}}"')
        check_places(f"baseline {name}", command)
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise SettingsError(f"baseline {name}: {error} in {command!r}; close the quotes") from error
        if shutil.which(words[0]) is None:
            raise SettingsError(f"baseline {name}: program {words[0]} was not found; pass its full path")
        return cls(name=name.strip(), command=command.strip())

    @property
    def text(self) -> str:
        """Command and configuration, in which places stand."""
        return self.command if self.config is None else f"{self.command}\n{yaml.safe_dump(self.config, width=10**9)}"

    def __call__(self, request: Request) -> Frames:
        """Return the frames that the program makes.

        Raises:
            JobFailed: it cannot be run, fails, or writes nothing, or frames of another size or number.
        """
        with tempfile.TemporaryDirectory(prefix="venhancer-") as name:
            folder = Path(name)
            values = self._values(folder, request)
            if self.config is not None:
                values["config"].write_text(yaml.safe_dump(_fill_all(self.config, values, folder)))
            frames = request.key_frames
            frames = np.concatenate([frames, frames[-1:]]) if self.holds_end else frames
            _write_input(folder, frames, request.rate, self.text)
            run_program([_fill(word, values, folder) for word in shlex.split(self.command)], folder=self.folder)
            return request.check(_read_output(folder, request.frames + request.factor))

    def _values(self, folder: Path, request: Request) -> dict[str, Any]:
        """Return what each place stands for."""
        _, height, width, _ = request.key_frames.shape
        return {
            **{place: folder / place for place in ("input_frames", "output_frames", "input_videos", "output_videos")},
            "config": folder / "config.yaml",
            "scale": request.scale,
            "factor": request.factor,
            "width": request.width,
            "height": request.height,
            "in_width": width,
            "in_height": height,
            "fps": request.rate * request.factor,
            "frames": request.frames,
        }


def check_places(whose: str, *texts: str) -> None:
    """Raise unless a command, with its configuration, names its input and output and no unknown place.

    Raises:
        SettingsError: it does not.
    """
    places = set(_PLACE.findall(" ".join(texts)))
    if unknown := places - set(PLACES):
        raise SettingsError(f"{whose}: unknown {{{min(unknown)}}}; use {', '.join(PLACES)}")
    if not {"input", "output"} <= {place.partition("_")[0] for place in places}:
        raise SettingsError(f"{whose}: the command must name {{input}} and {{output}} (or ..._frames, ..._videos)")


def _fill(word: str, values: Mapping[str, object], folder: Path) -> str:
    """Return a word with every place filled: a path with spaces stays one word."""
    word = _FILE.sub(lambda match: str(folder / f"{match[1]}{match[2] or '.mkv'}"), word)
    return _PLACE.sub(lambda match: str(values[match[1]]), word)


def _fill_all(content: object, values: Mapping[str, object], folder: Path) -> object:
    """Return a configuration with every place filled; a text that is one place alone becomes its number."""
    if isinstance(content, Mapping):
        return {name: _fill_all(value, values, folder) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_fill_all(value, values, folder) for value in content]
    if not isinstance(content, str):
        return content
    return int(filled) if (filled := _fill(content, values, folder)).isdecimal() else filled


def _write_input(folder: Path, frames: Frames, rate: Fraction, text: str) -> None:
    """Write key frames in every form that a program is given them in."""
    _, height, width, _ = frames.shape
    for place in ("output_frames", "output_videos"):
        (folder / place).mkdir()
    if "{input_videos}" in text:
        (folder / "input_videos").mkdir()
        write_lossless(folder / "input_videos" / "clip.mp4", frames, rate)
    if "{input_frames}" in text:
        (folder / "input_frames").mkdir()
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(folder / "input_frames" / f"{number:08d}.png")
    for ending in {match[2] or ".mkv" for match in _FILE.finditer(text) if match[1] == "input"}:
        if ending == ".mkv" and (height % 2 or width % 2):
            size = f"frames of {width}x{height}"
            raise JobFailed(f"{size} cannot be written as video; use {{input_frames}} for pictures")
        write_lossless(folder / f"input{ending}", frames, rate)


def _read_output(folder: Path, most: int) -> Frames:
    """Return at most so many frames of a program's output."""
    pictures = sorted((file for file in (folder / "output_frames").rglob("*") if file.is_file()), key=_number)
    videos = [*folder.glob("output.*"), *(folder / "output_videos").rglob("*")]
    files = sorted(file for file in videos if file.is_file())
    if not pictures and not files:
        raise JobFailed("it wrote no output; check that it writes to {output}")
    frames = [*islice(_pictures(pictures) if pictures else _frames(files[0]), most)]
    if len({frame.shape for frame in frames}) > 1:
        raise JobFailed("it wrote pictures of different sizes; check its output")
    return np.stack(frames)


def _number(file: Path) -> tuple[list[int], str]:
    """Return what pictures are ordered by: their numbers, however many digits they have."""
    return [int(digits) for digits in re.findall(r"\d+", file.stem)], file.name


def _frames(file: Path) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    try:
        yield from read_frames(in_eight_bits(probe(file)))
    except InputError as error:
        raise JobFailed(f"its output cannot be read: {error}") from error


def _pictures(files: list[Path]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    for file in files:
        try:
            with open_picture(file) as picture:
                yield np.asarray(picture.convert("RGB"))
        except InputError as error:
            raise JobFailed(f"its output {file.name} is not a picture; write PNG files only") from error
