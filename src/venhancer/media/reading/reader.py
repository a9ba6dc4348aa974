"""Frames out of a file, one by one, as they are to be seen.

`FrameReader` gives them by number: upright, whole, in the RGB that the clip's own matrix and range mean; every frame
asked for, or an error. `read_frames` is a range of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from types import TracebackType
from typing import Self

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from venhancer.media.clip import ClipInfo
from venhancer.media.colour import UNSPECIFIED, Pixels, to_rgb
from venhancer.media.orientation import cut_off, turn_upright
from venhancer.media.reading.decoder import decoder_of

Frame = Pixels


class FrameReader:
    """The frames of a clip by number, in memory that does not grow with it.

    Frame n is the same however it is come by; going forward, each frame is decoded once.

    >>> with FrameReader(clip, keep=8) as reader:  # doctest: +SKIP
    ...     first = list(reader.read(range(0, 40)))
    ...     second = list(reader.read(range(32, 72)))  # decodes 40 to 71

    Args:
        clip: as probed.
        keep: how many of the last frames can be read again without decoding.
    """

    def __init__(self, clip: ClipInfo, *, keep: int = 0) -> None:
        self.clip = clip
        self._keep = max(1, keep)
        self._kept: dict[int, Frame] = {}
        self._decoder = decoder_of(clip)
        self._reformatter = VideoReformatter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and forget all frames; another `read` opens it again."""
        self._kept.clear()
        self._decoder.close()

    def read(self, indices: Sequence[int]) -> Iterator[Frame]:
        """Yield the frames of these numbers as RGB, one at a time: uint8, or uint16 up to 65535 for deeper clips.

        Args:
            indices: ascending; a number may come several times.

        Raises:
            ValueError: they are not, or a number is outside the clip.
            InputError: the file changed, or a frame is damaged or missing; the message names it.
        """
        if any(after < before for before, after in pairwise(indices)):
            raise ValueError(f"frame numbers must ascend, not {indices}")
        if len(indices) and not 0 <= indices[0] <= indices[-1] < self.clip.frames:
            raise ValueError(f"frames {indices[0]}..{indices[-1]} are not within 0..{self.clip.frames - 1}")
        return map(self._frame, indices)

    def _frame(self, number: int) -> Frame:
        frame = self._kept.pop(number, None)
        if frame is None:
            frame = self._to_rgb(self._decoder.frame(number))
        self._kept[number] = frame
        if len(self._kept) > self._keep:
            del self._kept[next(iter(self._kept))]  # the one given longest ago
        return frame

    def _to_rgb(self, frame: VideoFrame) -> Frame:
        clip = self.clip
        rgb = to_rgb(
            frame,
            matrix=clip.color_matrix,
            full_range=clip.full_range,
            depth=clip.depth,
            transfer=clip.transfer,
            background=clip.background,
            chroma_location=clip.chroma_location,
            reformatter=self._reformatter,
        )
        return turn_upright(cut_off(rgb, clip.border), clip.orientation)


def in_eight_bits(clip: ClipInfo) -> ClipInfo:
    """Return the same clip, to be read as uint8 of ordinary video, regardless of its depth and curve."""
    return replace(clip, depth=8, color_transfer=UNSPECIFIED)


def read_frames(clip: ClipInfo, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Yield frames `start` to `stop` (end excluded, by count) as RGB, one at a time.

    They are uint8, or uint16 up to 65535 if the clip is deeper.

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
