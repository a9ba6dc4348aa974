"""Boxes of a movie that PyAV does not write: which part of its pictures is shown, and how they are turned."""

import struct
from pathlib import Path

from venhancer.media.orientation import Border

PARENTS = (
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"stsd",
    b"",
)  # and the first entry of the last, whatever its codec


def with_aperture(
    path: Path, border: Border, *, track: tuple[int, int] | None = None, stored: tuple[int, int] = (64, 48)
) -> Path:
    """Give a movie a clean aperture (ISO/IEC 14496-12, 12.1.4), and its track another size if that is wanted."""
    width, height = stored[0] - border.left - border.right, stored[1] - border.above - border.below
    off = (border.left - border.right, 2, border.above - border.below, 2)
    box = struct.pack(">I4s4IiIiI", 40, b"clap", width, 1, height, 1, *off)
    data, place = bytearray(path.read_bytes()), 0
    for name in PARENTS:
        while not data[place + 4 : place + 8].startswith(name):
            place += int.from_bytes(data[place : place + 4], "big")
        size = int.from_bytes(data[place : place + 4], "big")
        data[place : place + 4] = (size + len(box)).to_bytes(4, "big")
        end = place + size
        place += 16 if name == b"stsd" else 8
    if track is not None:
        header = data.find(b"tkhd") + 80
        data[header : header + 8] = struct.pack(">2I", track[0] << 16, track[1] << 16)
    path.write_bytes(data[:end] + box + data[end:])
    return path


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Give a movie that has a display matrix another one."""
    data = bytearray(path.read_bytes())
    place = data.find(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8  # the fields before it (ISO/IEC 14496-12, 8.3.2)
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path
