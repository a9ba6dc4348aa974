"""Whole frames out of interlaced ones, one for one.

A frame that holds two moments, its even and its odd lines, is brought to one moment, as its own flag and its
neighbours on both sides tell. Frames that are not interlaced stay as they are. Film that was spread over fields
(telecine) is not gathered again.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice

from av.filter import Graph
from av.video.frame import VideoFrame

CONTEXT = 2
"""Frames before the first one wanted that must be given, so that it does not matter where one begins."""

FILTER, OPTIONS = "bwdif", "mode=send_frame:parity=auto:deint=interlaced"
CLOCK = Fraction(1, 1000)  # on which frame n has time n inside the filter


def deinterlace(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """Yield one whole frame for each frame, a frame later."""
    graph: Graph | None = None
    frame, count, taken = None, 0, 0
    for count, frame in enumerate(frames, start=1):
        graph = graph or _build(frame)
        for whole in _push(graph, frame, count - 1):
            if _number(whole) == taken:  # the first one may come twice
                taken += 1
                yield whole
    if graph is not None and frame is not None:
        extra = [] if count > 1 else _push(graph, frame, 1)  # one alone would be let through
        graph.push(None)
        wanted = (whole for whole in chain(extra, _pull(graph)) if _number(whole) >= taken)
        yield from islice(wanted, count - taken)


def _build(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=CLOCK)
    step, sink = graph.add(FILTER, OPTIONS), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    return graph


def _push(graph: Graph, frame: VideoFrame, number: int) -> list[VideoFrame]:
    frame.pts, frame.time_base = number, CLOCK
    graph.push(frame)
    return list(_pull(graph))


def _number(frame: VideoFrame) -> Fraction:
    return (frame.pts or 0) * (frame.time_base or CLOCK) / CLOCK


def _pull(graph: Graph) -> Iterator[VideoFrame]:
    with suppress(BlockingIOError, EOFError):  # it wants more, or has no more
        while True:
            yield graph.vpull()
