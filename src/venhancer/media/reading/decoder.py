"""Decoded frames by number, going forward.

What the reader and the search for shots stand on: both ask for ascending numbers, and pay for every frame once.
"""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack

from av.video.frame import VideoFrame

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.colour import shows_through
from venhancer.media.reading.fields import deinterlace
from venhancer.media.reading.frame_index import Entry, FrameIndex, read_index, seek_entry
from venhancer.media.source import WAYS_ON, decode, open_source, video_stream
from venhancer.media.stills.picture_clip import PictureDecoder

WORTH_A_JUMP = 16
"""Frames that decoding on may cost before jumping ahead to a key frame is faster."""

CONTEXT = 2
"""Frames before the first one wanted that must be given, so that it does not matter where one begins."""


def decoder_of(clip: ClipInfo, *, is_rough: bool = False) -> "FrameDecoder | PictureDecoder":
    """Return the decoder of a clip of any kind; see `FrameDecoder`."""
    return FrameDecoder(clip, is_rough=is_rough) if clip.kind == "video" else PictureDecoder(clip)


class FrameDecoder:
    """The stored frames of a clip, whole ones made of interlaced ones.

    Frame n is the same however it is come by: decoding begins at the first frame, or at a key frame before it that
    nothing refers across.

    Args:
        clip: as probed.
        is_rough: a little faster, for looking at small pictures only: blocks are not smoothed, fields not separated
            unless film frames are gathered from them.
    """

    def __init__(self, clip: ClipInfo, *, is_rough: bool = False) -> None:
        self.clip = clip
        self._is_rough = is_rough
        self._opened = ExitStack()
        self._index: FrameIndex | None = None
        self._decoded: Iterator[VideoFrame] = iter(())
        self._next = clip.frames  # number of the frame that comes next

    @property
    def _deinterlace(self) -> str:
        """Which frames are made whole."""
        how = self.clip.deinterlace
        if how == "marked" and not self.clip.is_interlaced:
            return "none"
        return "none" if self._is_rough and how != "film" else how

    def close(self) -> None:
        """Close the file; another `frame` opens it again."""
        self._decoded, self._next = iter(()), self.clip.frames
        self._opened.close()

    def frame(self, number: int) -> VideoFrame:
        """Return the frame of this number; numbers that ascend cost least.

        Raises:
            InputError: the file changed, or a frame is damaged, missing, or transparent where none may be; the message
                names it.
        """
        clip = self.clip
        if not clip.keep_damaged and clip.damage_in(range(number, number + 1)):
            raise InputError(f"{clip.path}: frame {number} is damaged; {WAYS_ON}")
        index = self._index = self._index or read_index(clip.path, known=clip.identity)
        entry = index.entry_before(number if self._deinterlace == "none" else number - CONTEXT)
        if number < self._next or entry.frame >= self._next + WORTH_A_JUMP:
            self._begin(entry, index)
        for frame in self._decoded:
            self._next += 1
            if self._next > number:
                if clip.must_be_opaque and shows_through(frame):
                    raise InputError(_told_transparent(clip, number))
                return frame
        ended, self._next = self._next, clip.frames
        raise InputError(f"{clip.path} ends before frame {ended} of {clip.frames}; it changed or is damaged: try again")

    def _begin(self, entry: Entry, index: FrameIndex) -> None:
        """Open the file again, at an entry."""
        path = self.clip.path
        self._opened.close()
        container = self._opened.enter_context(open_source(path, known=self.clip.identity))
        stream = video_stream(container, path)
        skip = seek_entry(entry, index, container, stream, path)
        if skip < 0:  # beyond: then from the beginning
            self._opened.close()
            container = self._opened.enter_context(open_source(path, known=self.clip.identity))
            stream, skip = video_stream(container, path), entry.packet
        if self._is_rough:
            stream.codec_context.options = {**stream.codec_context.options, "skip_loop_filter": "all"}
        clip = self.clip
        damage = [] if clip.keep_damaged or clip.damage else None
        frames = decode(container, stream, path, skip=skip, first=entry.frame, jumps=clip.jumps, damage=damage)
        frames = self._checked(frames, entry.frame, index)
        self._decoded = frames if self._deinterlace == "none" else deinterlace(frames, self._deinterlace)
        self._next = entry.frame

    def _checked(self, frames: Iterator[VideoFrame], first: int, index: FrameIndex) -> Iterator[VideoFrame]:
        """Yield the frames from number `first` on, each of them at its own time and of the clip's size."""
        clip, times = self.clip, index.times
        width, height = (clip.height, clip.width) if clip.orientation.is_transposed else (clip.width, clip.height)
        stored = (width + clip.border.left + clip.border.right, height + clip.border.above + clip.border.below)
        if clip.keep_damaged and times is not None:
            frames = _without_gaps(frames, times[first:].tolist())
        for number, frame in enumerate(frames, start=first):
            if times is not None and not (number < len(times) and frame.pts == times[number]):
                raise InputError(
                    f"{clip.path}: frame {number} is missing; copy the file again or cut it before that frame"
                )
            if (frame.width, frame.height) != stored:
                size = f"{frame.width}x{frame.height} after {stored[0]}x{stored[1]}"
                raise InputError(f"{clip.path}: frame {number} changes size to {size}; convert the clip to one size")
            yield frame


def _without_gaps(frames: Iterator[VideoFrame], times: list[int]) -> Iterator[VideoFrame]:
    """Yield one frame for each time: where none decodes, the one before again; at the beginning, the one after."""
    place, held = 0, None
    for frame in frames:
        end = bisect_left(times, frame.pts or 0)
        for time in times[place:end]:
            yield _at(held or frame, time)
        if end >= place and end < len(times) and times[end] == frame.pts:
            held = frame
            yield _at(frame, times[end])
            place = end + 1
    if held is not None:
        for time in times[place:]:
            yield _at(held, time)


def _at(frame: VideoFrame, time: int) -> VideoFrame:
    frame.pts = time
    return frame


def _told_transparent(clip: ClipInfo, number: int) -> str:
    when = f"{float(clip.frame_time(number)):.3f}".rstrip("0").rstrip(".")
    what = f"{clip.path} is transparent at {when} s; transparency cannot be kept"
    return f"{what}; pass --background black or another colour"
