"""One continuous clock, out of clocks that restart or jump.

Recordings laid end to end, and streams whose sender was changed, hold several clocks one after the other. `ClockSearch`
is shown every packet of a file and finds where one ends and the next begins; `Clock` moves the packets of any stream,
read again from the beginning, to the continuous clock. Frames, sound, subtitles and shots are all read through it.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from venhancer.errors import InputError

AHEAD = 10  # seconds by which the clock of a format that allows jumps may run ahead without being one
BACK = 0.1  # seconds by which decode times may fall back in any format
MOST = 10_000  # jumps of one file


class Jump(NamedTuple):
    """A place from which on the times of a stream are moved.

    Args:
        stream: index in the file.
        packet: number of the first packet there, counted in this stream.
        time: seconds on the continuous clock at which it begins.
        shift: seconds to add to the times told from there on.
    """

    stream: int
    packet: int
    time: Fraction
    shift: Fraction


class Clock:
    """Moves the packets of a file, each stream's from its first one on, to the continuous clock."""

    def __init__(self, jumps: Sequence[Jump]) -> None:
        self._ahead = {jump.stream: [one for one in jumps if one.stream == jump.stream] for jump in jumps}
        self._counts = dict.fromkeys(self._ahead, 0)
        self._shifts = dict.fromkeys(self._ahead, Fraction(0))

    @property
    def jumps(self) -> bool:
        """Whether it moves anything."""
        return bool(self._ahead)

    def shift_at_start(self, stream: int) -> Fraction:
        """Return by how many seconds the first packet of a stream is moved."""
        return next((jump.shift for jump in self._ahead.get(stream, ()) if jump.packet == 0), Fraction(0))

    def moved(self, packets: Iterable[Packet]) -> Iterable[Packet]:
        """Return the same packets at their moved times."""
        return map(self._move, packets) if self._ahead else packets

    def _move(self, packet: Packet) -> Packet:
        index = packet.stream_index
        if index not in self._ahead or is_last(packet):
            return packet
        ahead = self._ahead[index]
        while ahead and ahead[0].packet <= self._counts[index]:
            self._shifts[index] = ahead.pop(0).shift
        self._counts[index] += 1
        ticks, time = round(self._shifts[index] / packet.time_base), shown_at(packet)
        packet.pts = None if time is None else time + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return packet


def is_last(packet: Packet) -> bool:
    """Tell whether a packet only asks a decoder for the frames it still holds."""
    return packet.pts is None and not packet.size


def shown_at(packet: Packet) -> int | None:
    """Return when a packet is shown, in its time base; None if it does not say, or tells a time of another clock."""
    shown, decoded = packet.pts, packet.dts
    is_known = shown is None or decoded is None or abs(shown - decoded) <= AHEAD / packet.time_base
    return shown if is_known else None


class _Stretch:
    """The packets of one stream on one clock: the number of the first, and from when to when they are shown."""

    def __init__(self, section: int, packet: int, base: Fraction, step: Fraction) -> None:
        self.section, self.packet, self.base, self.step = section, packet, base, step
        self.first: int | None = None
        self.latest, self.length, self.lag = 0, 0, 0  # of what is shown last; between its decoding and showing
        self.tick = float(base)
        self.last: float | None = None  # decode time in seconds
        self.due = 0.0  # and that of the next packet

    def add(self, packet: Packet) -> None:
        """Take in a packet."""
        time, decoded, length = shown_at(packet), packet.dts, packet.duration or 0
        if decoded is not None:
            self.lag = self.lag if time is None else time - decoded
            time = decoded + self.lag if time is None else time
            self.last = decoded * self.tick
            self.due = (decoded + length) * self.tick
        if time is not None:
            if self.first is None or time >= self.latest:
                self.latest, self.length = time, length
            self.first = time if self.first is None else min(self.first, time)

    @property
    def end(self) -> Fraction:
        """When the last packet ends, in seconds: after as long as the rate says, if the container has rounded that."""
        duration = self.length * self.base
        return self.latest * self.base + (self.step if abs(duration - self.step) < self.base else duration)


