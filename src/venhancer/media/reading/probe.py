"""What a clip is, known before any work starts.

`probe` opens the file, counts its frames, believes its rate only after looking at the timestamps, and lists what the
output will not carry; the plan is made from its answer.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from itertools import islice
from os import PathLike
from pathlib import Path

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.colour import MATRICES, UNSET_OPACITY, UNSPECIFIED, is_clear, matrix_of_size, shows_through
from venhancer.media.endings import MOV
from venhancer.media.limits import read_limits
from venhancer.media.orientation import NO_BORDER, orientation_of
from venhancer.media.reading.notes import describe_stream, has_credentials, light_not_kept, presentation_of
from venhancer.media.source import (
    ENDLESS,
    WAYS_ON,
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

RGB = 0
CAPTIONED = 8  # frames within which captions show, if there are some; broadcasters send them with every frame
PROGRESSIVE = 1  # libav's order of fields; 0 is unknown, above are the four of interlaced pictures


def probe(path: str | PathLike[str], *, is_part: bool = False, keep_damaged: bool = False) -> ClipInfo:
    """Return what the clip at `path` is: a video, a picture, an animation, or numbered pictures by their pattern.

    Reads the whole file; where packets are not frames one to one (avi, mpeg, ts, gif and some codecs) it decodes it.

    Args:
        path: of the clip.
        is_part: not all of it is wanted; damage is reported, not refused.
        keep_damaged: likewise, and all damage is searched for.

    Raises:
        InputError: no readable, whole file of at least one frame, or more than the limits allow.
    """
    return with_sound(probe_film(Path(path), is_part=is_part, keep_damaged=keep_damaged))


def with_sound(clip: ClipInfo) -> ClipInfo:
    """Return a clip with what only decoders tell of its sound and subtitles.

    Raises:
        InputError: the file changed, or cannot be read any more.
    """
    if not any(track.kind in TRIED for track in clip.tracks):
        return clip
    with open_source(clip.path, known=clip.identity) as container:
        return replace(clip, tracks=try_tracks(container, clip.tracks))


def probe_film(path: Path, *, is_part: bool = False, keep_damaged: bool = False) -> ClipInfo:
    """Return the same as `probe`, but sound and subtitles from the header alone: none of their decoders runs.

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
        with open_source(path, known=identity) as again:
            frame, has_captions = _look_at(decode(again, video_stream(again, path), path, damage=[]))
        if frame is None:
            raise InputError(f"{path} contains no frame that can be decoded; use a clip with at least one")
        packets = read_packets(container, stream, path)
        shown = _shown_frames(packets, stream, path, looks_for_damage=keep_damaged)
        if shown.damage and not (is_part or keep_damaged):
            raise InputError(_told_damage(path, shown, packets))
        lost = int(packets.is_shown.sum()) - len(shown.times) - shown.cut_off if packets.hold_frames else 0
        timing = _find_timing(shown, stream, path)
        read_limits().check_length(timing.frames, float(timing.duration), path)
        audio = next((track for track in container.streams.audio if track.codec_context is not None), None)
        matrix = _color_matrix(stream, frame, path)
        codec = stream.codec_context.codec.canonical_name
        is_unused = codec in UNSET_OPACITY.split() and is_clear(frame) and _is_clear_throughout(path)
        border, chroma_location = presentation_of(described, frame.format)
        orientation = orientation_of(frame, path)
        width, height = frame.width - border.left - border.right, frame.height - border.above - border.below
        if min(width, height) < 1:
            raise InputError(f"{path} crops away its whole {frame.width}x{frame.height} picture; remove the cropping")
        aspect = Fraction(stream.sample_aspect_ratio or 1)
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
                *([f"undecodable frames ({lost})"] if lost > 0 else []),
                *_told_end(shown),
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
            jumps=packets.jumps,
            damage=shown.damage,
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
    """All frames in order of showing.

    Args:
        times: of each.
        last_duration: how long the last one lasts.
        are_interlaced: whether any is.
        damage: see `ClipInfo`.
        cut_off: frames at the end that are left out, because the file ends within one of them.
        untimed: how many have no time.
        shapes: how many shapes their pixels have.
    """

    times: list[int]
    last_duration: int
    are_interlaced: bool = False
    damage: tuple[tuple[int, int], ...] = ()
    cut_off: int = 0
    untimed: int = 0
    shapes: int = 1


