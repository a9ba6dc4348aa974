"""Numbered pictures by their pattern, such as `frames/%04d.png`: which files are meant, and that none is missing.

The pattern is in the file's name only and is nothing but a place for a number; an existing file of that literal name
takes precedence. The pictures must follow one another without a gap, from any first number.
"""

import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

from venhancer.errors import InputError
from venhancer.media.limits import read_limits
from venhancer.media.source import Identity, failures_as, identity_of

NUMBER = re.compile(r"%(0?)(\d{0,2})d", re.ASCII)
LONGEST_NUMBER = 18  # digits
PICTURE_NAMES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".exr", ".dpx")
UNREAD_NAMES = (".avif", ".cin", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".ppm", ".psd", ".tga")


@dataclass(frozen=True, slots=True)
class Numbered:
    """Pictures that follow one another: `count` of them, called by `pattern` with the numbers from `first` on."""

    pattern: Path
    first: int
    count: int

    def path(self, frame: int) -> Path:
        """Return the path of a picture, counted from 0."""
        return self.pattern.with_name(label(self.pattern.name, self.first + frame))

    def paths(self) -> Iterator[Path]:
        """Yield the paths of all, in order."""
        return map(self.path, range(self.count))


@dataclass(frozen=True, slots=True)
class Identities:
    """Which files numbered pictures were when they were inspected, in 16 bytes each."""

    sizes: Sequence[int] = field(default_factory=lambda: array("q"))
    changed: Sequence[int] = field(default_factory=lambda: array("q"))

    def of(self, frame: int) -> Identity:
        """Return which file a picture was."""
        return Identity(self.sizes[frame], self.changed[frame])

    @property
    def together(self) -> Identity:
        """What changes when any of them does, or one is added or taken away."""
        digest = blake2b(digest_size=8)
        for part in zip(self.sizes, self.changed, strict=True):
            digest.update(repr(part).encode())
        return Identity(sum(self.sizes), int.from_bytes(digest.digest(), "big"))


def is_pattern(path: Path) -> bool:
    """Tell whether a path is meant as a pattern of numbered pictures: nothing is called so, and there is a %."""
    is_picture = path.suffix.lower() in (*PICTURE_NAMES, *UNREAD_NAMES)
    return "%" in path.name and is_picture and not os.path.lexists(path)


def refuse_unread(path: Path) -> None:
    """Raise if pictures are there, but of a kind that is not read.

    Raises:
        InputError: naming the supported kinds; or nothing is there.
    """
    if path.suffix.lower() in UNREAD_NAMES:
        (identities_of(find_numbered(path)) if is_pattern(path) else identity_of(path))
        raise InputError(
            f"{path}: {path.suffix} is not supported; convert it to PNG or TIFF, with 16 bits if it has more than 8"
        )


def label(name: str, number: int) -> str:
    """Return the name of one of numbered pictures.

    >>> label("a%04d.png", 7), label("%d.png", 12)
    ('a0007.png', '12.png')
    """
    width = int(NUMBER.findall(name)[0][1] or 0)
    return NUMBER.sub(f"{number:0{width}d}", name)


def has_one_place(name: str) -> bool:
    """Tell whether a name has exactly one place for a number, and no other %."""
    return len(NUMBER.findall(name)) == 1 and name.count("%") == 1


def pattern_of(path: Path) -> Path | None:
    """Return the pattern that a picture's name is of, by the last number in it; None if there is none.

    >>> pattern_of(Path("shot2_0007.png")), pattern_of(Path("photo.png"))
    (PosixPath('shot2_%04d.png'), None)
    """
    parts = re.fullmatch(r"([^%]*?)([0-9]+)([^0-9%]*)", path.stem, re.DOTALL)
    if parts is None or "%" in path.suffix:
        return None
    before, digits, after = parts.groups()
    place = f"%0{len(digits)}d" if digits[0] == "0" and 1 < len(digits) < 100 else "%d"
    return path.with_name(f"{before}{place}{after}{path.suffix}")


def is_called_by(pattern: Path, path: Path) -> bool:
    """Tell whether a path is, or would be, one of the pictures of a pattern."""
    if not (is_pattern(pattern) and has_one_place(pattern.name)):
        return False
    return _matcher(pattern.name).fullmatch(path.name) is not None and pattern.parent.resolve() == path.parent.resolve()


def find_numbered(pattern: Path) -> Numbered:
    """Return the pictures that a pattern means.

    Raises:
        InputError: it has no place for a number, no picture is called so, one is missing or called almost so.
    """
    name, folder = pattern.name, pattern.parent
    if not has_one_place(name):
        raise InputError(f"{pattern} has no number pattern; name numbered pictures like frames/%05d{pattern.suffix}")
    numbered = _matcher(name)
    with failures_as(InputError, f"{folder} cannot be read; check the path of {name}"):
        digits = [match[1] for entry in os.scandir(folder) if (match := numbered.fullmatch(entry.name))]
    read_limits().check_length(len(digits), 0, pattern)
    numbers: list[int] = []
    for written in sorted(digits):
        number = int(written) if len(written) <= LONGEST_NUMBER else -1
        called = NUMBER.sub(written, name)
        if number < 0 or label(name, number) != called:
            other = pattern_of(folder / called) if number >= 0 else None
            what = f"use a pattern that fits all, such as {other}" if other else "shorten its number"
            raise InputError(f"{folder / called} does not match {name}; {what}")
        numbers.append(number)
    if not numbers:
        raise InputError(f"{pattern} is not a picture name; use a pattern such as frames/%05d{pattern.suffix}")
    numbers.sort()
    for number, following in pairwise(numbers):
        if following != number + 1:
            missing = folder / label(name, number + 1)
            raise InputError(f"{missing} is missing between {number} and {following}; add it or move the rest away")
    return Numbered(pattern, numbers[0], len(numbers))


def _matcher(name: str) -> re.Pattern[str]:
    """Return what matches names like those of a pattern, with the number as its group."""
    before, after = (re.escape(part) for part in NUMBER.sub("%", name).split("%"))
    return re.compile(f"{before}([0-9]+){after}", re.DOTALL)


def identities_of(pictures: Numbered) -> Identities:
    """Return which files numbered pictures are.

    Raises:
        InputError: one is missing, not a regular file, or not readable.
    """
    sizes, changed = array("q"), array("q")
    for path in pictures.paths():
        size, time = identity_of(path)
        sizes.append(size)
        changed.append(time)
    return Identities(sizes, changed)


def bytes_of(path: Path) -> int:
    """Return how many bytes a source has: a file, or all pictures that a pattern means.

    Raises:
        InputError: they cannot be found.
        OSError: a file cannot be inspected.
    """
    if is_pattern(path):
        return sum(part.stat().st_size for part in find_numbered(path).paths())
    return path.stat().st_size
