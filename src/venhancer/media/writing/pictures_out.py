"""Targets that are no container of packets: numbered pictures, one alone, and animated GIF and WebP.

Their segments are stored without loss; when all are there, `finish` makes the target of them, whole or not at all.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from venhancer.durable import written_whole
from venhancer.errors import InputError, JobFailed
from venhancer.media.colour import EXACT
from venhancer.media.source import failures_as
from venhancer.media.stills.numbering import has_one_place, label
from venhancer.media.writing.encoders import Encoding, open_options
from venhancer.media.writing.writing import Writing, add_video_stream, failing

STILL = (".png", ".tif", ".tiff")
GIF_TICK = Fraction(1, 100)  # seconds, in which a GIF counts
WEBP_TICK = Fraction(1, 1000)
FASTEST_GIF = 50  # frames a second; viewers slow faster ones down


def is_numbered(target: Path) -> bool:
    """Tell whether a target is a folder of numbered pictures, such as frames/%05d.png."""
    return target.suffix.lower() in STILL and "%" in target.name


def is_one_picture(target: Path) -> bool:
    """Tell whether a target is a single picture, such as out.png, which holds one frame."""
    return target.suffix.lower() in STILL and not is_numbered(target)


def unit_of(target: Path) -> Path:
    """Return what appears in one step: the folder of numbered pictures, else the file itself."""
    return target.parent if is_numbered(target) else target


def check_numbering(target: Path) -> None:
    """Raise unless a target of numbered pictures can be made.

    Raises:
        InputError: its name has no place for a number, or its folder holds something.
    """
    if not has_one_place(target.name):
        raise InputError(f"{target} has no number pattern; use a name like frames/%05d{target.suffix}")
    folder = target.parent
    if target.parent in (Path(), Path(target.anchor)):
        raise InputError(f"{target} needs a folder of its own; use a name like frames/{target.name}")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise InputError(f"{folder} exists and is not empty; numbered pictures need a new folder: choose another one")


def finish(result: Path, target: Path, segments: Sequence[Path], writing: Writing) -> Path:
    """Make a target of its segments, and return it; a failure leaves nothing at `result`.

    Args:
        result: written: a file, or a new folder of pictures named by `target`.
        target: what it will be called.
        segments: files of frames without loss, one after the other.
        writing: size, rate, codec, pixel format.

    Raises:
        ValueError: a single picture is to be made of several frames.
        JobFailed: a segment is damaged, or the result cannot be written.
    """
    if is_numbered(target):
        return _write_numbered(result, target.name, segments, writing.encoding)
    with failing(target), written_whole(result) as part:
        frames = _frames(segments)
        if is_one_picture(target):
            (frame,) = frames  # the caller has checked `is_one_picture`
            part.write_bytes(_picture(frame, writing.encoding, VideoReformatter()))
        elif target.suffix.lower() == ".gif":
            _write_gif(part, frames, writing)
        else:
            _write_webp(part, frames, writing)
    return result


def _write_numbered(folder: Path, name: str, segments: Sequence[Path], encoding: Encoding) -> Path:
    reformatter = VideoReformatter()
    with failing(folder):
        folder.mkdir()
        for number, frame in enumerate(_frames(segments), start=1):
            (folder / label(name, number)).write_bytes(_picture(frame, encoding, reformatter))
    return folder


def _picture(frame: VideoFrame, encoding: Encoding, reformatter: VideoReformatter) -> bytes:
    """Return a frame as the bytes of a picture file."""
    picture = _as(frame, encoding.pixel_format, reformatter)
    context = _open(encoding, picture)
    return b"".join(bytes(packet) for packet in chain(context.encode(picture), context.encode(None)))


def _write_webp(part: Path, frames: Iterable[VideoFrame], writing: Writing) -> None:
    encoding, reformatter = writing.encoding, VideoReformatter()
    with av.open(f"file:{part.absolute()}", "w", format="webp", container_options={"loop": "0"}) as output:
        options, _ = open_options(encoding)
        stream = add_video_stream(output, encoding.encoder, writing.rate, options)
        stream.width, stream.height, stream.pix_fmt = writing.width, writing.height, encoding.pixel_format
        stream.codec_context.time_base = WEBP_TICK
        number = 0
        for number, frame in enumerate(frames):
            picture = _as(frame, encoding.pixel_format, reformatter)
            picture.pts, picture.time_base = round(_time(number, writing) / WEBP_TICK), WEBP_TICK
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    _set_last_duration(part, *(round(_time(edge, writing) / WEBP_TICK) for edge in (number, number + 1)))


def _set_last_duration(path: Path, begin: int, end: int) -> None:
    """Let the last frame of an animated WebP be shown from `begin` to `end`; its encoder takes the average for it."""
    with path.open("r+b") as file:
        place, last, size = 12, 0, path.stat().st_size  # beyond RIFF, the size and WEBP
        while place < size:
            file.seek(place)
            name, length = file.read(4), int.from_bytes(file.read(4), "little")
            last = place if name == b"ANMF" else last
            place += 8 + length + length % 2
        if last:  # one frame alone is a still
            file.seek(last + 8 + 12)
            file.write((end - begin).to_bytes(3, "little"))


def _write_gif(part: Path, frames: Iterator[VideoFrame], writing: Writing) -> None:
    """Write frames with the 256 colours that suit each best."""
    first = next(frames)
    graph = _palettes(first)
    with av.open(f"file:{part.absolute()}", "w", format="gif", container_options={"loop": "0"}) as output:
        stream = output.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "pal8"
        stream.codec_context.time_base = GIF_TICK
        for number, frame in enumerate(chain([first], frames)):
            picture = frame.reformat(format="rgb24")
            picture.pts, picture.time_base = number, GIF_TICK
            graph.push(picture)
            reduced = graph.pull()
            assert isinstance(reduced, VideoFrame)
            begin, end = (round(_time(edge, writing) / GIF_TICK) for edge in (number, number + 1))
            reduced.pts, reduced.time_base = begin, GIF_TICK
            for packet in stream.encode(reduced):
                packet.duration = end - begin
                output.mux(packet)
        output.mux(stream.encode(None))


def _time(number: int, writing: Writing) -> Fraction:
    """Return when a frame is shown, in seconds from the first; of the number after the last, when that ends."""
    return number / writing.rate if writing.timestamps is None else writing.timestamps[number] * writing.time_base


def _palettes(like: VideoFrame) -> Graph:
    graph = Graph()
    kind = VideoFrame(2, 2, "rgb24").format
    source = graph.add_buffer(width=like.width, height=like.height, format=kind, time_base=GIF_TICK)
    split, generate = graph.add("split"), graph.add("palettegen", "stats_mode=single:reserve_transparent=0")
    use, sink = graph.add("paletteuse", "new=1:dither=sierra2_4a"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph


def _frames(segments: Sequence[Path]) -> Iterator[VideoFrame]:
    for path in segments:
        damaged = failures_as(JobFailed, f"{path} is damaged; remove it and run the command again")
        with damaged, av.open(f"file:{path.absolute()}", format="matroska") as container:
            yield from container.decode(video=0)


def _open(encoding: Encoding, picture: VideoFrame) -> VideoCodecContext:
    context = av.CodecContext.create(encoding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = picture.width, picture.height, encoding.pixel_format
    context.time_base, picture.time_base, picture.pts = Fraction(1), Fraction(1), 0
    context.options, context.thread_count = dict(encoding.traits.options), 1
    return context


def _as(frame: VideoFrame, pixel_format: str, reformatter: VideoReformatter) -> VideoFrame:
    return reformatter.reformat(
        frame,
        format=pixel_format,
        dst_colorspace=Colorspace.ITU601,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG if pixel_format.startswith("yuv") else ColorRange.JPEG,
        interpolation=EXACT,
    )