def _shown_frames(packets: Packets, stream: VideoStream, path: Path, *, looks_for_damage: bool) -> _Shown:
    """Return the facts of every frame, from the packets if possible, else by decoding."""
    damage, decoded = list(packets.torn), _Decoded()
    if looks_for_damage or not packets.are_frames:
        decoded = _decode_all(packets, stream, path, damage)
    if packets.are_frames:
        times, durations = packets.times[packets.is_shown], packets.durations[packets.is_shown]
        newest = int(np.argmax(times))
        last = int(durations[newest])
        if stream.container.format.name == MOV:  # its durations are from packet to packet; the sum of them is right
            last = _end_of(stream) - int(times[newest])
            last = last if last > 0 else int(durations[-1])
        shown = np.sort(times).tolist()
        return _Shown(
            shown, last, damage=_ranges(damage, shown, np.sort(packets.times[packets.is_key]).tolist(), packets.is_cut)
        )
    times = sorted(decoded.times)
    last = decoded.durations[decoded.times.index(times[-1])] if times else 0
    whole = len(times)
    if stream.container.format.name in ENDLESS and (not damage or min(damage) >= packets.times[-1]):
        before = _whole_before_end(times, damage, stream.codec_context.has_b_frames)
        whole, damage = (before, []) if before else (whole, damage)
    cut_off = len(times) - whole
    times = times[:whole]
    return _Shown(
        times,
        last,
        decoded.are_interlaced,
        _ranges(damage, times, sorted(decoded.keys), packets.is_cut),
        cut_off,
        decoded.untimed,
        len(decoded.shapes),
    )


def _told_end(shown: _Shown) -> Iterator[str]:
    """Yield what the file leaves out."""
    if shown.cut_off:
        yield f"the last frame, which is incomplete ({shown.cut_off} left out)"
    if shown.untimed:
        yield f"missing frame times ({shown.untimed}), taken as even"
    if shown.shapes > 1:
        yield "changes of the pixel shape; all frames are shown as the first"


def _whole_before_end(times: list[int], damage: list[int], reordered: int) -> int:
    """Return how many frames are shown before the first that is torn or missing because the file ends.

    Args:
        times: of the frames, ascending.
        damage: times of damage, none of them before the last packet's.
        reordered: how many frames may be stored before one that is shown earlier.
    """
    whole = bisect_left(times, min(damage)) if damage else len(times)
    steps = np.diff(times[:whole])
    gaps = np.flatnonzero(steps > 1.5 * np.median(steps)) if len(steps) else steps
    if len(gaps) and reordered and whole - 1 - gaps[0] <= reordered + 1:  # all were evenly apart up to there
        whole = int(gaps[0]) + 1
    return whole


@dataclass(slots=True)
class _Decoded:
    """The facts from decoding every frame, in decoding order."""

    times: "array[int]" = field(default_factory=lambda: array("q"))
    durations: "array[int]" = field(default_factory=lambda: array("q"))
    keys: "array[int]" = field(default_factory=lambda: array("q"))
    are_interlaced: bool = False
    untimed: int = 0
    shapes: set[Fraction] = field(default_factory=set)


