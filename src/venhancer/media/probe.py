"""What a clip is, known before any work starts.

`probe` opens the file, counts its frames, believes its rate only after looking at the timestamps, and lists what the
output will not carry; the plan is made from its answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc
from av.video.stream import VideoStream

from venhancer.errors import InputError
from venhancer.media.source import Packets, decode, open_source, read_packets, video_stream
from venhancer.media.timing import find_rate

MAX_SIDE = 16384
HD_LINES = 720  # untagged video of at least so many lines is bt709, below it is bt601
UNSPECIFIED = 2  # the same number in all of ITU-T H.273's tables
RGB = 0
MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020"}  # ITU-T H.273, table 4
PRIMARIES = {"bt601": ColorPrimaries.SMPTE170M, "bt709": ColorPrimaries.BT709, "bt2020": ColorPrimaries.BT2020}
TRANSFERS = {"bt601": ColorTrc.SMPTE170M, "bt709": ColorTrc.BT709, "bt2020": ColorTrc.BT2020_10}
SAME_CURVE = {UNSPECIFIED, ColorTrc.BT709, ColorTrc.SMPTE170M, ColorTrc.BT2020_10, ColorTrc.BT2020_12}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInfo:
    """One video file: size as stored, exact frame count and rate, colour, and what is lost on the way.

    Attributes:
        frames: exact number of frames that decode.
        rate: frames per second; the average if the timing varies.
        duration: seconds, `frames / rate`.
        color_matrix: bt601, bt709 or bt2020.
        full_range: whether 0..255 is used instead of 16..235.
        not_kept: what the output will not carry, in words for one line of warning.
        start: seconds at which the first frame is shown on the file's clock, which the sound shares.
        rotation: degrees anticlockwise by which a player turns the stored picture.
        audio_codec: of the first sound track, empty if there is none.
    """

    path: Path
    width: int
    height: int
    frames: int
    rate: Fraction
    duration: Fraction
    codec: str
    pixel_format: str
    color_matrix: str
    full_range: bool
    sample_aspect_ratio: Fraction
    has_audio: bool
    not_kept: tuple[str, ...]
    start: Fraction = Fraction(0)
    rotation: int = 0
    audio_codec: str = ""


def describe_frames(frames: int, height: int, width: int, rate: Fraction) -> ClipInfo:
    """Return the description of frames that are in memory: RGB, square pixels, no sound."""
    return ClipInfo(
        path=Path("frames in memory"),
        width=width,
        height=height,
        frames=frames,
        rate=rate,
        duration=frames / rate,
        codec="none",
        pixel_format="rgb24",
        color_matrix="bt709",
        full_range=True,
        sample_aspect_ratio=Fraction(1),
        has_audio=False,
        not_kept=(),
    )


def probe(path: Path) -> ClipInfo:
    """Return what the clip at `path` is.

    Reads the whole file; where packets are not frames one to one (avi, mpeg, ts, gif and some codecs) it decodes it.

    Raises:
        InputError: no readable, whole video file of at least one frame, or above 16384x16384.
    """
    with open_source(path) as container:
        stream = video_stream(container, path)
        if stream.width * stream.height > MAX_SIDE**2:
            size = f"{stream.width}x{stream.height}"
            raise InputError(f"{path} is {size}; the largest is {MAX_SIDE}x{MAX_SIDE}: scale it down first")
        with open_source(path) as again:
            frame = next(decode(again, video_stream(again, path), path), None)
        if frame is None:
            raise InputError(f"{path} holds no frame that can be decoded; give a clip of one frame or more")
        packets = read_packets(container, stream, path)
        shown = _shown_frames(packets, path)
        lost = int(packets.is_shown.sum()) - len(shown) if packets.hold_frames else 0
        time_base = stream.time_base or Fraction(1)
        declared = [rate for rate in (stream.average_rate, stream.base_rate, stream.guessed_rate) if rate]
        found = find_rate([time for time, _ in shown], time_base, shown[-1][1], declared)
        if found is None:
            raise InputError(f"{path} tells no frame rate; convert it to mp4 with a rate first")
        audio = next((track for track in container.streams.audio if track.codec_context is not None), None)
        matrix = _color_matrix(stream, frame, path)
        return ClipInfo(
            path=path,
            width=frame.width,
            height=frame.height,
            frames=len(shown),
            rate=found.rate,
            duration=len(shown) / found.rate,
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            color_matrix=matrix,
            full_range=_is_full_range(frame),
            sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
            has_audio=audio is not None,
            not_kept=(
                *_tracks_not_kept(container),
                *([f"frames that do not decode ({lost})"] if lost > 0 else []),
                *_pictures_not_kept(stream, frame, matrix, found.is_constant),
            ),
            start=shown[0][0] * time_base,
            rotation=frame.rotation,
            audio_codec=audio.codec_context.codec.canonical_name if audio else "",
        )


def _shown_frames(packets: Packets, path: Path) -> list[tuple[int, int]]:
    """Return time and duration of every frame in order of showing, from the packets if they tell, else by decoding."""
    if packets.are_frames:
        order = np.argsort(packets.times[packets.is_shown])
        times, durations = (field[packets.is_shown][order] for field in (packets.times, packets.durations))
        return list(zip(times.tolist(), durations.tolist(), strict=True))
    with open_source(path) as container:
        frames = [(frame.pts, frame.duration) for frame in decode(container, video_stream(container, path), path)]
    if any(time is None for time, _ in frames):
        raise InputError(f"{path} has frames without a time; convert it to mp4 first")
    return sorted((time, duration) for time, duration in frames if time is not None)


def _color_matrix(stream: VideoStream, frame: VideoFrame, path: Path) -> str:
    tag = frame.colorspace if frame.colorspace != UNSPECIFIED else stream.codec_context.colorspace
    if tag in (UNSPECIFIED, RGB) or frame.format.is_rgb:
        return "bt709" if frame.height >= HD_LINES else "bt601"
    if tag not in MATRICES:
        raise InputError(f"{path} uses colour matrix {tag} of H.273; only bt601, bt709 and bt2020 are read: convert it")
    return MATRICES[tag]


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def _tracks_not_kept(container: InputContainer) -> Iterator[str]:
    """Yield the tracks beside the first video and the first sound, by kind."""
    streams = container.streams
    usable_audio = sum(track.codec_context is not None for track in streams.audio)
    counts = {
        "video": len(streams.video) - 1,
        "audio": len(streams.audio) - min(usable_audio, 1),
        "subtitle": len(streams.subtitles),
        "data": len(streams.data),
        "attachment": len(streams.attachments),
        "chapter": len(container.chapters()),
    }
    names = {"video": "other video or cover picture", "audio": "other sound track", "data": "data track"}
    for kind, count in counts.items():
        if count:
            yield f"{names.get(kind, kind)}{'s' if count > 1 else ''} ({count})"


def _pictures_not_kept(stream: VideoStream, frame: VideoFrame, matrix: str, is_constant: bool) -> Iterator[str]:
    """Yield what 8-bit progressive frames at one rate, in the usual colours of their matrix, cannot hold."""
    context = stream.codec_context
    depth = max(component.bits for component in frame.format.components)
    if not is_constant:
        yield "variable frame timing"
    if depth > 8:
        yield f"{depth}-bit depth"
    if frame.interlaced_frame:
        yield "interlacing"
    if context.color_primaries not in (UNSPECIFIED, PRIMARIES[matrix]):
        yield f"colour primaries {context.color_primaries} of H.273"
    if context.color_trc not in SAME_CURVE:
        yield f"transfer curve {context.color_trc} of H.273"
    if any(component.is_alpha for component in frame.format.components):
        alpha = frame.reformat(format="rgba").to_ndarray()[..., 3]
        if alpha.min() < 255:
            yield "transparency"