class ClockSearch:
    """Finds the jumps of a file whose packets it is shown in their order.

    As FFmpeg has it: decode times that fall back, and in formats that allow it also those that run far ahead, begin
    another clock, which continues where the pictures ended; where that would lay sound over sound, after the sound.

    Args:
        container: the file.
        video: the stream of its pictures, which stay even where the clock changes.
        path: what errors call it.
    """

    def __init__(self, container: InputContainer, video: VideoStream, path: Path) -> None:
        self._allows_jumps = bool(container.format.flags & Flags.ts_discont.value)
        self._video, self._path = video.index, path
        self._timed = {
            stream.index
            for stream in container.streams
            if stream.type in ("video", "audio") and not stream.disposition & Disposition.attached_pic
        }
        self._shifts = [0.0]  # of every clock, roughly, from its first packet
        self._stretches: dict[int, list[_Stretch]] = {}
        self._counts: dict[int, int] = {}
        self._steps = {video.index: 1 / video.average_rate} if video.average_rate else {}
        self._latest: float | None = None  # decode time of the last packet of any stream, moved

    def add(self, packet: Packet) -> None:
        """Take in the next packet of the file.

        Raises:
            InputError: the clock jumps too often.
        """
        if is_last(packet):
            return
        index = packet.stream_index
        stretches = self._stretches.setdefault(index, [])
        section = self._section(packet, stretches[-1] if stretches else None)
        count = self._counts[index] = self._counts.get(index, -1) + 1
        if not stretches or stretches[-1].section != section:
            stretches.append(_Stretch(section, count, Fraction(packet.time_base), self._steps.get(index, Fraction(0))))
        stretches[-1].add(packet)
        if index in self._timed and stretches[-1].last is not None:
            self._latest = stretches[-1].last + self._shifts[section]
        if len(self._shifts) > MOST:
            raise InputError(f"{self._path}: its clock jumps more than {MOST:,} times; convert it to mp4 first")

    def _section(self, packet: Packet, current: _Stretch | None) -> int:
        """Return the number of the clock that a packet goes by; it may be a new one."""
        newest = len(self._shifts) - 1
        if packet.stream_index not in self._timed or packet.dts is None:
            return newest if packet.stream_index not in self._timed or current is None else current.section
        time = packet.dts * float(packet.time_base)
        if current is None:
            off = 0.0 if self._latest is None else time + self._shifts[newest] - self._latest
            return self._begin(time, self._latest or 0.0) if self._allows_jumps and abs(off) > AHEAD else newest
        if current.last is None:
            return current.section
        off = time - current.due
        moved = off + self._shifts[newest] - self._shifts[current.section]
        if current.section < newest and abs(moved) < abs(off):
            return newest
        if time + BACK < current.last or (self._allows_jumps and off > AHEAD):
            return self._begin(time, current.due + self._shifts[current.section])
        return current.section

    def _begin(self, time: float, due: float) -> int:
        self._shifts.append(due - time)
        return len(self._shifts) - 1

    @property
    def end(self) -> float:
        """When the last picture ends, in seconds of its own clock."""
        stretches = self._stretches.get(self._video, ())
        return max((float(stretch.end) for stretch in stretches), default=0.0)

    def jumps(self) -> tuple[Jump, ...]:
        """Return where the times of each stream are moved, once all packets were shown."""
        shifts, ends, jumps = [Fraction(0)], dict[int, Fraction](), []
        members: list[list[tuple[int, _Stretch]]] = [[] for _ in self._shifts]
        for index, stretches in self._stretches.items():
            for stretch in stretches:
                members[stretch.section].append((index, stretch))
        for section, stretches in enumerate(members):
            follows = {
                index: ends[index] - stretch.first * stretch.base
                for index, stretch in stretches
                if index in ends and index in self._timed and stretch.first is not None
            }
            if section:
                latest = max(follows.values(), default=Fraction(self._shifts[section]).limit_denominator(90_000))
                own = follows.get(self._video, latest)
                shifts.append(latest if latest - own > BACK else own)
            for index, stretch in stretches:
                if stretch.first is None:
                    continue
                begin, shift = stretch.first * stretch.base + shifts[section], shifts[section]
                if section:
                    jumps.append(Jump(index, stretch.packet, begin, shift))
                ends[index] = max(ends.get(index, begin), stretch.end + shift)
        return tuple(sorted(jumps))
