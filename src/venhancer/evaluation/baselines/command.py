"""Any program as a baseline, by a line such as "python upscale.py {input} {output}"; nothing is run by a shell.

The program reads a lossless video or a folder of pictures and writes any video or a folder of pictures.
"""

import re
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from venhancer.errors import InputError, JobFailed, SettingsError
from venhancer.evaluation.baselines.baseline import Request
from venhancer.evaluation.programs import run_program
from venhancer.frames.levels import Frames
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.media.source import open_picture
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

PLACES = ("input", "output", "input_frames", "output_frames", "scale", "factor", "width", "height", "fps", "frames")
"""Placeholders in braces: files, folders of pictures, factors, and what the output must be."""

_PLACE = re.compile(r"\{(\w*)\}")
_OUTPUT = re.compile(r"\{output\}(\.\w+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandBaseline:
    """A program and how it is called.

    Args:
        name: in tables.
        command: its words, with places in braces; `{output}` is a Matroska file unless an ending follows it.
    """

    name: str
    command: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the baseline that "name=command" means.

        Raises:
            SettingsError: it has another form or an unknown placeholder, or the program does not exist.
        """
        name, _, command = text.partition("=")
        if not name.strip() or not command.strip():
            raise SettingsError(f'baseline {text!r} is not name=command, such as "mine=prog {{input}} {{output}}"')
        unknown = set(_PLACE.findall(command)) - set(PLACES)
        if unknown:
            raise SettingsError(f"baseline {name}: unknown {{{min(unknown)}}}; use {', '.join(PLACES)}")
        if not {"input", "output"} <= {place.removesuffix("_frames") for place in _PLACE.findall(command)}:
            raise SettingsError(f"baseline {name}: the command must name {{input}} and {{output}} (or ..._frames)")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise SettingsError(f"baseline {name}: {error} in {command!r}; close the quotes") from error
        if shutil.which(words[0]) is None:
            raise SettingsError(f"baseline {name}: program {words[0]} was not found; pass its full path")
        return cls(name=name.strip(), command=command.strip())

    def __call__(self, request: Request) -> Frames:
        """Return the frames that the program makes.

        Raises:
            JobFailed: it cannot be run, fails, or writes nothing, or frames of another size or number.
        """
        with tempfile.TemporaryDirectory(prefix="venhancer-") as folder:
            words = self._words(Path(folder), request)
            _write_input(Path(folder), request, as_pictures="{input_frames}" in self.command)
            run_program(words)
            return request.check(_read_output(Path(folder), request.frames + request.factor))

    def _words(self, folder: Path, request: Request) -> list[str]:
        """Return the words of the command with every place filled: a path with spaces stays one word."""
        values = {
            "input": folder / "input.mkv",
            "input_frames": folder / "input",
            "output_frames": folder / "output",
            "scale": request.scale,
            "factor": request.factor,
            "width": request.width,
            "height": request.height,
            "fps": request.rate * request.factor,
            "frames": request.frames,
        }
        words = shlex.split(self.command)
        words = [_OUTPUT.sub(lambda match: str(folder / f"output{match[1] or '.mkv'}"), word) for word in words]
        return [_PLACE.sub(lambda match: str(values[match[1]]), word) for word in words]


def _write_input(folder: Path, request: Request, *, as_pictures: bool) -> None:
    if not as_pictures:
        _, height, width, _ = request.key_frames.shape
        if height % 2 or width % 2:
            raise JobFailed(f"frames of {width}x{height} cannot be written as video; use {{input_frames}} for pictures")
        writing = Writing(width=width, height=height, rate=request.rate, codec="ffv1")
        write_video(folder / "input.mkv", iter(request.key_frames), writing, sound_from=None)
        return
    (folder / "input").mkdir()
    (folder / "output").mkdir()
    for number, frame in enumerate(request.key_frames):
        Image.fromarray(frame).save(folder / "input" / f"{number:08d}.png")


def _read_output(folder: Path, most: int) -> Frames:
    """Return at most so many frames of a program's output."""
    pictures = sorted(file for file in (folder / "output").glob("*") if file.is_file())
    files = sorted(file for file in folder.glob("output.*") if file.is_file())
    if not pictures and not files:
        raise JobFailed("it wrote no output; check that it writes to {output}")
    frames = [*islice(_pictures(pictures) if pictures else _frames(files[0]), most)]
    if len({frame.shape for frame in frames}) > 1:
        raise JobFailed("it wrote pictures of different sizes; check its output")
    return np.stack(frames)


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
