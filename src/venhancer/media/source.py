"""Files of users opened for reading: the one door into the package.

Whatever a file says, no other file, address or device is opened for it: libav is given an open file instead of a name,
no protocol to open another one with, and the few formats of `DEMUXERS`; Pillow is given the few of `PICTURES`. How a
damaged file is recognised and which frames count as frames of the clip is decided here too.
"""

import os
import stat
import warnings
from array import array
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from io import BufferedIOBase, FileIO
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import Bool, Int64
from PIL import Image

from venhancer.errors import InputError, VEnhancerError
from venhancer.media.clock import Clock, ClockSearch, Jump, is_last, shown_at
from venhancer.media.endings import MATROSKA, MOV, is_cut_short
from venhancer.media.limits import STREAMS_OF_LIBAV, read_limits
from venhancer.media.tracks import film_of

DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,flv,asf,ogg,yuv4mpegpipe,h264,hevc"
KINDS = "mp4, mov, mkv, webm, avi, mpeg, ts, gif, flv, wmv, ogv, y4m, h264 or hevc"
ONE_FRAME_A_PACKET = ("av1", "dnxhd", "ffv1", "h264", "hevc", "mjpeg", "prores", "vp9")
UNSURE = ("avi", "mpegts", "mpeg", "flv", "asf", "ogg")  # whose length is that of the content, not of the headers
ENDLESS = ("mpegts", "mpeg", "h264", "hevc")  # may end anywhere, without a mark
CLOSED = {"protocol_whitelist": "none", "format_whitelist": DEMUXERS, "max_streams": str(STREAMS_OF_LIBAV)}
CODECS = (  # what cameras, editors and generators write; libav decodes hundreds more, seldom used
    "aic apng asv1 asv2 av1 bmp cfhd cinepak dirac dnxhd dvvideo dxv ffv1 ffvhuff flashsv flashsv2 flv1 gif h261 "
    "h263 h263i h263p h264 hap hevc huffyuv hymt jpeg2000 jpegls lagarith magicyuv mjpeg mjpegb mpeg1video "
    "mpeg2video mpeg4 msmpeg4v1 msmpeg4v2 msmpeg4v3 msrle msvideo1 mszh notchlc pcx png ppm prores prores_raw "
    "qtrle r10k r210 rawvideo rpza sheervideo smc snow speedhq svq1 svq3 targa theora tiff tscc tscc2 utvideo "
    "v210 v210x v308 v408 v410 vc1 vp3 vp4 vp5 vp6 vp6a vp6f vp7 vp8 vp9 vvc webp wmv1 wmv2 wmv3 y41p yuv4 zlib"
)
UNALIGNED = 1  # libav's flag of a decoder that cuts off every pixel it should, also where memory is aligned worse
CONCEALING = ("h26", "mpeg", "msmpeg", "wmv", "flv", "vc1")  # decoders that threads keep from telling what they conceal
TEXT_AS_BYTES: Any = {"metadata_errors": "surrogateescape"} if int(av.__version__[:2]) < 19 else {}  # 19 always does
WAYS_ON = "copy the file again, pass an --end before it, or pass --keep-damaged"
LAST = (1 << 63) - 1  # a time after all others
BUFFER = 1 << 18  # bytes read from the file at a time
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
PICTURES = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
PICTURE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)


class Identity(NamedTuple):
    """What changes when a file is written to: bytes, and nanoseconds of the last change."""

    size: int
    changed: int


class Packets(NamedTuple):
    """The packets of a stream in file order.

    Args:
        times: when their frames are shown, in units of the stream's time base.
        durations: for how long, in the same units, 0 if unknown.
        is_key: whether each needs no packet before it.
        is_shown: whether its frame is part of the clip.
        hold_frames: whether each is meant as one frame.
        are_frames: whether each is certain to give one frame.
        jumps: where the clock of the file starts again or jumps; the times here are moved.
        torn: times of packets that the container marks as incomplete.
        is_cut: whether the file announces more than there is.
    """

    times: Int64[np.ndarray, "packets"]
    durations: Int64[np.ndarray, "packets"]
    is_key: Bool[np.ndarray, "packets"]
    is_shown: Bool[np.ndarray, "packets"]
    hold_frames: bool
    are_frames: bool
    jumps: tuple[Jump, ...] = ()
    torn: tuple[int, ...] = ()
    is_cut: bool = False


