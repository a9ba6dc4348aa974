"""Frames out of a file, one by one.

`FrameReader` gives them by number in the RGB that the clip's own matrix and range mean, and gives every frame asked for
or raises; `read_frames` is a range of them. Both decode forward, and every frame once.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import UInt8

from venhancer.errors import InputError
from venhancer.media.frame_index import Entry, FrameIndex, read_index, seek_entry
from venhancer.media.probe import ClipInfo
from venhancer.media.source import decode, open_source, video_stream

Frame = UInt8[np.ndarray, "h w 3"]

COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}
EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
)  # within one level of the formula
WORTH_A_JUMP = 16
"""Frames that decoding on may cost before jumping ahead to a key frame is faster."""


class FrameReader:
    """The frames of a clip by number, in memory that does not grow with it.

    Frame n is the same however it is come by: decoding begins at the first frame, or at a key frame before it that
    nothing refers across. Going forward, each frame is decoded once.

    >>> with FrameReader(clip, keep=8) as reader:  # doctest: +SKIP
    ...     first = list(reader.read(range(0, 40)))
    ...     second = list(reader.read(range(32, 72)))  # decodes 40 to 71

    Args:
        clip: as probed.
        keep: how many of the frames given last can be had again without decoding them again.
    """

    def __init__(self, clip: ClipInfo, *, keep: int = 0) -> None:
        self.clip = clip
        self._keep = max(1, keep)
        self._kept: dict[int, Frame] = {}
        self._opened = ExitStack()
        self._reformatter = VideoReformatter()
        self._index: FrameIndex | None = None
        self._decoded: Iterator[VideoFrame] = iter(())
        self._next = clip.frames  # number of the frame that comes out of the decoder next

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and forget all frames; another `read` opens it again."""
        self._kept.clear()
        self._decoded, self._next = iter(()), self.clip.frames
        self._opened.close()

    def read(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Yield the frames of these numbers as uint8 RGB, one at a time.

        Args:
            indices: ascending; a number may come several times.

        Raises:
            ValueError: they are not, or a number is outside the clip.
            InputError: the file changed, or a frame is damaged or missing; the message names it.
        """
        if any(after < before for before, after in pairwise(indices)):
            raise ValueError(f"frame numbers must be ascending, not {indices}")
        if len(indices) and not 0 <= indices[0] <= indices[-1] < self.clip.frames:
            raise ValueError(f"frames {indices[0]}..{indices[-1]} are not within 0..{self.clip.frames - 1}")
        return map(self._frame, indices)

    def _frame(self, number: int) -> Frame:
        frame = self._kept.pop(number, None)
        if frame is None:
            frame = self._to_rgb(self._decode_until(number))
        self._kept[number] = frame
        if len(self._kept) > self._keep:
            del self._kept[next(iter(self._kept))]  # the one given longest ago
        return frame

    def _decode_until(self, number: int) -> VideoFrame:
        clip = self.clip
        index = self._index = self._index or read_index(clip.path)
        entry = index.entry_before(number)
        if number < self._next or entry.frame >= self._next + WORTH_A_JUMP:
            self._begin(entry, index)
        for frame in self._decoded:
            if index.times is not None and not (self._next < len(index.times) and frame.pts == index.times[self._next]):
                raise InputError(
                    f"{clip.path}: frame {self._next} is missing; copy the file again or cut it before there"
                )
            if (frame.width, frame.height) != (clip.width, clip.height):
                size = f"{frame.width}x{frame.height} after {clip.width}x{clip.height}"
                raise InputError(
                    f"{clip.path}: frame {self._next} changes size to {size}; convert the clip to one size"
                )
            self._next += 1
            if self._next > number:
                return frame
        ended, self._next = self._next, clip.frames
        raise InputError(f"{clip.path} ends before frame {ended} of {clip.frames}; it changed or broke: probe it again")

    def _begin(self, entry: Entry, index: FrameIndex) -> None:
        """Open the file anew, at an entry."""
        path = self.clip.path
        self._opened.close()
        container = self._opened.enter_context(open_source(path))
        stream = video_stream(container, path)
        skip = seek_entry(entry, index, container, stream, path)
        if skip < 0:  # beyond: then from the beginning
            self._opened.close()
            container = self._opened.enter_context(open_source(path))
            stream, skip = video_stream(container, path), entry.packet
        self._decoded = decode(container, stream, path, skip=skip, first=entry.frame)
        self._next = entry.frame

    def _to_rgb(self, frame: VideoFrame) -> Frame:
        clip = self.clip
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=COLORSPACES[clip.color_matrix],
            dst_colorspace=COLORSPACES[clip.color_matrix],
            src_color_range=ColorRange.JPEG if clip.full_range else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=EXACT,
        )
        return rgb.to_ndarray()


def read_frames(clip: ClipInfo, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Yield frames `start` to `stop` (end excluded, by count) as uint8 RGB, one at a time.

    Raises:
        ValueError: the range is outside the clip.
        InputError: the file changed, or a frame is damaged or missing; the message names it.
    """
    stop = clip.frames if stop is None else stop
    if not 0 <= start <= stop <= clip.frames:
        raise ValueError(f"frames {start}..{stop} are not within 0..{clip.frames} of {clip.path}")
    return _read(clip, range(start, stop))


def _read(clip: ClipInfo, numbers: range) -> Iterator[Frame]:
    with FrameReader(clip) as reader:
        yield from reader.read(numbers)
