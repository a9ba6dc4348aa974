"""Frames into a file.

`write_segment` encodes frames as it is given them into a file of pictures alone; `write_video` makes one such segment
and has it assembled with the sound: at any moment there is either the whole video or none.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from venhancer.durable import written_whole
from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.colour import (
    MATRIX_TAGS,
    PRIMARIES,
    TRANSFERS,
    UNSPECIFIED,
    Pixels,
    is_subsampled,
    to_picture,
    transfer_of,
)
from venhancer.media.source import failures_as
from venhancer.media.stills.numbering import is_called_by
from venhancer.media.writing.assemble import SEGMENT_SUFFIX, assemble
from venhancer.media.writing.encoders import CODECS, open_options, usual_codecs
from venhancer.media.writing.pictures_out import check_numbering, finish, is_numbered, unit_of
from venhancer.media.writing.writing import Writing, add_video_stream, failing, open_output
from venhancer.runtime.priority import ordinary_priority
from venhancer.settings import Codec

MOST_AHEAD = 64  # frames by which encoders may reorder; none comes near


def check_target(target: Path, source: Path, *, overwrite: bool, codec: Codec | None = None) -> None:
    """Raise if `target` cannot or must not be written, before any work is done.

    Raises:
        InputError: extension unknown or not for this codec, no such folder, no permission, the source itself, or there
            already.
    """
    _check_container(target, codec or usual_codecs(target)[0])
    overwrites_folder = is_numbered(target)
    if overwrites_folder:
        check_numbering(target)
        target, overwrite = unit_of(target), True  # an empty folder is in nobody's way
    with failures_as(InputError, f"{target} cannot be written; choose another path"):
        if not target.parent.is_dir():
            raise InputError(f"{target.parent} is not a folder; create it first")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise InputError(f"{target.parent} is not writable; choose another folder")
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target} is the source itself; choose another name")
        if is_called_by(source, target):
            raise InputError(f"{target} matches the pictures of {source.name} in the same folder; choose another name")
        if target.exists() and not target.is_file() and not overwrites_folder:
            raise InputError(f"{target} is not a file; choose another name")
        if not overwrite and (target.exists() or target.is_symlink()):
            raise InputError(f"{target} exists; pass --overwrite or choose another name")


def write_video(target: Path, frames: Iterable[Pixels], writing: Writing, sound_from: ClipInfo | None) -> Path:
    """Write `frames` to `target` and return it; after any failure the folder is as it was before.

    Args:
        target: replaced if it exists; `check_target` is the place to ask.
        frames: RGB, or RGB and opacity, of the size in `writing`, uint8 or uint16 up to 65535; drawn one by one.
        writing: size, rate, codec, colour, tags.
        sound_from: the source clip, whose sound, tags and pixel shape it keeps; see `assemble`.

    Raises:
        ValueError: no frames, or a frame of another size or type.
        InputError: the target's extension cannot hold the codec, or the source's sound is damaged.
        JobFailed: the disk is full, or the file cannot be written for another reason.
    """
    _check_container(target, writing.codec)
    if sound_from is not None:
        writing = replace(writing, sample_aspect_ratio=sound_from.sample_aspect_ratio)
    pictures = target.with_name(f".{secrets.token_hex(8)}.part{SEGMENT_SUFFIX}")
    try:
        write_segment(pictures, frames, writing, called=target)
        return put_together(target, target, [pictures], writing, sound_from)
    finally:
        pictures.unlink(missing_ok=True)


def put_together(
    result: Path, target: Path, segments: Sequence[Path], writing: Writing, source: ClipInfo | None
) -> Path:
    """Make a target of its segments, and return it: a file of packets by `assemble`, and all others by `finish`.

    Args:
        result: written, whole or not at all.
        target: its final name, which decides what it is.
        segments: files that `write_segment` made, one after the other.
        writing: as they were written.
        source: the clip whose other tracks the result keeps.

    Raises:
        InputError: the source is damaged or gone.
        JobFailed: a segment is damaged, or the result cannot be written.
    """
    if writing.encoding.traits.stored_as is None:
        return assemble(result, segments, writing, source)
    return finish(result, target, segments, writing)


def write_segment(path: Path, frames: Iterable[Pixels], writing: Writing, *, called: Path | None = None) -> Path:
    """Write `frames` and nothing else to `path`, a file for `assemble`, and return it; a failure leaves nothing.

    Args:
        path: ends in `SEGMENT_SUFFIX`; replaced if it exists.
        frames: as in `write_video`.
        writing: size, rate, codec, colour; the same for all segments of a file.
        called: what errors call the file.

    Raises:
        ValueError: no frames, or a frame of another size or type.
        JobFailed: the disk is full, or the file cannot be written for another reason.
    """
    called = called or path
    with written_whole(path, failing(called)) as part, open_output(part, called) as output:
        for packet in _encode(_add_video(output, writing), frames, writing, called):
            with failing(called):
                output.mux(packet)
    return path


def _check_container(target: Path, codec: Codec) -> None:
    suffixes = CODECS[codec].suffixes
    if target.suffix.lower() not in suffixes:
        raise InputError(f"{target} cannot hold {codec}; use {', '.join(suffixes)}")


def _add_video(output: OutputContainer, writing: Writing) -> VideoStream:
    encoding = writing.encoding.stored
    options, threads = open_options(encoding, width=writing.width)
    if is_subsampled(VideoFormat(encoding.pixel_format)):
        options["chroma_sample_location"] = writing.chroma_location
    stream = add_video_stream(output, encoding.encoder, writing.rate, options)
    context = stream.codec_context
    context.width, context.height = writing.width, writing.height
    context.thread_count = threads
    context.pix_fmt = encoding.frame_format
    if encoding.codec == "vp9" and encoding.has_alpha:
        stream.metadata["alpha_mode"] = "1"  # without which players look at the colours only
    context.time_base = 1 / writing.rate
    context.sample_aspect_ratio = writing.sample_aspect_ratio
    context.colorspace = 0 if encoding.is_rgb else MATRIX_TAGS[writing.color_matrix]
    context.color_range = ColorRange.JPEG if writing.full_range or encoding.is_rgb else ColorRange.MPEG
    context.color_primaries = _tag(writing.color_primaries, PRIMARIES[writing.color_matrix])
    context.color_trc = _tag(writing.color_transfer, TRANSFERS[writing.color_matrix])
    return stream


def _tag(tag: int, usual: int) -> int:
    return usual if tag == UNSPECIFIED else tag


def _encode(stream: VideoStream, frames: Iterable[Pixels], writing: Writing, target: Path) -> Iterator[Packet]:
    """Yield the packets of all `frames`, converted according to the tags."""
    reformatter = VideoReformatter()
    size = (writing.height, writing.width)
    number = 0
    for number, frame in enumerate(frames, start=1):
        if frame.shape[:-1] != size or frame.shape[-1] not in (3, 4) or frame.dtype not in (np.uint8, np.uint16):
            wanted = f"uint8 or uint16 {size} with 3 or 4 channels"
            raise ValueError(f"frame {number - 1} is {frame.dtype} {frame.shape}; it must be {wanted}")
        with failing(target):
            picture = to_picture(
                frame,
                writing.encoding.stored.frame_format or "",
                matrix=writing.color_matrix,
                full_range=writing.full_range,
                transfer=transfer_of(writing.color_transfer),
                chroma_location=writing.chroma_location,
                reformatter=reformatter,
            )
            picture.pts, picture.time_base = number - 1, 1 / writing.rate
            with ordinary_priority():  # the first frame opens the encoder
                packets = stream.encode(picture)
        yield from map(in_order, packets)
    if number == 0:
        raise ValueError(f"there are no frames to write to {target}")
    with failing(target):
        packets = stream.encode(None)
    yield from map(in_order, packets)


def in_order(packet: Packet) -> Packet:
    """Return a packet that is decoded before it is shown; of one frame or two, x265 reports a time it never set."""
    shown, decoded = packet.pts or 0, packet.dts
    if decoded is None or not shown - MOST_AHEAD <= decoded <= shown:
        packet.dts = shown
    return packet
