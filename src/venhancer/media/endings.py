"""Whether a file ends within a frame.

Sizes and counts in headers are often wrong or left open: of what was written into a pipe, repaired, or is still being
recorded. So they only make suspicious; what decides is whether the last frame there is whole. Whatever follows it is no
damage.
"""

import os
import re
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

MOV, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
TABLES_OF_FRAGMENTS = (b"moof", b"mfra", b"sidx", b"styp")
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"


def is_cut_short(container: InputContainer, stream: VideoStream, path: Path, *, packets: int, end: float) -> bool:
    """Tell whether there was more of a file than there is.

    Args:
        container: the file, opened.
        stream: its pictures.
        path: of it.
        packets: how many of them there are.
        end: seconds at which the last one ends, if it is Matroska.
    """
    name, size = container.format.name, path.stat().st_size
    with path.open("rb") as file:
        if name == MOV:
            return packets < len(stream.index_entries) or _ends_in_fragment(file, size)
        if name == "gif":
            return _gif_ends_in_picture(file)
        head = file.read(4096)
        if name == "avi":
            return size < int.from_bytes(head[4:8], "little") and _ends_in_chunk(file, size)
    segment = head.find(MATROSKA_SEGMENT)
    if name != MATROSKA or segment < 0 or _segment_end(head, segment + len(MATROSKA_SEGMENT)) <= size:
        return False
    clock = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    duration = (
        sum(float(part) * unit for part, unit in zip(clock.groups(), (3600, 60, 1), strict=True)) if clock else 0.0
    )
    duration = duration or (container.duration or 0) / av.time_base
    return not duration or end < duration - 0.5 / float(stream.average_rate or 100)


def _ends_in_fragment(file: BinaryIO, size: int) -> bool:
    """Tell whether a movie in fragments ends within the table of one, which libav takes for the end of the movie."""
    place, are_fragments = 0, False
    while place < size:
        file.seek(place)
        head = file.read(16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if len(head) < 8:  # the beginning of a box, or anything
            is_box = head[0] == 0 and (len(head) < 4 or length >= 8)
            return are_fragments and is_box and any(one.startswith(kind) for one in (*TABLES_OF_FRAGMENTS, b"mdat"))
        length = int.from_bytes(head[8:], "big") if length == 1 else length
        are_fragments |= kind == b"moof"
        if length < 8 or place + length > size:  # 0 stands for all the rest
            return kind in TABLES_OF_FRAGMENTS
        if kind == b"mfra":
            return False  # the last box of all
        place += length
    return False


def _gif_ends_in_picture(file: BinaryIO) -> bool:
    _skip_colors(file, file.read(13)[10:11])
    while kind := file.read(1):
        is_picture = kind == b","
        if is_picture:
            _skip_colors(file, file.read(9)[8:9])
        elif kind != b"!":
            return False
        file.read(1)
        while length := int.from_bytes(file.read(1) or b"\xff", "big"):
            if len(file.read(length)) < length:
                return is_picture
    return False


def _skip_colors(file: BinaryIO, flags: bytes) -> None:
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, os.SEEK_CUR)


def _ends_in_chunk(file: BinaryIO, size: int) -> bool:
    """Tell whether an AVI file ends within a chunk of pictures or sound."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(12)
        kind, length = head[:4], int.from_bytes(head[4:8], "little")
        if not kind.strip().isalnum():
            return False  # no chunk
        if kind == b"RIFF" or (kind == b"LIST" and head[8:] in (b"movi", b"rec ")):
            place += 12
            continue
        place += 8 + length + length % 2
        if place > size + 1:
            return kind[:2].isdigit() or kind == b"LIST"
    return False


def _segment_end(head: bytes, position: int) -> int:
    """Return the offset at which a Matroska segment says it ends, 0 if it leaves that open."""
    width = 9 - head[position].bit_length()  # the leading zero bits of the first byte give the number's length
    size = int.from_bytes(head[position : position + width], "big") & ((1 << 7 * width) - 1)
    is_unknown = size == (1 << 7 * width) - 1
    return 0 if is_unknown else position + width + size
