"""What a file holds beside its pictures, and what happens to each part in a target.

`describe_tracks` looks at the source, `plan_tracks` decides for one kind of target, before any work starts; the
assembler does what the plan says and decides nothing.
"""

import ctypes
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Literal, NamedTuple

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.video.stream import VideoStream

from venhancer.media.containers import CHANNELS, CONTAINERS, TEXT_SUBTITLES, Container, told_language

Action = Literal["copied", "encoded", "converted", "not kept"]
KINDS = {
    "audio": "sound",
    "subtitle": "subtitles",
    "cover": "cover picture",
    "video": "other video",
    "attachment": "attached file",
    "data": "data track",
    "chapters": "chapters",
    "tags": "tags",
}
UNREAD = ("no decoder for it", "no decoder for it, or no way to mix its channels")
TRIED = ("audio", "subtitle")
TRIED_PACKETS = 256  # of these tracks together, among which each is tried once
FILE_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})  # true of the source file only
LISTED = " channels ("  # how libav's name of a list continues, after their number
SPEAKERS = (  # in the order of libav's masks
    "FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR DL DR WL WR SDL SDR LFE2 TSL TSR BFC BFL BFR "
    "SSL SSR TTL TTR BIL BIR"
)


class Channels(NamedTuple):
    """The channels of a track.

    Args:
        number: how many.
        layout: libav's name for the usual order of their loudspeakers, or of the two that all are mixed to.
        have_places: whether each has its own loudspeaker, as far as the file says.
    """

    number: int
    layout: str
    have_places: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One part of a file beside its pictures.

    Args:
        index: place of the stream in the file, -1 for chapters and tags.
        kind: one of `KINDS`.
        codec: as FFmpeg calls it, empty if nothing here knows it.
        language: ISO 639-2.
        title: what the file calls it; of an attachment, its file name; of tags, their names.
        flags: its flags in the file, such as default, forced, comment.
        count: of chapters or tags.
        can_be_read: whether it can be decoded here, and its channels mixed; of sound and subtitles, see `try_tracks`.
        channels: of sound.
        have_places: whether each channel has its own loudspeaker.
    """

    index: int
    kind: str
    codec: str = ""
    language: str = ""
    title: str = ""
    flags: tuple[str, ...] = ()
    count: int = 1
    can_be_read: bool = True
    channels: int = 0
    have_places: bool = True

    @property
    def name(self) -> str:
        """What a user calls it."""
        if self.kind in ("chapters", "tags"):
            return f"{KINDS[self.kind]} ({self.count if self.kind == 'chapters' else self.title})"
        details = ", ".join(part for part in (self.codec, self.language) if part)
        return f"{KINDS[self.kind]} ({details or self.title or 'of unknown kind'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackPlan:
    """What becomes of one track.

    Args:
        track: of the source.
        action: what happens to it.
        codec: in the target.
        why: the reason it is not copied, or what it loses.
    """

    track: Track
    action: Action
    codec: str = ""
    why: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the target will hold it."""
        return self.action != "not kept"

    @property
    def outcome(self) -> str:
        """Action and reason, in words."""
        to = f" to {self.codec}" if self.action in ("encoded", "converted") else ""
        return f"{self.action}{to}{f': {self.why}' if self.why else ''}"


def describe_tracks(container: InputContainer) -> tuple[Track, ...]:
    """Return all that a file holds beside its first film, from its header alone."""
    tracks = list(_streams(container))
    if count := len(container.chapters()):
        tracks.append(Track(index=-1, kind="chapters", count=count))
    if names := [name for name in container.metadata if name.lower() not in FILE_TAGS]:
        tracks.append(Track(index=-1, kind="tags", title=", ".join(sorted(names)), count=len(names)))
    return tuple(tracks)


