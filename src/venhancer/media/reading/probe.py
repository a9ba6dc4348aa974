"""What a clip is, known before any work starts.

`probe` opens the file, counts its frames, believes its rate only after looking at the timestamps, and lists what the
output will not carry; the plan is made from its answer.
"""

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.colour import MATRICES, UNSPECIFIED, matrix_of_size
from venhancer.media.limits import read_limits
from venhancer.media.opacity import UNUSED, is_clear, shows_through
from venhancer.media.orientation import NO_BORDER, orientation_of
from venhancer.media.reading.credentials import has_credentials
from venhancer.media.reading.dynamic_range import describe_stream, light_not_kept
from venhancer.media.reading.presentation import presentation_of
from venhancer.media.source import (
    MOV,
    Packets,
    decode,
    identity_of,
    open_source,
    read_packets,
    video_stream,
)
from venhancer.media.stills.numbering import is_pattern, refuse_unread
from venhancer.media.stills.picture_clip import probe_pictures
from venhancer.media.stills.still import is_picture
from venhancer.media.timing import Timing, find_timing
from venhancer.media.tracks import TRIED, describe_tracks, try_tracks
from venhancer.settings import AnyPath

RGB = 0
CAPTIONED = 8  # frames within which captions show, if there are some; broadcasters send them with every frame
PROGRESSIVE = 1  # libav's order of fields; 0 is unknown, above are the four of interlaced pictures


def probe(path: AnyPath) -> ClipInfo:
    """Return what the clip at `path` is: a video, a picture, an animation, or numbered pictures by their pattern.

    Reads the whole file; where packets are not frames one to one (avi, mpeg, ts, gif and some codecs) it decodes it.

    Raises:
        InputError: no readable, whole file of at least one frame, or more than the limits allow.
    """
    return with_sound(probe_film(Path(path)))


def with_sound(clip: ClipInfo) -> ClipInfo:
    """Return a clip with what only decoders tell of its sound and subtitles.

    Raises:
        InputError: the file changed, or cannot be read any more.
    """
    if not any(track.kind in TRIED for track in clip.tracks):
        return clip
    with open_source(clip.path, known=clip.identity) as container:
        return replace(clip, tracks=try_tracks(container, clip.tracks))


def probe_film(path: Path) -> ClipInfo:
    """Return the same as `probe`, but of sound and subtitles what the header says: none of their decoders runs.

    Raises:
        InputError: see `probe`.
    """
    refuse_unread(path)
    if is_pattern(path) or is_picture(path):
        return probe_pictures(path)
    identity = identity_of(path)
    with open_source(path, known=identity) as container:
        stream = video_stream(container, path)
        described = describe_stream(container, stream.index)
        border, chroma_location = presentation_of(described, stream.format)
        with open_source(path, known=identity) as again:
            frame, has_captions = _look_at(decode(again, video_stream(again, path), path))
        if frame is None:
            raise InputError(f"{path} holds no frame that can be decoded; give a clip of one frame or more")
        packets = read_packets(container, stream, path)
        shown = _shown_frames(packets, stream, path)
        lost = int(packets.is_shown.sum()) - len(shown.times) if packets.hold_frames else 0
        timing = _find_timing(shown, stream, path)
        read_limits().check_length(timing.frames, float(timing.duration), path)
        audio = next((track for track in container.streams.audio if track.codec_context is not None), None)
        matrix = _color_matrix(stream, frame, path)
        codec = stream.codec_context.codec.canonical_name
        is_unused = codec in UNUSED.split() and is_clear(frame) and _is_clear_throughout(path)
        orientation = orientation_of(frame, path)
        width, height = frame.width - border.left - border.right, frame.height - border.above - border.below
        if min(width, height) < 1:
            raise InputError(f"{path} hides all of its {frame.width}x{frame.height} pictures; remove its cropping")
        aspect = stream.sample_aspect_ratio or Fraction(1)
        if border != NO_BORDER and aspect == Fraction(frame.height * width, frame.width * height):
            aspect = Fraction(1)  # libav divided the size a movie is shown at by that of its whole pictures
        if orientation.is_transposed:
            width, height, aspect = height, width, 1 / aspect
        return ClipInfo(
            path=path,
            width=width,
            height=height,
            codec=codec,
            pixel_format=frame.format.name,
            color_matrix=matrix,
            full_range=_is_full_range(frame),
            sample_aspect_ratio=aspect,
            has_audio=audio is not None,
            not_kept=(
                *([f"frames that do not decode ({lost})"] if lost > 0 else []),
                *light_not_kept(described, frame, path),
                *(["closed captions within the pictures"] if has_captions else []),
                *(["content credentials (C2PA)"] if container.format.name == MOV and has_credentials(path) else []),
                *(["variable frame timing"] if timing.timestamps else []),
            ),
            border=border,
            orientation=orientation,
            audio_codec=audio.codec_context.codec.canonical_name if audio else "",
            tracks=describe_tracks(container),
            is_interlaced=shown.are_interlaced
            or frame.interlaced_frame
            or stream.codec_context.field_order > PROGRESSIVE,
            identity=identity,
            **asdict(timing),
            depth=_depth(frame),
            color_primaries=_tag(frame.color_primaries, stream.codec_context.color_primaries),
            color_transfer=_tag(frame.color_trc, stream.codec_context.color_trc),
            chroma_location=chroma_location,
            has_alpha=shows_through(frame) and not is_unused,
            opacity_is_unused=is_unused,
        )


