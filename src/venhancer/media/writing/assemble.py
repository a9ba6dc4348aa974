"""Finished segments and the source's other tracks into one file.

Segments are files of pictures alone, each of which begins with a key frame and leans on no other. `assemble` takes
their packets as they are, gives every frame its exact time, and lays the sound and all else beside them; what stands
in memory is one packet of each track and the tables that the container itself needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from venhancer.durable import written_whole
from venhancer.errors import JobFailed
from venhancer.media.clip import ClipInfo
from venhancer.media.clock import Clock
from venhancer.media.source import failures_as, open_source
from venhancer.media.tracks import plan_tracks
from venhancer.media.writing.carry import carry_tracks, output_options, sound_starts
from venhancer.media.writing.writing import Span, Writing, failing, open_output

SEGMENT_SUFFIX = ".mkv"  # holds every codec with its parameters, colours and order of frames
EARLY = Fraction(1, 20)  # seconds: sound from longer before the first picture is more than an encoder's delay
FINE = 90_000  # ticks a second, for pictures that do not begin at 0
MADE_BY, COMMENT_END = "venhancer ", "\n"  # how our own comment begins, and what parts it from an earlier one
MOVIES = (".mp4", ".mov")
APPLE_TAGS = {"hevc": "hvc1"}  # without which Apple's players refuse the track


class _Order(NamedTuple):
    """The packets of one segment: frames in all, and the frame that each shows, in file order."""

    frames: int
    shows: list[int]

    @property
    def delay(self) -> int:
        """Frames by which decoding must run ahead of showing."""
        return max(place - frame for place, frame in enumerate(self.shows))


class _Clock(NamedTuple):
    """When frames are shown, in ticks of `base` seconds: `step` apart from `begin` on, or at `times`."""

    base: Fraction
    begin: int
    step: int
    times: Sequence[int] | None = None

    def ticks(self, frame: int) -> int:
        """Return the time of a frame; below 0 only decoding takes place."""
        if self.times is None or frame < 0:
            return self.begin + frame * self.step
        return self.begin + self.times[frame]


def assemble(
    target: Path,
    segments: Sequence[Path],
    writing: Writing,
    source: ClipInfo | None,
) -> Path:
    """Join `segments` and the other tracks of `source` to `target`, and return it; a failure leaves nothing.

    Args:
        target: .mp4, .mov, .mkv or .webm; replaced if it exists.
        segments: files that `write_segment` made, one after the other; each is read twice and left unchanged.
        writing: the rate, and the tags that are laid over those of the source.
        source: the clip whose tracks, tags and pixel shape the result keeps.

    Raises:
        ValueError: no segments.
        InputError: the source's sound is damaged, or the source is gone.
        JobFailed: a segment is damaged or made in another way than the first, or the target cannot be written.
    """
    if not segments:
        raise ValueError(f"there are no segments to make {target} from")
    suffix = target.suffix.lower()
    frames, delay = 0, 0
    for order in map(_order, segments):
        frames, delay = frames + order.frames, max(delay, order.delay)
    with written_whole(target, failing(target)) as part, ExitStack() as opened:
        span = writing.span or Span(Fraction(0) if source is None else source.start)
        plans = () if source is None else plan_tracks(source.tracks, suffix, slow=span.slow)
        container, starts = None, []
        clock = Clock(() if source is None else source.jumps)
        if source is not None and source.kind == "video":  # pictures hold no tracks
            container = opened.enter_context(open_source(source.path, known=source.identity))
            starts = sound_starts(container, plans, span.start, clock)
        lead = Fraction(0) if span.is_cut else max(Fraction(0), -min(starts, default=Fraction(0)))
        lead = lead if lead > EARLY else Fraction(0)
        options = output_options(suffix, plans, starts)
        output = opened.enter_context(open_output(part, target, **options))
        shown = _make_clock(writing, lead)
        video = _add_video(output, segments[0], writing, shown.base)
        others: Iterator[Packet] = iter(())
        if source is not None and container is not None:
            moved = span._replace(start=span.start - lead)
            others = carry_tracks(output, container, plans, path=source.path, suffix=suffix, span=moved, clock=clock)
        _add_tags(output, writing.metadata)
        pictures = _pictures(video, segments, shown, delay)
        if suffix in MOVIES:
            pictures = _to_the_end(pictures, shown.begin, shown.ticks(frames))
        for packet in merge(pictures, others, key=_seconds):
            with failing(target):
                output.mux(packet)
        opened.close()  # finishes the file before it is moved
    return target


def _add_tags(output: OutputContainer, tags: Mapping[str, str]) -> None:
    """Lay tags over those of the source; what a person wrote into its comment stays, before ours."""
    for name, value in tags.items():
        before = next((known for known in output.metadata if known.lower() == name.lower()), "")
        comment = output.metadata.pop(before, "")
        keeps = name == "comment" and comment and not comment.startswith(MADE_BY)
        output.metadata[name] = f"{comment.partition(COMMENT_END + MADE_BY)[0]}{COMMENT_END}{value}" if keeps else value


def _make_clock(writing: Writing, lead: Fraction) -> _Clock:
    """Return the clock of frames of which the first is shown after `lead` seconds."""
    if writing.timestamps is not None:
        base, times = writing.time_base, list(writing.timestamps)
        for frame in range(1, len(times)):  # two frames at one moment: the second a tick later
            times[frame] = max(times[frame], times[frame - 1] + 1)
        return _Clock(base, round(lead / base), 1, times)
    rate = writing.rate
    base = 1 / (rate if not lead else Fraction(rate.numerator * max(1, FINE // rate.numerator)))
    return _Clock(base, round(lead / base), int(1 / rate / base))


def _add_video(
    output: OutputContainer,
    segment: Path,
    writing: Writing,
    time_base: Fraction,
) -> VideoStream:
    with _open_segment(segment) as container:
        template = container.streams.video[0]
        stream = output.add_stream_from_template(template, opaque=True)
        stream.metadata.update(
            {name: value for name, value in template.metadata.items() if name.lower() == "alpha_mode"}
        )
        context = stream.codec_context
        name = template.codec_context.codec.canonical_name
        if f".{output.format.name}" in MOVIES:
            context.codec_tag = APPLE_TAGS.get(name, template.codec_context.codec_tag if name == "prores" else "\0" * 4)
    stream.time_base = time_base
    context.framerate = writing.rate
    context.sample_aspect_ratio = writing.sample_aspect_ratio
    return stream


def _pictures(stream: VideoStream, segments: Sequence[Path], clock: _Clock, delay: int) -> Iterator[Packet]:
    """Yield the packets of all segments with the times of their frames, decoded `delay` frames ahead."""
    first, parameters = 0, None
    for path in segments:
        order = _order(path)
        with _open_segment(path) as container:
            context = container.streams.video[0].codec_context
            encoding = (context.codec.name, context.width, context.height, context.extradata)
            if parameters not in (None, encoding):
                raise JobFailed(
                    f"{path} was encoded differently from {segments[0]}; remove both and run the command again"
                )
            parameters = encoding
            for place, packet in enumerate(_packets(container, path)):
                frame = first + order.shows[place]
                packet.pts, packet.dts = clock.ticks(frame), clock.ticks(first + place - delay)
                packet.duration = clock.ticks(frame + 1) - packet.pts
                packet.time_base, packet.stream = clock.base, stream
                yield packet
        first += order.frames


def _to_the_end(packets: Iterator[Packet], begin: int, end: int) -> Iterator[Packet]:
    """Yield packets of pictures that are shown from `begin` to `end`; the last one is decoded until the end.

    A movie knows how long pictures are decoded, one after the other, and takes the sum for its length.
    """
    held = next(packets)
    first = held.dts or 0
    for packet in packets:
        yield held
        held = packet
    ahead, shown, decoded = begin - first, held.pts or 0, held.dts or 0
    held.dts = max(decoded, shown - ahead)
    held.duration = end - ahead - held.dts
    yield held


def _order(path: Path) -> _Order:
    with _open_segment(path) as container:
        times, is_key = [], False
        for packet in _packets(container, path):
            is_key |= packet.is_keyframe and not times
            times.append(packet.pts)
    if not is_key or None in times or len(set(times)) < len(times):
        raise JobFailed(f"{path} does not start with a key frame; remove it and run the command again")
    place = {time: number for number, time in enumerate(sorted(times))}
    return _Order(len(times), [place[time] for time in times])


def _open_segment(path: Path) -> InputContainer:
    with failures_as(JobFailed, f"{path} cannot be read; remove it and run the command again"):
        return av.open(f"file:{path.absolute()}", format="matroska")


def _packets(container: InputContainer, path: Path) -> Iterator[Packet]:
    with failures_as(JobFailed, f"{path} is damaged; remove it and run the command again"):
        for packet in container.demux(video=0):
            if packet.size:
                yield packet


def _seconds(packet: Packet) -> Fraction:
    time = packet.pts if packet.dts is None else packet.dts
    return (time or 0) * packet.time_base