def try_tracks(container: InputContainer, tracks: Sequence[Track]) -> tuple[Track, ...]:
    """Return tracks with what only the decoders of sound and subtitles tell, each of which is given one packet."""
    streams = [stream for stream in container.streams if stream.type in TRIED and stream.codec_context is not None]
    tried: dict[int, dict[str, int]] = {stream.index: {"can_be_read": True} for stream in streams}
    for stream in container.streams.audio:
        if stream.index in tried:
            channels = channels_of(stream.codec_context)
            tried[stream.index] |= {"channels": channels.number, "have_places": channels.have_places}
    untried = set(tried)
    with suppress(FFmpegError):
        for packet in islice(container.demux(*streams) if streams else (), TRIED_PACKETS):
            if packet.size and packet.stream_index in untried:
                untried.remove(packet.stream_index)
                tried[packet.stream_index]["can_be_read"] = _can_be_read(packet)
    return tuple(replace(track, **tried.get(track.index, {})) for track in tracks)


def channels_of(sound: AudioCodecContext | AudioFrame) -> Channels:
    """Return the channels of a track, or of a part of it.

    Unusual orders, which libav keeps as a list, are looked at here only, and never given back: a layout of PyAV and
    whatever it came from both free the list (PyAV 18).
    """
    layout = sound.layout
    if LISTED not in layout.name:
        return Channels(layout.nb_channels, layout.name)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    speakers = [channel.name for channel in layout.channels]
    usual = [speaker for speaker in SPEAKERS.split() if speaker in speakers]
    if len(usual) < len(speakers):  # one of them twice, or one that has no name
        return Channels(len(speakers), "stereo", have_places=False)
    return Channels(len(speakers), AudioLayout("+".join(usual)).name)


