"""Which packet holds which frame, and where in a file decoding may begin.

Read once by the reader that finds frames by number; a few numbers per frame, so that hours of film fit.
"""

from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Int64

from venhancer.errors import InputError
from venhancer.media.endings import MATROSKA, MOV
from venhancer.media.source import (
    Identity,
    Packets,
    failures_as,
    open_source,
    read_packets,
    video_stream,
)


class Entry(NamedTuple):
    """A key frame that nothing refers across: how many packets precede it, its number, and its time in ticks."""

    packet: int
    frame: int
    time: int


class FrameIndex(NamedTuple):
    """The frames of a file according to its packets.

    Args:
        times: when each frame is shown, in units of the stream's time base; None if only decoding tells.
        entries: where decoding may begin, in order; the first is the beginning of the file.
        packet_times: of every packet, in file order.
    """

    times: Int64[np.ndarray, "frames"] | None
    entries: tuple[Entry, ...]
    packet_times: Int64[np.ndarray, "packets"]

    def entry_before(self, frame: int) -> Entry:
        """Return the last entry at or before a frame."""
        return self.entries[max(0, bisect_right(self.entries, frame, key=lambda entry: entry.frame) - 1)]


def read_index(path: Path, *, known: Identity | None = None) -> FrameIndex:
    """Return the index of the file at `path`, from all its packets and without decoding any.

    Raises:
        InputError: the file cannot be read, is cut short, or is not the one that is `known`.
    """
    with open_source(path, known=known) as container:
        packets = read_packets(container, video_stream(container, path), path)
    if not packets.are_frames:
        return FrameIndex(None, (Entry(0, 0, 0),), packets.times)
    return FrameIndex(np.sort(packets.times[packets.is_shown]), _find_entries(packets), packets.times)


def seek_entry(entry: Entry, index: FrameIndex, container: InputContainer, stream: VideoStream, path: Path) -> int:
    """Bring a container just opened near an entry; return how many packets are still to be passed over.

    Below 0 if its table of key frames led beyond the entry; a container without a table stays at its beginning.
    """
    if entry.packet == 0 or container.format.name not in (MOV, MATROSKA):
        return entry.packet
    with failures_as(InputError, f"{path} is damaged; copy or download it again"):
        container.seek(entry.time, stream=stream)
        landed = next(container.demux(stream)).pts
        container.seek(entry.time, stream=stream)
    places = [] if landed is None else np.flatnonzero(index.packet_times == landed).tolist()
    return entry.packet - places[0] if places else -1


def _find_entries(packets: Packets) -> tuple[Entry, ...]:
    times = packets.times
    latest = np.maximum.accumulate(times)  # up to each packet
    earliest = np.minimum.accumulate(times[::-1])[::-1]  # from each packet on
    stands_alone = packets.is_key[1:] & (latest[:-1] < times[1:]) & (times[1:] == earliest[1:])
    shown = np.cumsum(packets.is_shown)
    later = (np.flatnonzero(stands_alone) + 1).tolist()
    return (Entry(0, 0, int(times[0])), *(Entry(skip, int(shown[skip - 1]), int(times[skip])) for skip in later))
