"""The clips to judge on, out of files: as many frames as asked for, cropped so that every input size comes out even."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames

SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m4v", ".ts", ".gif"}
"""What is taken for a video in a folder; a file named by itself may end in anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestClip:
    """A clip to judge on.

    Args:
        name: in tables; no two of an evaluation may be the same.
        rate: frames a second.
        load: gives its frames, RGB.
    """

    __test__ = False  # pytest must not take it for a test

    name: str
    rate: Fraction
    load: Callable[[], UInt8[np.ndarray, "f h w 3"]]


def find_clips(paths: Sequence[Path], *, frames: int, start: float, scale: int, factor: int) -> list[TestClip]:
    """Return the clips of files and folders, checked but not read.

    Args:
        paths: video files, and folders of them.
        frames: most of each clip; it is cut to one more than a multiple of `factor`.
        start: seconds into each clip.
        scale: sides are cropped, evenly from both ends, to multiples of twice this.
        factor: see `frames`.

    Raises:
        InputError: there are no clips, or one cannot be read, is too short or too small.
    """
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise InputError(f"{', '.join(map(str, paths)) or 'nothing'} holds no clips ({', '.join(sorted(SUFFIXES))})")
    return [
        _test_clip(name, file, frames=frames, start=start, multiple=2 * scale, factor=factor)
        for name, file in zip(_names(files), files, strict=True)
    ]


def crop(frames: UInt8[np.ndarray, "f h w 3"], multiple: int) -> UInt8[np.ndarray, "f h2 w2 3"]:
    """Return frames whose sides are multiples, cropped evenly from both ends."""
    _, height, width, _ = frames.shape
    top, left = height % multiple // 2, width % multiple // 2
    return frames[:, top : top + height // multiple * multiple, left : left + width // multiple * multiple]


def _files(path: Path) -> Iterable[Path]:
    if not path.exists():
        raise InputError(f"{path} is not there; name video files or folders of them")
    return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]


def _names(files: Sequence[Path]) -> list[str]:
    """Return the files' names without endings; with folder and ending where two would be the same."""
    stems = [file.stem for file in files]
    return [file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}-{file.name}" for file in files]


def _test_clip(name: str, file: Path, *, frames: int, start: float, multiple: int, factor: int) -> TestClip:
    clip = probe(file)
    first = round(start * clip.rate)
    count = min(frames, clip.frames - first)
    count = (count - 1) // factor * factor + 1
    if clip.frames - first < factor + 1:
        left = f"{max(clip.frames - first, 0)} frames" + (f" after {start:g} s" if start else "")
        raise InputError(f"{file} has {left}; at temporal factor {factor} it takes {factor + 1} or more")
    if clip.width < multiple or clip.height < multiple:
        raise InputError(f"{file} of {clip.width}x{clip.height} is too small to be divided by {multiple // 2}")
    return TestClip(name=name, rate=clip.rate, load=partial(_read, clip, first, first + count, multiple))


def _read(clip: ClipInfo, first: int, stop: int, multiple: int) -> UInt8[np.ndarray, "f h w 3"]:
    return crop(np.stack(list(read_frames(in_eight_bits(clip), first, stop))), multiple)
