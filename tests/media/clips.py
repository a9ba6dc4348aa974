"""Tiny real clips, made with PyAV: every picture tells its own number, so that a test knows which it was given."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.subtitles.stream import SubtitleStream
from av.subtitles.subtitle import SubtitleSet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
SWSCALE = {1: Colorspace.ITU709, 6: Colorspace.ITU601, 9: Colorspace.BT2020, 2: Colorspace.ITU601}
QUIET = {"libx265": {"x265-params": "log-level=none"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}
BITS = 8
ASS = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name, Fontname, Fontsize, PrimaryColour, "
    b"SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, "
    b"BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\r\nStyle: Default,Arial,16,&Hffffff,"
    b"&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, "
    b"Name, MarginL, MarginR, MarginV, Effect, Text\r\n"
)
"""The head of subtitles, which their encoders ask for."""


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Return frame `number`: a moving coloured slope, with the number as black and white blocks along the top."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 160 * ((x + 2 * number) % width) / width
    green = 40 + 160 * y / height
    blue = np.full_like(red, 60 + 10 * (number % 12))
    rgb = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        rgb[: height // 4, left:right] = 255 if number >> bit & 1 else 0
    return rgb


def number_of(rgb: np.ndarray) -> int:
    """Read the number back out of a picture."""
    width, height = rgb.shape[1], rgb.shape[0]
    blocks = [
        rgb[height // 16 : height // 8, bit * width // BITS + 2 : (bit + 1) * width // BITS - 2].mean() > 127
        for bit in range(BITS)
    ]
    return sum(int(on) << bit for bit, on in enumerate(blocks))


def make_clip(
    path: Path,
    *,
    width: int = 64,
    height: int = 48,
    rate: Fraction | int = 24,
    frames: int = 12,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    matrix: int = 2,
    full_range: bool | None = None,
    primaries: int = 2,
    transfer: int = 2,
    aspect: Fraction | None = None,
    rotation: int = 0,
    sound: str | None = None,
    sound_rate: int = 48000,
    sound_delay: Fraction = Fraction(0),
    tracks: int = 1,
    subtitles: int = 0,
    metadata: Mapping[str, str] | None = None,
    pictures: Iterable[np.ndarray] | None = None,
) -> Path:
    """Write a clip and return its path.

    Args:
        path: the extension decides the container.
        times: one timestamp a frame in units of `time_base`, 1 / rate if not given.
        matrix: number of the colour matrix in H.273 (2: untagged); likewise `primaries` and `transfer`.
        full_range: None leaves the range untagged, and means limited.
        sound: an audio encoder; a tone as long as the pictures, twice as many tracks with `tracks=2`.
        sound_delay: seconds by which the sound begins after the pictures.
        subtitles: how many one-line subtitle tracks, in .mkv only.
        pictures: frames instead of `picture(0)`, `picture(1)`, ...
    """
    rate, base = Fraction(rate), time_base or 1 / Fraction(rate)
    with av.open(f"file:{path.absolute()}", "w", container_options=dict(container_options or {})) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=rate, options={"g": "6", **QUIET.get(codec, {}), **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        context = stream.codec_context
        context.thread_count = 1  # the same bytes on any machine
        context.time_base, context.colorspace = base, matrix
        context.color_primaries, context.color_trc = primaries, transfer
        if full_range is not None:
            context.color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
        if aspect:
            context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        tones = [output.add_stream(sound, rate=sound_rate) for _ in range(tracks)] if sound else []
        for tone in tones:
            tone.layout = "stereo"
        texts = [output.add_mux_stream("subrip") for _ in range(subtitles)]
        shown = pictures if pictures is not None else (picture(n, width, height) for n in range(frames))
        is_full = bool(full_range) or pixel_format.startswith("yuvj")
        count = 0
        for rgb in shown:
            frame = VideoFrame.from_ndarray(rgb, "rgb24").reformat(
                format=pixel_format,
                src_colorspace=SWSCALE[matrix],
                dst_colorspace=SWSCALE[matrix],
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.JPEG if is_full else ColorRange.MPEG,
                interpolation=EXACT,
            )
            frame.pts, frame.time_base = count if times is None else times[count], base
            output.mux(map(timed, stream.encode(frame)))
            count += 1
        output.start_encoding()
        output.mux(map(timed, stream.encode(None) if count else []))
        for tone in tones:
            length = int(count / rate * sound_rate)
            for frame in tone_frames(length, sound_rate, int(sound_delay * sound_rate)):
                output.mux(tone.encode(frame))
            output.mux(tone.encode(None))
        for text in texts:
            line = av.Packet(b"Hello")
            line.stream, line.time_base, line.pts, line.dts, line.duration = text, Fraction(1, 1000), 0, 0, 100
            output.mux(line)
    return path


def timed(packet: av.Packet) -> av.Packet:
    """Return a packet that can be written: of one frame or two, x265 gives decode times out of memory it never set."""
    if packet.dts is None or not 0 <= packet.pts - packet.dts < 1 << 14:
        packet.dts = packet.pts
    return packet


def tone_frames(samples: int, rate: int, delay: int) -> Iterable[av.AudioFrame]:
    wave = (8000 * np.sin(2 * np.pi * 440 / rate * np.arange(samples))).astype(np.int16)
    for begin in range(0, samples, 1024):
        part = wave[begin : begin + 1024]
        frame = av.AudioFrame.from_ndarray(np.repeat(part, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin + delay
        yield frame


def write_line(output: OutputContainer, text: SubtitleStream, line: str, start: int, end: int) -> None:
    """Write a line of subtitles that is shown between two times in milliseconds."""
    subtitle = SubtitleSet.create(f"0,0,Default,,0,0,0,,{line}".encode(), 0, end - start, pts=start)
    packet = text.codec_context.encode_subtitle(subtitle)
    packet.pts = packet.dts = start
    packet.duration, packet.time_base, packet.stream = end - start, Fraction(1, 1000), text
    output.mux(packet)


def remuxed(source: Path, target: Path) -> Path:
    """Copy all tracks and chapters into a file of another kind, and return it."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        output.set_chapters(given.chapters())
        tracks = [stream for stream in given.streams if stream.type != "data"]
        streams = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in tracks}
        for packet in given.demux(*tracks):
            if packet.size:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    return target


def packets_of(path: Path, kind: str) -> list[bytes]:
    """Return the bytes of every packet of the first stream of `kind`."""
    with av.open(f"file:{path.absolute()}") as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]
