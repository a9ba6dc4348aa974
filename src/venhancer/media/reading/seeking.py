"""A few frames out of the middle of a long file, found by their times: what training reads, over and over.

`media/reader.py` looks at every packet first, so that it can promise every frame of the clip; here one jump to the key
frame before suffices, because the clip was probed once and its frames are known to keep to their rate. A frame that is
not where it should be is an error all the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from venhancer.errors import InputError
from venhancer.media.colour import COLORSPACES, EXACT, ChromaLocation, is_subsampled, note_chroma_location
from venhancer.media.endings import MATROSKA, MOV
from venhancer.media.orientation import NO_BORDER, UPRIGHT, Border, Orientation, cut_off, turn_upright
from venhancer.media.source import decode, failures_as, open_bytes, open_source, video_stream

SMALLER = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameAccess:
    """What a probe found out about a clip that its frames are found and shown by.

    Args:
        begin: seconds on the file's clock at which the first frame is shown.
        rate: frames a second, which every frame keeps to.
        color_matrix: bt601, bt709 or bt2020.
        full_range: whether 0..255 is used instead of 16..235.
        orientation: how stored pictures are turned to be shown.
        border: what of them is not shown.
        chroma_location: where chroma lies if it has fewer samples than luma.
    """

    begin: Fraction
    rate: Fraction
    color_matrix: str
    full_range: bool
    orientation: Orientation = UPRIGHT
    border: Border = NO_BORDER
    chroma_location: ChromaLocation = "left"


def read_numbered(
    path: Path,
    access: FrameAccess,
    numbers: Sequence[int],
    *,
    content: BufferedIOBase | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the frames of these numbers as uint8 RGB, upright and without their borders.

    Args:
        path: the file; what errors call `content` if that is given.
        access: of the clip.
        numbers: ascending, counted from the clip's first frame.
        content: bytes to read instead of a file.
        size: height and width to bring frames to, averaging areas; their own if left out.

    Raises:
        InputError: a frame is damaged or missing; the message names it.
    """
    with open_bytes(content, path) if content is not None else open_source(path) as container:
        stream = video_stream(container, path)
        stream.codec_context.thread_count = 1  # a worker a core is faster than threads that wait for one another
        reformatter = VideoReformatter()
        wanted = iter(numbers)
        number = next(wanted, None)
        for place, frame in _from_key_frame(container, stream, path, access, numbers[0] if numbers else 0):
            if number is None:
                return
            if place > number:
                raise InputError(f"{path}: frame {number} is missing; copy the file again or cut it before that frame")
            if place == number:
                yield _picture(frame, access, size, reformatter)
                number = next(wanted, None)
        if number is not None:
            raise InputError(f"{path} ends before frame {number}; it changed or is damaged: index it again")


def _from_key_frame(
    container: InputContainer, stream: VideoStream, path: Path, access: FrameAccess, first: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield frames with their numbers, beginning at or before number `first`."""
    if first > 0 and container.format.name in (MOV, MATROSKA):  # others have no table to find key frames by
        time = access.begin + (first - Fraction(1, 2)) / access.rate
        with failures_as(InputError, f"{path} is damaged; copy or download it again"):
            container.seek(int(time / (stream.time_base or 1)), stream=stream)
    for frame in decode(container, stream, path, first=first):
        if frame.pts is None or not frame.time_base:
            raise InputError(f"{path} has frames without timestamps; convert it to mp4 first")
        yield round((frame.pts * frame.time_base - access.begin) * access.rate), frame


def _picture(
    frame: VideoFrame, access: FrameAccess, size: tuple[int, int] | None, reformatter: VideoReformatter
) -> UInt8[np.ndarray, "h w 3"]:
    stored = size if size is None or not access.orientation.is_transposed else (size[1], size[0])
    is_cut = access.border != NO_BORDER  # before it is made smaller
    height, width = (None, None) if is_cut or stored is None else stored
    if is_subsampled(frame.format):
        frame = note_chroma_location(frame, access.chroma_location)
    rgb = reformatter.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=COLORSPACES[access.color_matrix],
        dst_colorspace=COLORSPACES[access.color_matrix],
        src_color_range=ColorRange.JPEG if access.full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT if width is None else SMALLER,
    )
    picture: UInt8[np.ndarray, "h w 3"] = cut_off(rgb.to_ndarray(), access.border)
    return turn_upright(resized(picture, stored) if is_cut and stored is not None else picture, access.orientation)


def resized(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return the picture at a height and width, averaging areas."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return VideoReformatter().reformat(frame, width=size[1], height=size[0], interpolation=SMALLER).to_ndarray()