@dataclass(frozen=True, slots=True)
class _Shown:
    """All frames in order of showing: their times, how long the last one lasts, and whether any is interlaced."""

    times: list[int]
    last_duration: int
    are_interlaced: bool


def _shown_frames(packets: Packets, stream: VideoStream, path: Path) -> _Shown:
    """Return what is known of every frame, from the packets if they tell, else by decoding."""
    if packets.are_frames:
        times, durations = packets.times[packets.is_shown], packets.durations[packets.is_shown]
        newest = int(np.argmax(times))
        last = int(durations[newest])
        if stream.container.format.name == MOV:  # its durations are from packet to packet; the sum of them is right
            last = _end_of(stream) - int(times[newest])
            last = last if last > 0 else int(durations[-1])
        return _Shown(np.sort(times).tolist(), last, are_interlaced=False)
    times, durations, are_interlaced = array("q"), array("q"), False
    with open_source(path) as container:
        for frame in decode(container, video_stream(container, path), path):
            if frame.pts is None:
                raise InputError(f"{path} has frames without a time; convert it to mp4 first")
            times.append(frame.pts)
            durations.append(frame.duration)
            are_interlaced |= frame.interlaced_frame
    return _Shown(sorted(times), durations[times.index(max(times))], are_interlaced)


def _end_of(stream: VideoStream) -> int:
    """Return when a stream says it ends, in its time base; 0 if it does not."""
    return (stream.start_time or 0) + stream.duration if stream.duration else 0


def _find_timing(shown: _Shown, stream: VideoStream, path: Path) -> Timing:
    declared = [rate for rate in (stream.average_rate, stream.base_rate, stream.guessed_rate) if rate]
    declared = [] if stream.container.format.name == "gif" else declared  # where they are guessed from its clock
    return find_timing(shown.times, stream.time_base or Fraction(1), shown.last_duration, declared, path)


def _color_matrix(stream: VideoStream, frame: VideoFrame, path: Path) -> str:
    tag = frame.colorspace if frame.colorspace != UNSPECIFIED else stream.codec_context.colorspace
    if tag in (UNSPECIFIED, RGB) or frame.format.is_rgb:
        return matrix_of_size(frame.height)
    if tag not in MATRICES:
        raise InputError(f"{path} uses colour matrix {tag} of H.273; only bt601, bt709 and bt2020 are read: convert it")
    return MATRICES[tag]


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def _look_at(frames: Iterator[VideoFrame]) -> tuple[VideoFrame | None, bool]:
    """Return the first frame, None if there is none, and whether any of the first few carries closed captions."""
    first = next(frames, None)
    has_captions = first is not None and Type.A53_CC in first.side_data
    with suppress(InputError):  # whoever reads the frames will say so
        has_captions |= any(Type.A53_CC in frame.side_data for frame in islice(frames, CAPTIONED - 1))
    return first, has_captions


def _is_clear_throughout(path: Path) -> bool:
    """Return whether opacity is 0 in every pixel of a file; looks at all of its frames if it is."""
    with open_source(path) as container:
        return all(map(is_clear, decode(container, video_stream(container, path), path)))


def _depth(frame: VideoFrame) -> int:
    return max((part.bits for part in frame.format.components if not part.is_alpha), default=8)


def _tag(of_frame: int, of_stream: int) -> int:
    """Return a colour tag: that of the pictures themselves, else that of the container."""
    return int(of_frame if of_frame not in (0, UNSPECIFIED) else of_stream)
