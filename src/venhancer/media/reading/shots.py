"""Where one shot ends and the next begins, told from small luma pictures as they stream by.

One pass over the frames of a clip, decoded no better than that needs; no picture is kept. `measure_changes` boils each
down to three numbers, `find_cuts` compares each change with those around it. A cut changes far more than the frames
before and after it do; a flash or a single broken frame changes as much twice in a row, and fast motion all the time.
Slow dissolves are not found.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8, UInt16

from venhancer.media.clip import ClipInfo
from venhancer.media.reading.cadence import Cadence, find_cadence
from venhancer.media.reading.decoder import decoder_of
from venhancer.media.reading.fields import Fields, FieldSearch
from venhancer.progress import SILENT, Progress, track

SMALL = 96
"""A width in pixels that suffices for the pictures to judge by."""

AROUND = 6
"""Changes compared on both sides, so a cut is reported this many frames late."""

_NEAR = 2
_BINS = 32
_CLEAR, _CLEAR_RATIO = 4.0, 2.0
_AMID_MOTION, _AMID_MOTION_RATIO, _AMID_MOTION_MOVED = 8.0, 3.0, 0.15
Luma = UInt8[np.ndarray, "h w"]
Picture = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


class FrameChange(NamedTuple):
    """One frame: its mean luma, and how it differs from the frame before (the first: not at all).

    Args:
        brightness: mean of 0..255.
        change: mean absolute difference of 0..255.
        change_over_two: the same from the frame before that, which is small again after a flash.
        moved: share of the luma histogram that changed its bin.
    """

    brightness: float
    change: float
    change_over_two: float
    moved: float


class Findings(NamedTuple):
    """What one pass over the frames of a clip tells.

    Args:
        cuts: numbers of the frames at which a shot begins, without the first.
        cadence: what repeats.
        fields: what lines show, if the clip is read as it is marked.
    """

    cuts: tuple[int, ...] = ()
    cadence: Cadence = Cadence()
    fields: Fields = Fields()


def look_through(clip: ClipInfo, frames: range | None = None, *, progress: Progress = SILENT) -> Findings:
    """Return where shots begin, what repeats, and whether frames hold two moments.

    Args:
        clip: as probed.
        frames: the part of it to look at; all if left out.
        progress: advanced by every frame.

    Raises:
        InputError: the file changed, or a frame is damaged or missing.
    """
    frames = range(clip.frames) if frames is None else frames
    search = FieldSearch() if clip.kind == "video" and clip.deinterlace == "marked" else None
    lumas = read_lumas(clip, frames, see=(lambda _: None) if search is None else search.see)
    found = _findings(track(lumas, len(frames), "look for cuts", progress), frames.start)
    return found if search is None else found._replace(fields=search.found())


def look_through_frames(frames: Iterable[Picture]) -> Findings:
    """Return the same of frames in memory."""
    reformatter = VideoReformatter()
    formats = {np.dtype(np.uint8): "rgb24", np.dtype(np.uint16): "rgb48le"}
    pictures = (VideoFrame.from_ndarray(np.ascontiguousarray(one), formats[one.dtype]) for one in frames)
    return _findings((small_luma(picture, reformatter) for picture in pictures), 0)


def _findings(lumas: Iterable[Luma], first: int) -> Findings:
    changes: list[float] = []

    def noted() -> Iterator[FrameChange]:
        for change in measure_changes(lumas):
            changes.append(change.change)
            yield change

    cuts = tuple(first + cut for cut in find_cuts(noted()))
    return Findings(cuts, find_cadence(changes, first))


def read_lumas(
    clip: ClipInfo, frames: range | None = None, *, see: Callable[[VideoFrame], None] = lambda _: None
) -> Iterator[Luma]:
    """Yield the luma of frames, `SMALL` pixels wide and as they are stored; `see` gets each frame."""
    reformatter = VideoReformatter()
    decoder = decoder_of(clip, is_rough=True)
    try:
        for number in range(clip.frames) if frames is None else frames:
            frame = decoder.frame(number)
            see(frame)
            yield small_luma(frame, reformatter)
    finally:
        decoder.close()


def small_luma(frame: VideoFrame, reformatter: VideoReformatter) -> Luma:
    """Return the luma of a frame, `SMALL` pixels wide."""
    height = max(1, round(frame.height * SMALL / frame.width))
    small = reformatter.reformat(frame, width=SMALL, height=height, format="gray", interpolation=Interpolation.AREA)
    return small.to_ndarray()


def measure_changes(pictures: Iterable[UInt8[np.ndarray, "h w"]]) -> Iterator[FrameChange]:
    """Yield the change of every frame, from luma pictures of one size, about `SMALL` pixels wide."""
    recent: list[tuple[UInt8[np.ndarray, "h w"], np.ndarray]] = []
    for picture in pictures:
        counts = np.bincount(picture.ravel() // (256 // _BINS), minlength=_BINS) / picture.size
        change = _difference(picture, recent[-1][0]) if recent else 0.0
        over_two = _difference(picture, recent[-2][0]) if len(recent) > 1 else change
        moved = float(np.abs(counts - recent[-1][1]).sum()) / 2 if recent else 0.0
        yield FrameChange(float(picture.mean()), change, over_two, moved)
        recent = [*recent[-1:], (picture, counts)]


def find_cuts(changes: Iterable[FrameChange]) -> Iterator[int]:
    """Yield the number of the first frame of every shot after the first, at most `AROUND` frames late.

    Frame n begins a shot when its change is over 4 and twice the largest of the two before and the two after; or over
    8, three times the median of the six before and after, with over 15 % of the histogram moved (cuts amid motion). It
    begins none if the picture is back to what it was a frame later or earlier (flashes).
    """
    frames = iter(changes)
    next(frames, None)  # nothing precedes the first
    edge = (None,) * AROUND
    window: deque[FrameChange | None] = deque(edge, maxlen=2 * AROUND + 1)
    for number, newest in enumerate(chain(frames, edge), start=1 - AROUND):
        window.append(newest)
        if len(window) == window.maxlen and _begins_shot(list(window)):
            yield number


def _begins_shot(window: list[FrameChange | None]) -> bool:
    """Tell whether the frame in the middle of the window begins a shot; beyond the clip's ends there is None."""
    this, after = window[AROUND], window[AROUND + 1]
    if this is None or min(this.change_over_two, (after or this).change_over_two) < this.change / 2:
        return False
    around = [frame.change for frame in (*window[:AROUND], *window[AROUND + 1 :]) if frame is not None]
    neighbours = (*window[AROUND - _NEAR : AROUND], *window[AROUND + 1 : AROUND + 1 + _NEAR])
    near = [frame.change for frame in neighbours if frame is not None]
    stands_out = this.change > _CLEAR and this.change > _CLEAR_RATIO * max(near, default=0.0)
    if stands_out or not around:
        return stands_out
    amid_motion = this.change > _AMID_MOTION and this.moved > _AMID_MOTION_MOVED
    return amid_motion and this.change > _AMID_MOTION_RATIO * float(np.median(around))


def _difference(picture: UInt8[np.ndarray, "h w"], other: UInt8[np.ndarray, "h w"]) -> float:
    return float(np.abs(picture.astype(np.int16) - other).mean())