@contextmanager
def failures_as(error: type[VEnhancerError], what: str) -> Iterator[None]:
    """Turn what the libraries and the system raise inside the block into one line of `error`."""
    try:
        yield
    except (FFmpegError, OSError) as failure:
        raise error(f"{what} ({failure.strerror})") from failure


@contextmanager
def open_source(path: Path, *, known: Identity | None = None) -> Iterator[InputContainer]:
    """Give the opened file, which can reach no other file or address.

    Args:
        path: of a regular file; a link to one will do.
        known: which file it was when it was probed.

    Raises:
        InputError: missing, not a regular file, not readable, not one of `DEMUXERS`, another one than was probed, or
            changed while it was open.
    """
    with open_unchanged(path, known) as file, open_bytes(file, path) as container:
        yield container


def open_bytes(content: BinaryIO | BufferedIOBase | FileIO, path: Path) -> InputContainer:
    """Return the opened video in bytes that can be searched, such as a member of an archive; `path` is for errors.

    Raises:
        InputError: not one of `DEMUXERS`, or of too many streams.
    """
    what = f"{path} is damaged, cut short, or not an {KINDS} file: convert it to mp4 first"
    with failures_as(InputError, what):
        container = av.open(content, mode="r", options=CLOSED, buffer_size=BUFFER, **TEXT_AS_BYTES)
    try:
        read_limits().check_streams(len(container.streams), path)
    except InputError:
        container.close()
        raise
    return container


@contextmanager
def open_picture(path: Path, content: BinaryIO | FileIO | None = None) -> Iterator[Image.Image]:
    """Give the opened still or animated picture, none of whose pixels is decoded yet.

    Args:
        path: of a regular file.
        content: bytes to read instead of it; `path` is then what errors call them.

    Raises:
        InputError: not one of `PICTURES`, too large, or damaged, which may show only when pixels are read inside.
    """
    with open_file(path) if content is None else nullcontext(content) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damaged tags, and of size: our own limit follows
                picture = Image.open(file, formats=PICTURES)
            read_limits().check_size(*picture.size, path)
            with picture:
                yield picture
        except InputError:
            raise
        except PICTURE_ERRORS as error:
            kinds = ", ".join(PICTURES)
            raise InputError(
                f"{path} is damaged, cut short, too large, or not one of {kinds}; convert it first"
            ) from error


@contextmanager
def open_file(path: Path) -> Iterator[FileIO]:
    """Give the bytes of a regular file.

    Raises:
        InputError: missing, not a regular file, or not readable.
    """
    with failures_as(InputError, f"{path} cannot be read; check the path"):
        path.stat()
    if path.is_dir():
        raise InputError(f"{path} is a folder; pass a file, or numbered pictures as {path / '%05d.png'}")
    if not path.is_file():
        raise InputError(f"{path} is not a file; pass the path of a video or picture")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} is not readable; change its permissions")
    with failures_as(InputError, f"{path} cannot be read; check the path"):
        file = FileIO(path, opener=_open_without_waiting)
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was one a moment ago
            raise InputError(f"{path} is not a file; pass the path of a video or picture")
        yield file


@contextmanager
def open_unchanged(path: Path, known: Identity | None = None) -> Iterator[FileIO]:
    """Give the bytes of a regular file to which nothing is written meanwhile.

    Raises:
        InputError: see `open_file`; it is another file than `known`, or changed while it was open.
    """
    with open_file(path) as file:
        identity = identity_of_open(file)
        if known not in (None, identity):
            raise InputError(f"{path} has changed since it was inspected; try again when nothing writes to it")
        error = None
        try:
            yield file
        except InputError as raised:
            error = raised
        if identity_of_open(file) != identity:
            changed = f"{path} changed while it was being read; try again when nothing writes to it"
            raise InputError(changed) from error
        if error is not None:
            raise error


