"""The clips to judge on, out of files: as many frames as requested, cropped so that every input size comes out even."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import UInt8

from venhancer.errors import InputError, SettingsError
from venhancer.fleet.folders import VIDEOS
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.settings import SMALLEST_SIDE, parse_size


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

    def middle(self, size: str) -> Self:
        """Return the clip with only the middle of its frames, of a size such as "256x160".

        Raises:
            SettingsError: the size is none, or has an odd side.
            InputError: frames are smaller, when they are loaded.
        """
        try:
            width, height = parse_size(size)
        except ValueError as error:
            sides = f"pass even sides from {SMALLEST_SIDE} up, such as 256x160"
            raise SettingsError(f"crop {size} {error}; {sides}") from error
        return replace(self, load=partial(self._load_middle, width, height))

    def _load_middle(self, width: int, height: int) -> UInt8[np.ndarray, "f h w 3"]:
        frames = self.load()
        top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
        if top < 0 or left < 0:
            size = f"{self.name} of {frames.shape[2]}x{frames.shape[1]}"
            raise InputError(f"{size} is smaller than --crop {width}x{height}; pass a smaller crop")
        return frames[:, top : top + height, left : left + width]


def find_clips(
    paths: Sequence[Path], *, frames: int, start: float, scale: int, factor: int, fewest: int = 1
) -> list[TestClip]:
    """Return the clips of files and folders, checked but not read.

    Args:
        paths: video files, and folders of them; a file named by itself may end in anything.
        frames: most of each clip, `fewest` or more; it is cut to one more than a multiple of `factor`.
        start: seconds into each clip.
        scale: sides are cropped, evenly from both ends, to multiples of twice this.
        factor: see `frames`.
        fewest: see `frames`.

    Raises:
        SettingsError: `frames` or `start` cannot be.
        InputError: there are no clips, or one cannot be read, is too short or too small.
    """
    if frames < fewest or start < 0:
        raise SettingsError(f"frames {frames} must be {fewest} or more, and start {start:g} 0 or more")
    files = [file for path in paths for file in _files(path)]
    if not files:
        raise InputError(f"{', '.join(map(str, paths)) or 'nothing'} contains no clips ({', '.join(sorted(VIDEOS))})")
    stems = [file.stem for file in files]
    names = [file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}-{file.name}" for file in files]
    return [
        _test_clip(name, file, frames=frames, start=start, multiple=2 * scale, factor=factor)
        for name, file in zip(names, files, strict=True)
    ]


def _files(path: Path) -> Iterable[Path]:
    if not path.exists():
        raise InputError(f"{path} does not exist; pass video files or folders of them")
    return sorted(file for file in path.iterdir() if file.suffix.lower() in VIDEOS) if path.is_dir() else [path]


def _test_clip(name: str, file: Path, *, frames: int, start: float, multiple: int, factor: int) -> TestClip:
    clip = probe(file)
    first = round(start * clip.rate)
    count = min(frames, clip.frames - first)
    count = (count - 1) // factor * factor + 1
    if clip.frames - first < factor + 1:
        left = f"{max(clip.frames - first, 0)} frames" + (f" after {start:g} s" if start else "")
        raise InputError(f"{file} has {left}; temporal factor {factor} needs {factor + 1} or more")
    if clip.width < multiple or clip.height < multiple:
        raise InputError(f"{file} of {clip.width}x{clip.height} is too small for scale {multiple // 2}")
    return TestClip(name=name, rate=clip.rate, load=partial(_read, clip, first, first + count, multiple))


def _read(clip: ClipInfo, first: int, stop: int, multiple: int) -> UInt8[np.ndarray, "f h w 3"]:
    """Return frames of a clip whose sides are multiples, cropped evenly from both ends."""
    frames = np.stack(list(read_frames(in_eight_bits(clip), first, stop)))
    _, height, width, _ = frames.shape
    top, left = height % multiple // 2, width % multiple // 2
    return frames[:, top : top + height // multiple * multiple, left : left + width // multiple * multiple]
