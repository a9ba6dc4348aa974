"""Subtitles of one text format in another.

Some containers show one line at a time: lines that overlap are joined for as long as they do, so that none is lost.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from av.container import OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from venhancer.media.writing.writing import Span

logger = logging.getLogger(__name__)

MILLISECOND = Fraction(1, 1000)
UNKNOWN_LENGTH = 5000  # milliseconds for a line that does not say how long it stands
FIELDS_BEFORE_TEXT = 8  # of a line in ASS: order, layer, style, name, three margins, effect


class _Line(NamedTuple):
    """A line of text: from when to when, in milliseconds of the output, and the text in ASS."""

    start: int
    end: int
    text: str


class ConvertedText:
    """One track of subtitles, decoded and encoded in another text format.

    Args:
        output: gets a stream, `target`.
        source: the track.
        codec: mov_text, subrip or webvtt.
        span: which stretch of the source, and how its times are moved.
        name: of the source, for warnings.
    """

    def __init__(self, output: OutputContainer, source: SubtitleStream, codec: str, span: Span, name: str) -> None:
        self.source, self.span, self.name = source, span, name
        source.codec_context.open(strict=False)  # which makes the header that the encoder needs
        target = output.add_stream(codec)
        assert isinstance(target, SubtitleStream)
        self.target = target
        self.target.codec_context.subtitle_header = source.codec_context.subtitle_header
        self.standing: list[_Line] = []
        self.shown_until = 0
        self.damaged = 0

    def feed(self, packet: Packet) -> Iterator[Packet]:
        """Yield the lines that are over before the packet's line begins."""
        begin = packet.pts if packet.pts is not None else packet.dts
        try:
            events = self.source.codec_context.decode2(packet)
        except FFmpegError:
            events = None
            self.damaged += 1
        if events is None or begin is None:
            return
        seconds = begin * packet.time_base
        length = (packet.duration or 0) * packet.time_base or events.end_display_time * MILLISECOND
        start = self._moved(seconds)
        end = self._moved(seconds + length) if length else start + UNKNOWN_LENGTH
        if self.span.end is not None:
            end = min(end, self._moved(self.span.end))
        for line in events:
            if isinstance(line, AssSubtitle) and end > max(start, 0):
                text = line.ass.decode("utf-8", "replace").split(",", FIELDS_BEFORE_TEXT)[-1]
                yield from self._show_until(max(start, 0))
                self.standing.append(_Line(max(start, 0), end, text))

    def finish(self) -> Iterator[Packet]:
        """Yield the remaining lines, and warn of undecodable ones."""
        yield from self._show_until(max((line.end for line in self.standing), default=0))
        if self.damaged:
            logger.warning(
                "%s: %d lines of subtitle track %d do not decode", self.name, self.damaged, self.source.index
            )

    def _moved(self, seconds: Fraction) -> int:
        return round(self.span.moved(seconds) / MILLISECOND)

    def _show_until(self, time: int) -> Iterator[Packet]:
        """Yield the lines before `time`, joined where they overlap."""
        while self.standing and self.shown_until < time:
            start = max(self.shown_until, min(line.start for line in self.standing))
            end = min(line.end for line in self.standing)
            if start < min(end, time):
                yield self._encode(start, min(end, time), [line.text for line in self.standing])
            self.shown_until = min(end, time)
            self.standing = [line for line in self.standing if line.end > self.shown_until]

    def _encode(self, start: int, end: int, texts: list[str]) -> Packet:
        dialogue = "0,0,Default,,0,0,0,," + r"\N".join(texts)
        subtitle = SubtitleSet.create(dialogue.encode(), 0, end - start, pts=start)
        packet = self.target.codec_context.encode_subtitle(subtitle)
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = end - start, MILLISECOND, self.target
        return packet
