"""Video files opened for reading.

The probe, the reader and the sound come through here, so that what may be opened, how a damaged file is recognised and
which frames count as frames of the clip are each decided once.
"""

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import dropwhile, islice
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Bool, Int64

from venhancer.errors import InputError, VEnhancerError

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif"
MOV, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
ONE_FRAME_A_PACKET = ("av1", "dnxhd", "ffv1", "h264", "hevc", "mjpeg", "prores", "vp9")
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"


class Packets(NamedTuple):
    """The packets of a stream in file order.

    Args:
        times: when their frames are shown, in units of the stream's time base.
        durations: for how long, in the same units, 0 if unknown.
        is_key: whether each needs no packet before it.
        is_shown: whether its frame is part of the clip.
        hold_frames: whether each is meant as one frame.
        are_frames: whether each is certain to give one frame.
    """

    times: Int64[np.ndarray, "packets"]
    durations: Int64[np.ndarray, "packets"]
    is_key: Bool[np.ndarray, "packets"]
    is_shown: Bool[np.ndarray, "packets"]
    hold_frames: bool
    are_frames: bool


@contextmanager
def failures_as(error: type[VEnhancerError], what: str) -> Iterator[None]:
    """Turn what the libraries and the system raise inside the block into one line of `error`."""
    try:
        yield
    except (FFmpegError, OSError) as failure:
        raise error(f"{what} ({failure.strerror})") from failure


def open_source(path: Path) -> InputContainer:
    """Return the opened file, which can reach no other file or address.

    Raises:
        InputError: missing, not a regular file, not readable, or not one of `CONTAINERS`.
    """
    with failures_as(InputError, f"{path} cannot be read; check the path"):
        path.stat()
    if not path.is_file():
        raise InputError(f"{path} is not a file; give the path of a video file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read; change its permissions")
    return _open(f"file:{path.absolute()}", path)


def open_bytes(content: BufferedIOBase, path: Path) -> InputContainer:
    """Return the opened video in a stream of bytes that can be searched, such as a member of an archive.

    Args:
        content: the bytes.
        path: what errors call them.

    Raises:
        InputError: not one of `CONTAINERS`.
    """
    return _open(content, path)


def _open(content: str | BufferedIOBase, path: Path) -> InputContainer:
    with failures_as(InputError, f"{path} is damaged, cut short, or no mp4, mov, mkv, webm, avi, mpeg, ts or gif file"):
        return av.open(
            content,
            mode="r",
            options={"protocol_whitelist": "file", "format_whitelist": CONTAINERS},
            metadata_errors="surrogateescape",
        )


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the first stream of moving pictures; cover art is none.

    Raises:
        InputError: there is none, or nothing here decodes it.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise InputError(f"{path} holds no video stream; give a file with moving pictures")
    if streams[0].codec_context is None:
        raise InputError(f"{path} uses a video codec that cannot be decoded here; convert it to H.264 first")
    return streams[0]


def read_packets(container: InputContainer, stream: VideoStream, path: Path) -> Packets:
    """Return the packets of `stream`, without decoding any.

    Raises:
        InputError: the file ends before the packets it announces.
    """
    context = stream.codec_context
    codec = context.codec.canonical_name
    is_indexed = container.format.name in (MOV, MATROSKA)
    is_timed, is_reordered = True, False
    times, durations, keys, shown = array("q"), array("q"), bytearray(), bytearray()  # compact: films are long
    with failures_as(InputError, f"{path} is damaged; copy or download it again"):
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise InputError(f"{path} is damaged or cut short after {len(times)} frames; download it again")
            if packet.pts is None and not packet.size:
                continue  # the last one, which only asks the decoder for the frames it still holds
            is_timed &= packet.pts is not None
            is_reordered |= packet.pts != packet.dts
            is_key = packet.is_keyframe
            if is_key and is_indexed and codec == "h264":
                is_key = _starts_anew(bytes(packet), context.extradata or b"")
            times.append(packet.pts or 0)
            durations.append(packet.duration or 0)
            keys.append(is_key)
            shown.append(packet.size > 0 and not packet.is_discard)
    if _is_cut_short(container, stream, path, len(times)):
        raise InputError(f"{path} is cut short after {len(times)} frames; copy or download it again")
    stamps = np.array(times, dtype=np.int64)
    is_timed &= len(np.unique(stamps)) == len(stamps) and (is_reordered or not context.has_b_frames)
    starts_clean = len(stamps) > 0 and bool(keys[0]) and stamps[0] == stamps.min()
    holds_frames = codec in ONE_FRAME_A_PACKET
    return Packets(
        stamps,
        np.array(durations, dtype=np.int64),
        np.array(keys, dtype=bool),
        np.array(shown, dtype=bool),
        holds_frames,
        is_indexed and holds_frames and is_timed and bool(starts_clean),
    )


def decode(
    container: InputContainer, stream: VideoStream, path: Path, *, skip: int = 0, first: int = 0
) -> Iterator[VideoFrame]:
    """Yield the frames from the first key frame after `skip` packets; that frame is number `first`.

    Raises:
        InputError: a frame is damaged; the message names it.
    """
    stream.thread_type = "AUTO"
    number = first
    packets = islice(container.demux(stream), skip, None)
    try:
        for packet in dropwhile(lambda packet: packet.size and not packet.is_keyframe, packets):
            for frame in packet.decode():
                if frame.is_corrupt:
                    raise InputError(f"{path}: frame {number} is damaged; copy the file again or cut it before there")
                yield frame
                number += 1
    except FFmpegError as failure:
        message = f"{path}: frame {number} cannot be decoded ({failure.strerror}); copy the file again or cut it there"
        raise InputError(message) from failure


def _starts_anew(packet: bytes, extradata: bytes) -> bool:
    """Tell whether an H.264 packet is an IDR picture: others marked as key frames may lean on earlier ones."""
    width = (extradata[4:5] or b"\3")[0] % 4 + 1  # bytes of each unit's length (ISO/IEC 14496-15)
    position = 0
    while position + width < len(packet):
        if packet[position + width] % 32 == 5:
            return True
        position += width + int.from_bytes(packet[position : position + width], "big")
    return False


def _is_cut_short(container: InputContainer, stream: VideoStream, path: Path, packets: int) -> bool:
    """Tell whether the file's own table or header announces more than there is."""
    name = container.format.name
    size = path.stat().st_size
    if name == MOV:
        return packets < len(stream.index_entries)
    with path.open("rb") as file:
        head = file.read(4096)
        file.seek(-min(size, 64), os.SEEK_END)
        tail = file.read().rstrip(b"\0\r\n")  # padding that some programs add
    if name == "avi":
        return size < int.from_bytes(head[4:8], "little")
    if name == "gif":
        return not tail.endswith(b";")
    segment = head.find(MATROSKA_SEGMENT)
    if name != MATROSKA or segment < 0:
        return False
    return _segment_end(head, segment + len(MATROSKA_SEGMENT)) > size


def _segment_end(head: bytes, position: int) -> int:
    """Return the offset at which a Matroska segment says it ends, 0 if it leaves that open."""
    width = 9 - head[position].bit_length()  # the leading zero bits of the first byte give the number's length
    size = int.from_bytes(head[position : position + width], "big") & ((1 << 7 * width) - 1)
    is_unknown = size == (1 << 7 * width) - 1
    return 0 if is_unknown else position + width + size