def film_of(container: InputContainer) -> VideoStream | None:
    """Return the first video that players show by default, or else the first that is no cover; None without any."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    shown = [stream for stream in films if stream.disposition & Disposition.default]
    return next(iter([*shown, *films]), None)


def _can_be_read(packet: Packet) -> bool:
    """Tell whether the channels of a packet of sound, if it decodes, can be mixed; ambisonic ones cannot."""
    context = packet.stream.codec_context
    with suppress(FFmpegError):  # a damaged packet says nothing of the others
        if isinstance(context, SubtitleCodecContext):
            context.decode2(packet)
            return True
        frames = [frame for frame in packet.decode() if isinstance(frame, AudioFrame)]
        for frame in frames:
            channels_of(frame)
        try:
            return all(AudioResampler("s16", "stereo").resample(frame) is not None for frame in frames)
        except (FFmpegError, ValueError):
            return False
    return True


def plan_tracks(tracks: Sequence[Track], suffix: str, *, slow: Fraction | int = 1) -> tuple[TrackPlan, ...]:
    """Return what becomes of each track in a target.

    Args:
        tracks: of the source.
        suffix: of the target; one that is no container keeps nothing.
        slow: how many times longer the target is; slowed-down sound is left out.
    """
    container = CONTAINERS.get(suffix.lower())
    if container is None:
        return tuple(TrackPlan(track=track, action="not kept", why=f"{suffix} holds pictures only") for track in tracks)
    has_cover = any(track.kind == "cover" and track.codec in container.covers for track in tracks)
    return tuple(_plan(track, suffix, container, is_slowed=slow != 1, has_cover=has_cover) for track in tracks)


def describe_track_plans(plans: Sequence[TrackPlan]) -> list[str]:
    """Return, in words, what happens to all tracks; tracks that fare alike are counted together."""
    return _counted(f"{plan.track.name} {plan.outcome}" for plan in plans)


def describe_losses(plans: Sequence[TrackPlan]) -> list[str]:
    """Return, in words, what a target will not keep of the source."""
    lost = [plan for plan in plans if plan.action != "copied" or plan.why]
    return _counted(
        f"{plan.track.name}{_as_before(plan) if plan.is_kept else ''}: "
        + (plan.why if plan.action in ("copied", "not kept") else plan.outcome)
        for plan in lost
    )


def _as_before(plan: TrackPlan) -> str:
    return " as they are" if plan.track.kind in ("subtitle", "chapters", "tags") else " as it is"


def _counted(phrases: Iterable[str]) -> list[str]:
    return [f"{number} x {phrase}" if number > 1 else phrase for phrase, number in Counter(phrases).items()]


def _streams(container: InputContainer) -> Iterator[Track]:
    film = film_of(container)
    has_chapters = bool(container.chapters())
    for stream in container.streams:
        kind = "cover" if stream.disposition & Disposition.attached_pic else stream.type
        if film is not None and stream.index == film.index:
            continue
        codec = _codec_name(stream)
        if kind == "data" and codec == "bin_data" and has_chapters and container.format.name.startswith("mov"):
            continue  # the titles of the chapters, which are written again
        tags = stream.metadata
        yield Track(
            index=stream.index,
            kind=kind if kind in KINDS else "data",
            codec=codec,
            language="" if tags.get("language") in (None, "und") else tags["language"],
            title=tags.get("title") or tags.get("name") or tags.get("filename") or "",
            flags=tuple(flag.name for flag in Disposition if flag.name and flag & stream.disposition),
            can_be_read=kind in ("attachment", "data") or (stream.codec_context is not None and kind not in TRIED),
        )


def _codec_name(stream: Stream) -> str:
    if stream.codec_context is not None:
        return stream.codec_context.codec.canonical_name
    return (stream.name or "") if stream.type == "data" else ""


def _plan(track: Track, suffix: str, container: Container, *, is_slowed: bool, has_cover: bool) -> TrackPlan:
    kind = track.kind
    if kind == "audio" and not is_slowed:
        plan = _held(track, suffix, container.sound, container.sound_codec)
        return _with_losses(plan, suffix, container.sound_flags, container)
    if kind == "subtitle":
        text_codec = container.text_codec if track.codec in TEXT_SUBTITLES else ""
        plan = _held(track, suffix, container.subtitles, text_codec)
        return _with_losses(plan, suffix, container.subtitle_flags, container)
    if kind == "cover":
        return _held(track, suffix, container.covers, "")
    if kind == "tags":
        return _plan_tags(track, suffix, container.tags_beside_covers if has_cover else None)
    if kind == "chapters" or (kind == "attachment" and container.attachments):
        return TrackPlan(track=track, action="copied")
    why = {
        "audio": "slow motion drops sound",
        "attachment": f"{suffix} cannot hold attached files",
        "video": "only the first video is enhanced",
    }
    return TrackPlan(track=track, action="not kept", why=why.get(kind, "only its own program understands it"))


def _held(track: Track, suffix: str, codecs: frozenset[str], otherwise: str) -> TrackPlan:
    """Plan a track that is copied if its codec is among `codecs`, and else becomes `otherwise` if that is one."""
    if track.codec in codecs:
        return TrackPlan(track=track, action="copied", codec=track.codec)
    if not track.can_be_read:
        return TrackPlan(track=track, action="not kept", why=UNREAD[track.kind == "audio" and bool(track.codec)])
    held = "cannot hold these subtitles" if track.kind == "subtitle" else "cannot hold this codec"
    if not otherwise:
        return TrackPlan(track=track, action="not kept", why=f"{suffix} {held}")
    action = "encoded" if track.kind == "audio" else "converted"
    return TrackPlan(track=track, action=action, codec=otherwise, why=f"{suffix} {held}")


def _with_losses(plan: TrackPlan, suffix: str, flags: frozenset[str], container: Container) -> TrackPlan:
    """Add the flags and the language that the target cannot store."""
    lost = [f"flag {flag}" for flag in plan.track.flags if flag not in flags]
    if plan.action == "encoded" and not (plan.track.channels in CHANNELS and plan.track.have_places):
        plan = replace(plan, why=f"{plan.why}; its {plan.track.channels} channels are mixed to stereo")
    if plan.track.language and not told_language(plan.track.language, container):
        lost.append(f"language {plan.track.language}")
    if not lost or not plan.is_kept:
        return plan
    why = "; ".join(part for part in (plan.why, f"{suffix} cannot store its {' and '.join(lost)}") if part)
    return replace(plan, why=why)


def _plan_tags(track: Track, suffix: str, names: frozenset[str] | None) -> TrackPlan:
    lost = [name for name in track.title.split(", ") if names is not None and name.lower() not in names]
    why = f"with a cover picture, {suffix} cannot store {', '.join(lost)}" if lost else ""
    return TrackPlan(track=track, action="copied", why=why)
