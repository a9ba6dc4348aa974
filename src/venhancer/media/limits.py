"""How much a file may ask for before it is refused.

A file of a few bytes can declare a picture of terabytes or a million years of film. What is declared is compared with
these limits before anything is decoded, what appears later as it appears. They are far above real footage; for more,
set `VENHANCER_LIMITS`, such as `frames=20000000,probe_memory=32`.
"""

import os
from dataclasses import dataclass, fields, replace
from functools import cache

from venhancer.errors import InputError, SettingsError

VARIABLE = "VENHANCER_LIMITS"
STREAMS_OF_LIBAV = 1000  # more are not even listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most a clip may have, and what looking at it may take.

    Attributes:
        side: pixels of width or of height.
        pixels: of one picture.
        frames: of one clip.
        seconds: of one clip.
        streams: of one file: pictures, sound, subtitles, fonts.
        probe_memory: GiB of address space for looking at a file; not held on Windows and macOS.
        probe_seconds: of looking at a file without a word, and as many again for every 32 MiB of it.
    """

    side: int = 16384
    pixels: int = 16384 * 8192
    frames: int = 5_000_000
    seconds: int = 48 * 3600
    streams: int = 512
    probe_memory: int = 8
    probe_seconds: int = 60

    def check_size(self, width: int, height: int, what: object) -> None:
        """Raise InputError if pictures of this size are not to be decoded; `what` is what holds them."""
        if width < 1 or height < 1:
            raise InputError(f"{what} states no picture size; it is damaged: copy or download it again")
        if max(width, height) > self.side or width * height > self.pixels:
            most = f"{self.side} a side and {self.pixels:,} pixels"
            raise InputError(
                f"{what} is {width}x{height}; at most {most} is allowed: scale it down first, or set {VARIABLE}"
            )

    def check_length(self, frames: int, seconds: float, what: object) -> None:
        """Raise InputError if there are more frames than are worked on, or they are shown over a longer time."""
        if frames > self.frames:
            most = f"{self.frames:,}"
            raise InputError(f"{what} has more than {most} frames; cut it into parts first, or set {VARIABLE}")
        if seconds > self.seconds:
            most = f"{self.seconds / 3600:g} hours"
            raise InputError(f"{what} claims to last more than {most}; cut it into parts first, or set {VARIABLE}")

    def check_streams(self, streams: int, what: object) -> None:
        """Raise InputError if a file holds too many streams."""
        if streams > self.streams:
            most = f"at most {self.streams} are allowed"
            raise InputError(f"{what} holds {streams} streams; {most}: remove those you do not need")


def read_limits() -> Limits:
    """Return the limits with what the environment changes of them.

    Raises:
        SettingsError: the variable names no limit, or no whole number of 1 or more.
    """
    return _parse(os.environ.get(VARIABLE, ""))


@cache
def _parse(text: str) -> Limits:
    names = [field.name for field in fields(Limits)]
    limits: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.strip().partition("=")
        if name not in names or not (value.isascii() and value.isdigit() and int(value)):
            allowed = f"{', '.join(names)} with whole numbers above 0"
            raise SettingsError(f"{VARIABLE} contains {part.strip()!r}; set {allowed}, such as frames=20000000")
        limits[name] = int(value)
    return replace(Limits(), **limits)
