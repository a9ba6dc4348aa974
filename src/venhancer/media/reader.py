"""Frames out of a file, one by one.

`read_frames` gives them in the RGB that the clip's own matrix and range mean, and gives every frame asked for or
raises.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

from venhancer.errors import InputError
from venhancer.media.probe import ClipInfo
from venhancer.media.source import Stamp, decode, open_source, read_packets, video_stream

COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}
EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
)  # within one level of the formula


def read_frames(clip: ClipInfo, start: int = 0, stop: int | None = None) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield frames `start` to `stop` (end excluded, by count) as uint8 RGB, one at a time.

    Frame n is the same whatever the range: decoding begins at the first frame, or at a key frame before `start` that
    nothing refers across.

    Raises:
        ValueError: the range is outside the clip.
        InputError: the file changed, or a frame is damaged or missing; the message names it.
    """
    stop = clip.frames if stop is None else stop
    if not 0 <= start <= stop <= clip.frames:
        raise ValueError(f"frames {start}..{stop} are not within 0..{clip.frames} of {clip.path}")
    return _read(clip, start, stop)


def _read(clip: ClipInfo, start: int, stop: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    with open_source(clip.path) as container:
        packets = read_packets(container, video_stream(container, clip.path), clip.path)
    times = sorted(stamp.time for stamp in packets.stamps if stamp.is_shown) if packets.are_frames else None
    skip, number = _entry(packets.stamps, start) if packets.are_frames else (0, 0)
    reformatter = VideoReformatter()
    with open_source(clip.path) as container:
        for frame in decode(container, video_stream(container, clip.path), clip.path, skip=skip, first=number):
            if number >= stop:
                return
            if times is not None and frame.pts != times[number]:
                raise InputError(f"{clip.path}: frame {number} is missing; copy the file again or cut it before there")
            if (frame.width, frame.height) != (clip.width, clip.height):
                size = f"{frame.width}x{frame.height} after {clip.width}x{clip.height}"
                raise InputError(f"{clip.path}: frame {number} changes size to {size}; convert the clip to one size")
            if number >= start:
                rgb = reformatter.reformat(
                    frame,
                    format="rgb24",
                    src_colorspace=COLORSPACES[clip.color_matrix],
                    dst_colorspace=COLORSPACES[clip.color_matrix],
                    src_color_range=ColorRange.JPEG if clip.full_range else ColorRange.MPEG,
                    dst_color_range=ColorRange.JPEG,
                    interpolation=EXACT,
                )
                yield rgb.to_ndarray()
            number += 1
    if number < stop:
        raise InputError(
            f"{clip.path} ends before frame {number} of {clip.frames}; it changed or broke: probe it again"
        )


def _entry(stamps: Sequence[Stamp], start: int) -> tuple[int, int]:
    """Return how many packets may be skipped before `start`, and the number of the frame that follows them."""
    times = [stamp.time for stamp in stamps]
    latest = list(accumulate(times, max))  # up to each packet
    earliest = list(accumulate(reversed(times), min))[::-1]  # from each packet on
    shown = list(accumulate(stamp.is_shown for stamp in stamps))
    for skip in reversed(range(1, len(stamps))):
        stands_alone = stamps[skip].is_key and latest[skip - 1] < times[skip] == earliest[skip]
        if stands_alone and shown[skip - 1] <= start:
            return skip, shown[skip - 1]
    return 0, 0
