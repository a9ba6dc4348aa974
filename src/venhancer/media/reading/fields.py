"""Frames whose even and odd lines show two moments: told from the others, and made whole.

Video was made in fields, half a frame each. *Interlaced* frames hold two fields of different moments. *Telecine*
spreads each film frame over two or three fields, so that two of five frames hold lines of two film frames. libav's
filters do the work; what they see is the fields, not what a file says of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

CLOCK = Fraction(1, 1000)  # on which frame n has time n inside a filter
STEPS: dict[str, tuple[tuple[str, str], ...]] = {
    "marked": (("bwdif", "mode=send_frame:parity=auto:deint=interlaced"),),
    "all": (("bwdif", "mode=send_frame:parity=auto:deint=all"),),
    "film": (("fieldmatch", "combmatch=full"), ("bwdif", "mode=send_frame:parity=auto:deint=interlaced")),
}
NARROW = 192  # columns that suffice to look at lines
CLEAR = 0.9  # share of the frames that move which must agree
FEWEST = 10  # frames that must move before anything is said
CYCLE = 5  # frames that four film frames fill


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What the lines of a clip's frames show.

    Args:
        moving: frames that move enough to tell.
        combed: how many of them hold lines of two moments.
        is_film: whether fields repeat as where film frames were spread over them.
    """

    moving: int = 0
    combed: int = 0
    is_film: bool = False

    @property
    def are_interlaced(self) -> bool:
        """Whether nearly all frames hold two moments, and no film frames."""
        return self.moving >= FEWEST and not self.is_film and self.combed >= CLEAR * self.moving

    @property
    def are_whole(self) -> bool:
        """Whether nearly no frame does."""
        return self.moving >= FEWEST and not self.is_film and self.combed <= (1 - CLEAR) * self.moving


class FieldSearch:
    """Looks at the lines of frames as they pass by, a few columns of each."""

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._reformatter, self._count = VideoReformatter(), 0
        self._kinds: list[str] = []
        self._repeats: list[str] = []

    def see(self, frame: VideoFrame) -> None:
        """Look at the next frame."""
        narrow = self._reformatter.reformat(frame, width=NARROW, format="gray", interpolation=Interpolation.POINT)
        self._graph = self._graph or _build(narrow, (("idet", ""),))
        self._note(_push(self._graph, narrow, self._count))
        self._count += 1

    def found(self) -> Fields:
        """Return what was seen."""
        if self._graph is not None:
            self._graph.push(None)
            self._note(_pull(self._graph))
        moving = [kind for kind in self._kinds if kind != "undetermined"]
        combed = sum(kind != "progressive" for kind in moving)
        return Fields(moving=len(moving), combed=combed, is_film=self._repeats_as_film_does())

    def _note(self, frames: Iterable[VideoFrame]) -> None:
        for frame in frames:
            told = frame.metadata
            self._kinds.append(told["lavfi.idet.single.current_frame"])
            self._repeats.append(told["lavfi.idet.repeated.current_frame"])

    def _repeats_as_film_does(self) -> bool:
        """Tell whether of nearly every five moving frames, one repeats a top field and one a bottom field."""
        stretches = [
            Counter(self._repeats[start : start + CYCLE])
            for start in range(len(self._kinds) - CYCLE + 1)
            if "undetermined" not in self._kinds[start : start + CYCLE]
        ]
        agreeing = sum(stretch["top"] == 1 == stretch["bottom"] for stretch in stretches)
        return len(stretches) >= FEWEST and agreeing >= CLEAR * len(stretches)


def deinterlace(frames: Iterable[VideoFrame], how: str = "marked") -> Iterator[VideoFrame]:
    """Yield one whole frame for each frame, one or two frames later.

    A frame that holds two moments is brought to one, as its neighbours on both sides tell. Film frames that were spread
    over fields are gathered again, and one of five is then there twice.
    """
    graph: Graph | None = None
    frame, count, taken = None, 0, 0
    for count, frame in enumerate(frames, start=1):
        graph = graph or _build(frame, STEPS[how])
        for whole in _push(graph, frame, count - 1):
            if _number(whole) == taken:  # the first one may come twice
                taken += 1
                yield whole
    if graph is not None and frame is not None:
        extra = [] if count > 1 else _push(graph, frame, 1)  # one alone would be let through
        graph.push(None)
        wanted = (whole for whole in chain(extra, _pull(graph)) if _number(whole) >= taken)
        yield from islice(wanted, count - taken)


def _build(frame: VideoFrame, steps: Iterable[tuple[str, str]]) -> Graph:
    graph = Graph()
    last = graph.add_buffer(
        width=frame.width, height=frame.height, format=VideoFormat(frame.format.name), time_base=CLOCK
    )
    for step in (*(graph.add(*one) for one in steps), graph.add("buffersink")):
        last.link_to(step)
        last = step
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
