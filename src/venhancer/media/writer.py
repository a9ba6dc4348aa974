"""Frames into a file.

`write_segment` encodes frames as it is given them into a file of pictures alone; `write_video` makes one such segment
and has it assembled with the sound: at any moment there is either the whole video or none.
"""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from venhancer.errors import InputError
from venhancer.media.assemble import SEGMENT_SUFFIX, assemble
from venhancer.media.clip import ClipInfo
from venhancer.media.output import failing, open_output, written_whole
from venhancer.media.probe import PRIMARIES, TRANSFERS
from venhancer.media.reader import COLORSPACES, EXACT
from venhancer.media.source import failures_as

CONTAINERS = {"h264": (".mp4", ".mov", ".mkv"), "ffv1": (".mkv",)}
CODECS = tuple(CONTAINERS)
MATRIX_TAGS = {"bt601": 6, "bt709": 1, "bt2020": 9}  # ITU-T H.273, table 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a video is written.

    Attributes:
        rate: frames per second, kept exactly (Matroska rounds times to milliseconds).
        crf: H.264 quality, 0 (lossless) to 51; FFV1 is always lossless.
        codec: h264 (8-bit 4:2:0) or ffv1 (RGB as given, .mkv only, without pixel shape).
        color_matrix: bt601, bt709 or bt2020: of the conversion to limited range, and of all colour tags.
        metadata: tags added to those of the source, or put in their place.
        with_sound: False leaves the source's sound out, as slow motion must.
        sample_aspect_ratio: width of a pixel over its height.
        threads: of the encoder; 0 leaves it the choice, 1 gives the same file on every machine and every time.
    """

    width: int
    height: int
    rate: Fraction
    crf: int = 17
    codec: str = "h264"
    color_matrix: str = "bt709"
    metadata: Mapping[str, str] = field(default_factory=dict)
    with_sound: bool = True
    sample_aspect_ratio: Fraction = Fraction(1)
    threads: int = 0

    def __post_init__(self) -> None:
        if self.width < 2 or self.height < 2 or self.width % 2 or self.height % 2:
            raise ValueError(f"size {self.width}x{self.height} must be even and at least 2x2")
        if self.rate <= 0 or not 0 <= self.crf <= 51:
            raise ValueError(f"rate {self.rate} must be above 0 and crf {self.crf} within 0..51")
        if self.codec not in CODECS or self.color_matrix not in MATRIX_TAGS:
            raise ValueError(
                f"codec {self.codec} must be one of {CODECS}, matrix {self.color_matrix} of {[*MATRIX_TAGS]}"
            )


def check_target(target: Path, source: Path, *, overwrite: bool, codec: str = "h264") -> None:
    """Raise if `target` cannot or must not be written, before any work is done.

    Raises:
        InputError: extension unknown or not for this codec, no such folder, no permission, the source itself, or there
            already.
    """
    suffixes = dict.fromkeys(suffix for allowed in CONTAINERS.values() for suffix in allowed)
    if target.suffix.lower() not in suffixes:
        raise InputError(f"{target} must end in {', '.join(suffixes)}; rename it")
    _check_container(target, codec)
    with failures_as(InputError, f"{target} cannot be written; choose another path"):
        if not target.parent.is_dir():
            raise InputError(f"{target.parent} is no folder; make it first")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise InputError(f"{target.parent} may not be written to; choose another folder")
        if target.exists() and source.exists() and target.samefile(source):
            raise InputError(f"{target} is the source itself; choose another name")
        if target.exists() and not target.is_file():
            raise InputError(f"{target} is not a file; choose another name")
        if not overwrite and (target.exists() or target.is_symlink()):
            raise InputError(f"{target} exists; pass --overwrite or choose another name")


def write_video(
    target: Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], writing: Writing, sound_from: ClipInfo | None
) -> Path:
    """Write `frames` to `target` and return it; after any failure the folder is as it was before.

    Args:
        target: replaced if it exists; `check_target` is the place to ask.
        frames: uint8 RGB of the size in `writing`, drawn one by one.
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
        return assemble(target, [pictures], writing, sound_from)
    finally:
        pictures.unlink(missing_ok=True)


def write_segment(
    path: Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], writing: Writing, *, called: Path | None = None
) -> Path:
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
    with written_whole(path, called) as part, open_output(part, called) as output:
        for packet in _encode(_add_video(output, writing), frames, writing, called):
            with failing(called):
                output.mux(packet)
    return path


def _check_container(target: Path, codec: str) -> None:
    if target.suffix.lower() not in CONTAINERS[codec]:
        raise InputError(f"{target} cannot hold {codec}; use {', '.join(CONTAINERS[codec])}")


def _add_video(output: OutputContainer, writing: Writing) -> VideoStream:
    h264 = writing.codec == "h264"
    options = {"crf": str(writing.crf)} if h264 else {"level": "3", "slicecrc": "1", "g": "1"}
    stream = output.add_stream("libx264" if h264 else "ffv1", rate=writing.rate, options=options)
    context = stream.codec_context
    context.width, context.height = writing.width, writing.height
    context.thread_count = writing.threads
    context.pix_fmt = "yuv420p" if h264 else "bgr0"
    context.time_base = 1 / writing.rate
    context.sample_aspect_ratio = writing.sample_aspect_ratio
    context.colorspace = MATRIX_TAGS[writing.color_matrix] if h264 else 0
    context.color_range = ColorRange.MPEG if h264 else ColorRange.JPEG
    context.color_primaries = PRIMARIES[writing.color_matrix]
    context.color_trc = TRANSFERS[writing.color_matrix]
    return stream


def _encode(stream: VideoStream, frames: Iterable[np.ndarray], writing: Writing, target: Path) -> Iterator[Packet]:
    """Yield the packets of all `frames`, converted as the tags say."""
    reformatter = VideoReformatter()
    shape = (writing.height, writing.width, 3)
    number = 0
    for number, frame in enumerate(frames, start=1):
        if frame.shape != shape or frame.dtype != np.uint8:
            raise ValueError(f"frame {number - 1} is {frame.dtype} {frame.shape}; it must be uint8 {shape}")
        with failing(target):
            picture = reformatter.reformat(
                VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24"),
                format=stream.codec_context.pix_fmt,
                src_colorspace=COLORSPACES[writing.color_matrix],
                dst_colorspace=COLORSPACES[writing.color_matrix],
                src_color_range=ColorRange.JPEG,
                dst_color_range=stream.codec_context.color_range,
                interpolation=EXACT,
            )
            picture.pts, picture.time_base = number - 1, 1 / writing.rate
            packets = stream.encode(picture)
        yield from packets
    if number == 0:
        raise ValueError(f"there are no frames to write to {target}")
    with failing(target):
        packets = stream.encode(None)
    yield from packets
