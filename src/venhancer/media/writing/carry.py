"""The source's other tracks, chapters and tags into an output, according to their plan.

Every time is moved to the output's clock exactly: what was heard with a picture is heard with it again, whatever edit
lists, encoder delays or late starts the source has.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Discard, Disposition, Stream
from av.subtitles.stream import SubtitleStream

from venhancer.errors import InputError
from venhancer.media.clock import Clock
from venhancer.media.containers import CONTAINERS, ILST_TAGS, Container, told_language
from venhancer.media.source import failures_as, open_source
from venhancer.media.tracks import FILE_TAGS, TrackPlan
from venhancer.media.writing.sound import EncodedSound
from venhancer.media.writing.subtitles import ConvertedText
from venhancer.media.writing.writing import Span

logger = logging.getLogger(__name__)

PREROLL = Fraction(1, 10)  # seconds of sound that a decoder hears before it is right
FINE_TICKS = "90000"  # a second, for tracks that do not begin together; the usual 1,000 would round their starts
HANDLERS = {"VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler"}  # what programs write for want of a name


class Copied:
    """A track whose packets go over as they are, at their moved times."""

    def __init__(self, source: Stream, target: Stream, span: Span, *, preroll: Fraction, jumps: bool) -> None:
        self.source, self.target, self.span = source, target, span
        self.preroll = preroll if source.type == "audio" else Fraction(0)
        self.last: Fraction | None = None
        self.end = self.filled = span.start
        self.is_joined = jumps and source.type == "audio"
        self.moved_up = 0

    def feed(self, packet: Packet) -> Iterator[Packet]:
        """Yield the packet if its time is inside the span."""
        base = packet.time_base
        known = packet.pts if packet.pts is not None else packet.dts
        time = self.end if known is None else known * base
        length = (packet.duration or 0) * base
        self.end = time + length
        if self.source.disposition & Disposition.attached_pic:
            packet.pts = packet.dts = 0
            packet.stream = self.target
            yield packet
            return
        span = self.span
        if span.end is not None and time >= span.end:
            return
        if span.is_cut and (self.end <= span.start - self.preroll if self.preroll else time < span.start):
            if self.source.type != "subtitle" or self.end <= span.start:
                return
            length, time = self.end - span.start, span.start  # a line of text that is shown across the cut
        if span.end is not None and time + length > span.end:
            length = span.end - time
        if self.is_joined and time + length / 2 < self.filled:
            return  # it lies over other sound, where two recordings meet
        self.filled = max(self.filled, time + length)
        shift = (packet.pts - packet.dts) if packet.pts is not None and packet.dts is not None else 0
        packet.pts = round(span.moved(time) / base)
        packet.dts = packet.pts - shift
        packet.duration = max(round(length * span.slow / base), 1 if packet.duration else 0)
        if self.last is not None and packet.dts * base < self.last:
            packet.dts = round(self.last / base)
            packet.pts = max(packet.pts, packet.dts)
            self.moved_up += 1
        self.last = packet.dts * base
        packet.stream = self.target
        yield packet

    def finish(self) -> Iterator[Packet]:
        """Yield nothing; warn of packets that ran backwards in time."""
        if self.moved_up:
            logger.warning("stream %d: %d packets ran backwards in time", self.source.index, self.moved_up)
        yield from ()


Carrier = Copied | EncodedSound | ConvertedText


def sound_starts(
    container: InputContainer, plans: Sequence[TrackPlan], start: Fraction, clock: Clock
) -> list[Fraction]:
    """Return when each kept sound track begins, in seconds from `start`; below 0 is before it."""
    indices = {plan.track.index for plan in plans if plan.is_kept and plan.track.kind == "audio"}
    return [
        stream.start_time * stream.time_base + clock.shift_at_start(stream.index) - start
        for stream in container.streams.audio
        if stream.index in indices and stream.start_time is not None and stream.time_base
    ]


def output_options(suffix: str, plans: Sequence[TrackPlan] = (), starts: Sequence[Fraction] = ()) -> dict[str, str]:
    """Return the options of an output that is to hold all that is planned, its sound beginning at `starts`."""
    if suffix not in (".mp4", ".mov"):
        return {}
    has_cover = any(plan.is_kept and plan.track.kind == "cover" for plan in plans)
    options = {"movflags": "+faststart" if has_cover else "+faststart+use_metadata_tags"}
    return options | ({"movie_timescale": FINE_TICKS} if any(starts) else {})


def carry_tracks(
    output: OutputContainer,
    source: InputContainer,
    plans: Sequence[TrackPlan],
    *,
    path: Path,
    suffix: str,
    span: Span,
    clock: Clock,
) -> Iterator[Packet]:
    """Return the packets of all tracks kept, in the source's order; streams, chapters and tags are added at once.

    Args:
        output: gets one stream a track.
        source: is read through once.
        plans: what becomes of each track; see `plan_tracks`.
        path: of the source.
        suffix: of the target.
        span: which stretch of the source, and how its times are moved.
        clock: of the source.

    Raises:
        InputError: the source is damaged, or changed since it was planned.
    """
    container = CONTAINERS[suffix]
    carriers: dict[int, Carrier] = {}
    for plan in plans:
        if plan.track.kind == "chapters":
            output.set_chapters(list(_chapters(source, span)))
        elif plan.track.kind == "tags":
            output.metadata.update(_tags(source.metadata, suffix))
        elif plan.is_kept:
            if plan.track.index >= len(source.streams):
                raise InputError(f"{path} has lost a track since it was inspected; run the same command again")
            carrier = _add_track(
                output,
                source.streams[plan.track.index],
                plan,
                path=path,
                container=container,
                span=span,
                jumps=clock.jumps,
            )
            if carrier is not None:
                carriers[plan.track.index] = carrier
    return _carry(source, path, carriers, clock) if carriers else iter(())


def _carry(source: InputContainer, path: Path, carriers: Mapping[int, Carrier], clock: Clock) -> Iterator[Packet]:
    wanted = [stream for stream in source.streams if stream.index in carriers]
    for stream in source.streams:
        if stream.index not in carriers:
            stream.discard = Discard.all
    with failures_as(InputError, f"{path} cannot be read to its end; copy it again or cut it before that point"):
        for packet in clock.moved(source.demux(*wanted)):
            if packet.size:
                yield from carriers[packet.stream_index].feed(packet)
    for carrier in carriers.values():
        yield from carrier.finish()


def _add_track(
    output: OutputContainer,
    stream: Stream,
    plan: TrackPlan,
    *,
    path: Path,
    container: Container,
    span: Span,
    jumps: bool,
) -> Carrier | None:
    """Add a stream for a track and return what fills it, None if nothing is left to do."""
    if isinstance(stream, AttachmentStream):
        output.add_attachment(stream.name or "attachment", stream.mimetype or "application/octet-stream", stream.data)
        return None
    if plan.track.kind == "cover" and container.attachments:
        kind = {"mjpeg": "jpeg", "bmp": "x-ms-bmp"}.get(plan.codec, plan.codec)
        name = stream.metadata.get("filename") or f"cover.{'jpg' if kind == 'jpeg' else plan.codec}"
        output.add_attachment(name, f"image/{kind}", _first_packet(path, stream.index))
        return None
    is_sound = plan.track.kind == "audio"
    if plan.action == "encoded" and isinstance(stream, AudioStream):
        carrier = EncodedSound(output, stream, plan.codec, span, f"{path}")
    elif plan.action == "converted" and isinstance(stream, SubtitleStream):
        carrier = ConvertedText(output, stream, plan.codec, span, f"{path}")
    else:
        preroll = PREROLL if container.name in ("mp4", "mov") else Fraction(0)
        carrier = Copied(
            stream, output.add_stream_from_template(stream, opaque=True), span, preroll=preroll, jumps=jumps
        )
    added = carrier.target
    flags = container.sound_flags if is_sound else container.subtitle_flags
    dispositions = [Disposition[flag] for flag in plan.track.flags if flag in flags or flag == "attached_pic"]
    added.disposition = Disposition(sum(dispositions))
    added.metadata.update(_stream_tags(stream, plan, container))
    return carrier


def _first_packet(path: Path, index: int) -> bytes:
    with open_source(path) as container:
        return next((bytes(packet) for packet in container.demux(container.streams[index]) if packet.size), b"")


def _chapters(source: InputContainer, span: Span) -> Iterator[Any]:  # PyAV names their type for checkers only
    for chapter in source.chapters():
        base = chapter["time_base"] or Fraction(1)
        start, end = (span.moved(chapter[edge] * base) for edge in ("start", "end"))
        last = None if span.end is None else span.moved(span.end)
        if end > 0 and (last is None or start < last):
            start, end = max(start, Fraction(0)), end if last is None else min(end, last)
            times = {"start": round(start * 1_000_000), "end": round(end * 1_000_000)}
            yield {**chapter, **times, "time_base": Fraction(1, 1_000_000)}


def _tags(tags: Mapping[str, str], suffix: str) -> dict[str, str]:
    """Return a file's tags by the names that the target's readers look for."""
    other_tags = {name: value for name, value in tags.items() if name.lower() not in FILE_TAGS}
    if suffix not in (".mp4", ".mov"):
        return other_tags
    return {name.lower() if name.lower() in ILST_TAGS else name: value for name, value in other_tags.items()}


def _stream_tags(stream: Stream, plan: TrackPlan, container: Container) -> dict[str, str]:
    tags = {"title": plan.track.title, "language": told_language(plan.track.language, container)}
    handler = stream.metadata.get("handler_name", "")
    if container.name in ("mp4", "mov") and handler not in HANDLERS:
        tags["handler_name"] = handler
    return {name: value for name, value in tags.items() if value}
