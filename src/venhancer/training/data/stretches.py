"""A file to the stretches of it that are worth training on: uncut, long enough, neither black nor static.

One pass over a file at a small size; what is found goes into the manifest, and the pixels are only read again when they
are trained on.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.probe import probe
from venhancer.media.reading.shots import FrameChange, Luma, find_cuts, measure_changes, read_lumas, small_luma
from venhancer.training.data.clips import open_array
from venhancer.training.data.manifest import ClipEntry
from venhancer.training.settings import IndexSettings

ARRAY = ".npy"


class Stretches(NamedTuple):
    """The clips of a file, and why others of it are none: one word for each."""

    clips: list[ClipEntry]
    left_out: list[str]


def find_stretches(path: Path, settings: IndexSettings) -> Stretches:
    """Return the clips of a video file or an array; their paths are still the file's own.

    Raises:
        InputError: the file is damaged, or no video or array.
    """
    if path.suffix.lower() == ARRAY:
        entry = _describe_array(path, settings)
        lumas = map(_array_luma, open_array(entry, path.parent))
    else:
        info = probe(path)
        if reason := _not_trained_on(info):
            return Stretches([], [reason])
        entry = _describe_video(info)
        lumas = read_lumas(info)
    if min(entry.width, entry.height) < settings.smallest:
        return Stretches([], ["tiny"])
    if entry.frames < settings.shortest:
        return Stretches([], ["short"])
    return _usable(entry, list(measure_changes(lumas)), settings)


def _usable(entry: ClipEntry, changes: list[FrameChange], settings: IndexSettings) -> Stretches:
    """Return the usable shots of a file after all its frames were inspected."""
    cuts = [] if settings.whole_files else list(find_cuts(changes))
    stretches = Stretches([], [])
    for start, stop in pairwise([0, *cuts, min(entry.frames, len(changes))]):
        for first, last in split_evenly(start, stop, settings.longest):
            if fault := _fault(changes[first:last], settings):
                stretches.left_out.append(fault)
            else:
                stretches.clips.append(entry.model_copy(update={"start": first, "frames": last - first}))
    return stretches


def split_evenly(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    """Return the fewest pieces of nearly equal length, none over `longest` frames.

    >>> split_evenly(10, 21, 4)
    [(10, 14), (14, 17), (17, 21)]
    """
    pieces = -(-(stop - start) // longest)
    edges = [start + round(number * (stop - start) / pieces) for number in range(pieces + 1)]
    return list(pairwise(edges))


def _fault(changes: list[FrameChange], settings: IndexSettings) -> str:
    """Return why a shot is no clip, or nothing."""
    if len(changes) < settings.shortest:
        return "short"
    if np.mean([frame.brightness for frame in changes]) < settings.darkest:
        return "black"
    if len(changes) > 1 and np.mean([frame.change for frame in changes[1:]]) < settings.stillest:
        return "static"
    return ""


def _not_trained_on(info: ClipInfo) -> str:
    """Return why frames of a file cannot be found by their numbers alone, or nothing."""
    reasons = {
        "variable timing": info.timestamps is not None,
        "joined clocks": bool(info.jumps),
        "interlaced": info.is_interlaced,
        "transparent": info.has_alpha,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")


def _describe_video(info: ClipInfo) -> ClipEntry:
    return ClipEntry(
        path=str(info.path),
        frames=info.frames,
        rate=info.rate,
        width=info.width,
        height=info.height,
        begin=info.start,
        color_matrix=info.color_matrix,
        full_range=info.full_range,
        mirrored=info.orientation.is_mirrored,
        rotation=info.orientation.rotation,
        border=info.border,
        chroma_location=info.chroma_location,
    )


def _describe_array(path: Path, settings: IndexSettings) -> ClipEntry:
    unknown = ClipEntry(path=path.name, frames=1, rate=settings.rate, width=1, height=1)
    frames, height, width, _ = open_array(unknown, path.parent).shape
    if frames < 1:
        raise InputError(f"{path} contains no frames; use an array with at least one")
    return unknown.model_copy(update={"frames": frames, "width": width, "height": height})


def _array_luma(frame: UInt8[np.ndarray, "_h _w 3"]) -> Luma:
    return small_luma(VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"), VideoReformatter())