def identity_of(path: Path) -> Identity:
    """Return what tells this file from another one, and from itself after a change.

    Raises:
        InputError: missing, not a regular file, or not readable.
    """
    with open_file(path) as file:
        return identity_of_open(file)


def identity_of_open(file: FileIO) -> Identity:
    """Return the same of an open file."""
    now = os.fstat(file.fileno())
    return Identity(now.st_size, now.st_mtime_ns)


def _open_without_waiting(name: str | Path, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """Return the stream of the film, within the limits it declares.

    Raises:
        InputError: there is none, nothing here decodes it, or it is too large or too long.
    """
    stream = film_of(container)
    if stream is None:
        raise InputError(f"{path} contains no video stream; use a file with video")
    context = stream.codec_context
    if context is None or context.codec.canonical_name not in CODECS.split():
        raise InputError(f"{path} uses a video codec that cannot be decoded here; convert it to H.264 first")
    limits = read_limits()
    limits.check_size(stream.width, stream.height, path)
    if container.format.name not in UNSURE:
        limits.check_length(stream.frames, (container.duration or 0) / av.time_base, path)
    most = limits.pixels + 128 * limits.side + (1 << 16)  # decoders ask for margins, and scratch pictures of some size
    context.flags |= UNALIGNED
    context.options = {**context.options, "max_pixels": str(most)}  # for pictures that are not as declared
    return stream


def read_packets(container: InputContainer, stream: VideoStream, path: Path) -> Packets:
    """Return the packets of `stream`, without decoding any.

    Raises:
        InputError: the file is damaged so that nothing after some place can be read.
    """
    context = stream.codec_context
    codec = context.codec.canonical_name
    is_indexed = container.format.name in (MOV, MATROSKA)
    is_timed, is_reordered = True, False
    limits = read_limits()
    search = None if container.format.name in (MOV, "gif") else ClockSearch(container, stream, path)
    times, durations, keys, shown = array("q"), array("q"), bytearray(), bytearray()  # compact: films are long
    torn: list[int] = []
    with failures_as(InputError, f"{path} is damaged; copy or download it again"):
        streams = [stream] if search is None else container.streams
        for packet in container.demux(*streams):
            if search is not None:
                search.add(packet)
            if packet.stream_index != stream.index or is_last(packet):
                continue
            time = shown_at(packet)
            is_timed &= time is not None
            is_reordered |= packet.pts != packet.dts
            is_key = packet.is_keyframe
            if is_key and is_indexed and codec == "h264":
                is_key = _starts_anew(bytes(packet), context.extradata or b"")
            times.append(time or 0)
            durations.append(packet.duration or 0)
            if packet.is_corrupt:
                torn.append(len(times) - 1)
            keys.append(is_key)
            shown.append(packet.size > 0 and not packet.is_discard)
            limits.check_length(len(times), 0, path)
    stamps = np.array(times, dtype=np.int64)
    jumps = () if search is None else search.jumps()
    base, shifts = Fraction(stream.time_base or 1), [jump for jump in jumps if jump.stream == stream.index]
    for jump, stop in zip(shifts, [*(after.packet for after in shifts), len(stamps)][1:], strict=True):
        stamps[jump.packet : stop] += round(jump.shift / base)
    is_timed &= len(np.unique(stamps)) == len(stamps) and (is_reordered or not context.has_b_frames)
    starts = {jump.packet for jump in shifts}
    if codec.startswith(CONCEALING):  # whose decoder reports damage within pictures: counters may restart there
        starts.update(np.flatnonzero(np.frombuffer(keys, dtype=bool)).tolist())
    starts_clean = len(stamps) > 0 and bool(keys[0]) and stamps[0] == stamps.min()
    holds_frames = codec in ONE_FRAME_A_PACKET
    return Packets(
        stamps,
        np.array(durations, dtype=np.int64),
        np.array(keys, dtype=bool),
        np.array(shown, dtype=bool),
        holds_frames,
        is_indexed and holds_frames and is_timed and bool(starts_clean) and not jumps,
        jumps,
        tuple(int(stamps[number]) for number in torn if not _ends_a_recording(number, starts)),
        is_cut_short(container, stream, path, packets=len(times), end=0.0 if search is None else search.end),
    )


def decode(
    container: InputContainer,
    stream: VideoStream,
    path: Path,
    *,
    skip: int = 0,
    first: int = 0,
    jumps: Sequence[Jump] = (),
    damage: list[int] | None = None,
) -> Iterator[VideoFrame]:
    """Yield the frames from the first key frame after `skip` packets; that frame is number `first`.

    Args:
        container: just opened.
        stream: of it.
        path: what errors call it.
        skip: how many packets to pass over.
        first: number of the first frame.
        jumps: how the times of packets are moved.
        damage: gets the times of damage; frames are then given as the decoder conceals it.

    Raises:
        InputError: a frame is damaged and there is no `damage`; the message names it.
    """
    conceals = stream.codec_context.codec.canonical_name.startswith(CONCEALING)
    stream.thread_type = "NONE" if conceals else "AUTO"
    decoder = _decoder(stream)
    number, limits = first, read_limits()
    strict, faults = damage is None, [] if damage is None else damage
    packets = islice(Clock(jumps).moved(container.demux(stream)), skip, None)
    try:
        for packet in dropwhile(lambda packet: packet.size and not packet.is_keyframe, packets):
            frames: list[VideoFrame] = []
            try:
                frames = decoder.decode(packet)
            except FFmpegError:
                faults.append(packet.pts or (LAST if is_last(packet) else 0))
            for frame in frames:
                if frame.is_corrupt:
                    faults.append(frame.pts or 0)
                if strict and faults and (frame.pts is None or frame.pts >= min(faults)):
                    raise InputError(f"{path}: frame {number} is damaged; {WAYS_ON}")
                yield frame
                number += 1
                limits.check_length(number, 0, path)
    except FFmpegError as failure:
        if strict:
            raise InputError(f"{path}: frame {number} cannot be read ({failure.strerror}); {WAYS_ON}") from failure
        faults.append(LAST)
    if strict and faults:
        raise InputError(f"{path}: frame {number} is damaged; {WAYS_ON}")


def _ends_a_recording(number: int, starts: AbstractSet[int]) -> bool:
    """Tell whether a packet is the last before another recording, whose first packet it takes for the rest of its own.

    libav tells it of that packet or, where it looks for the ends of pictures itself, of the one before.
    """
    return any(following in starts for following in (number + 1, number + 2))


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """Return the decoder of a stream: its own, or one that reads the second picture with the opacity."""
    own, tags = stream.codec_context, {name.lower(): value for name, value in stream.metadata.items()}
    if tags.get("alpha_mode") != "1" or own.codec.canonical_name not in ALPHA_DECODERS:
        return own
    context = CodecContext.create(ALPHA_DECODERS[own.codec.canonical_name], "r")
    assert isinstance(context, VideoCodecContext)
    context.extradata = own.extradata
    return context


def _starts_anew(packet: bytes, extradata: bytes) -> bool:
    """Tell whether an H.264 packet is an IDR picture: others marked as key frames may lean on earlier ones."""
    width = (extradata[4:5] or b"\3")[0] % 4 + 1  # bytes of each unit's length (ISO/IEC 14496-15)
    position = 0
    while position + width < len(packet):
        if packet[position + width] % 32 == 5:
            return True
        position += width + int.from_bytes(packet[position : position + width], "big")
    return False
