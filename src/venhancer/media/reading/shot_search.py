"""Where the shots of a file begin.

One pass over the frames at a size at which a cut is as plain as at full size, decoded no better than that needs.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8, UInt16

from venhancer.media.clip import ClipInfo
from venhancer.media.reading.decoder import decoder_of
from venhancer.media.reading.shots import SMALL, find_cuts, measure_changes
from venhancer.progress import SILENT, Progress, track

Luma = UInt8[np.ndarray, "h w"]
Picture = UInt8[np.ndarray, "h w 3"] | UInt16[np.ndarray, "h w 3"]


def find_shots(clip: ClipInfo, frames: range | None = None, *, progress: Progress = SILENT) -> tuple[int, ...]:
    """Return the numbers of the input frames at which a shot begins, without the first.

    Args:
        clip: as probed.
        frames: the part of it to look at; all if left out.
        progress: advanced by every frame.

    Raises:
        InputError: the file changed, or a frame is damaged or missing.
    """
    frames = range(clip.frames) if frames is None else frames
    lumas = track(read_lumas(clip, frames), len(frames), "look for cuts", progress)
    changes = measure_changes(lumas)
    return tuple(frames.start + cut for cut in find_cuts(changes))


def find_shots_in(frames: Iterable[Picture]) -> tuple[int, ...]:
    """Return the numbers of the frames at which a shot begins, without the first, of frames in memory."""
    reformatter = VideoReformatter()
    formats = {np.dtype(np.uint8): "rgb24", np.dtype(np.uint16): "rgb48le"}
    pictures = (VideoFrame.from_ndarray(np.ascontiguousarray(one), formats[one.dtype]) for one in frames)
    return tuple(find_cuts(measure_changes(small_luma(picture, reformatter) for picture in pictures)))


def read_lumas(clip: ClipInfo, frames: range | None = None) -> Iterator[Luma]:
    """Yield the luma of frames, `SMALL` pixels wide and as they are stored."""
    reformatter = VideoReformatter()
    decoder = decoder_of(clip, is_rough=True)
    try:
        for number in range(clip.frames) if frames is None else frames:
            yield small_luma(decoder.frame(number), reformatter)
    finally:
        decoder.close()


def small_luma(frame: VideoFrame, reformatter: VideoReformatter) -> Luma:
    """Return the luma of a frame, `SMALL` pixels wide."""
    height = max(1, round(frame.height * SMALL / frame.width))
    small = reformatter.reformat(frame, width=SMALL, height=height, format="gray", interpolation=Interpolation.AREA)
    return small.to_ndarray()