def _decode_all(packets: Packets, stream: VideoStream, path: Path, damage: list[int]) -> _Decoded:
    """Decode every frame; times of damage are added to `damage`."""
    decoded, due, rate = _Decoded(), 0, stream.guessed_rate or stream.average_rate
    step = round(1 / rate / (stream.time_base or 1)) if rate else 0
    with open_source(path) as container:
        opened = video_stream(container, path)
        for frame in decode(container, opened, path, jumps=packets.jumps, damage=damage):
            decoded.untimed += frame.pts is None
            time = due if frame.pts is None else frame.pts
            due = time + (step if frame.pts is None else frame.duration or step)
            decoded.times.append(time)
            decoded.durations.append(frame.duration)
            if frame.key_frame:
                decoded.keys.append(time)
            decoded.are_interlaced |= frame.interlaced_frame
            decoded.shapes.add(Fraction(opened.codec_context.sample_aspect_ratio or 1))
    return decoded


def _ranges(damage: list[int], times: list[int], keys: list[int], is_cut: bool) -> tuple[tuple[int, int], ...]:
    """Return which frames are damaged at these times, or lean on those: up to the next key frame."""
    ranges: list[tuple[int, int]] = []
    for moment in sorted(set(damage)):
        first = max(0, bisect_right(times, moment) - 1)
        later = bisect_right(keys, times[first]) if times else 0
        stop = bisect_left(times, keys[later]) if later < len(keys) else len(times)
        if ranges and first <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(stop, ranges[-1][1]))
        else:
            ranges.append((first, max(stop, first + 1)))
    return (*ranges, *([(len(times), len(times) + 1)] if is_cut else []))


def _told_damage(path: Path, shown: _Shown, packets: Packets) -> str:
    first, stop = shown.damage[0]
    if packets.is_cut and stop >= len(shown.times):
        return f"{path} is cut short after {first} frames; {WAYS_ON}"
    return f"{path}: frame {first} is damaged; {WAYS_ON}"


def _end_of(stream: VideoStream) -> int:
    """Return when a stream says it ends, in its time base; 0 if it does not."""
    return (stream.start_time or 0) + stream.duration if stream.duration else 0


def _find_timing(shown: _Shown, stream: VideoStream, path: Path) -> Timing:
    declared = [Fraction(rate) for rate in (stream.average_rate, stream.base_rate, stream.guessed_rate) if rate]
    declared = [] if stream.container.format.name == "gif" else declared  # where they are guessed from its clock
    return find_timing(shown.times, Fraction(stream.time_base or 1), shown.last_duration, declared, path)


def _color_matrix(stream: VideoStream, frame: VideoFrame, path: Path) -> str:
    tag = frame.colorspace if frame.colorspace != UNSPECIFIED else stream.codec_context.colorspace
    if tag in (UNSPECIFIED, RGB) or frame.format.is_rgb:
        return matrix_of_size(frame.height)
    if tag not in MATRICES:
        raise InputError(
            f"{path} uses colour matrix {tag} of H.273; only bt601, bt709 and bt2020 are supported: convert it"
        )
    return MATRICES[tag]


def _is_full_range(frame: VideoFrame) -> bool:
    return frame.format.is_rgb or frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG


def _look_at(frames: Iterator[VideoFrame]) -> tuple[VideoFrame | None, bool]:
    """Return the first frame, None if there is none, and whether any of the first few carries closed captions."""
    first = next(frames, None)
    has_captions = first is not None and Type.A53_CC in first.side_data
    with suppress(InputError):  # the reader of the frames will say so
        has_captions |= any(Type.A53_CC in frame.side_data for frame in islice(frames, CAPTIONED - 1))
    return first, has_captions


def _is_clear_throughout(path: Path) -> bool:
    """Return whether opacity is 0 in every pixel of a file; looks at all of its frames if it is."""
    with open_source(path) as container:
        return all(map(is_clear, decode(container, video_stream(container, path), path, damage=[])))


def _depth(frame: VideoFrame) -> int:
    return max((part.bits for part in frame.format.components if not part.is_alpha), default=8)


def _tag(of_frame: int, of_stream: int) -> int:
    """Return a colour tag: that of the pictures themselves, else that of the container."""
    return int(of_frame if of_frame not in (0, UNSPECIFIED) else of_stream)
