"""The source's sound beside new pictures.

The writer copies packets as they are wherever the container's players take them, and otherwise encodes them anew;
`audio_plan` says which, so that a caller can tell the user before work starts.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from venhancer.errors import InputError
from venhancer.media.clip import ClipInfo
from venhancer.media.source import failures_as

PCM = {f"pcm_{kind}" for kind in ("s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")}
COPIED = {  # what players of each container play, not all that could be stored in it
    ".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"},
    ".mov": {"aac", "mp3", "ac3", "eac3", "alac", *PCM},
    ".mkv": {"aac", "mp2", "mp3", "ac3", "eac3", "alac", "dts", "flac", "opus", "truehd", "vorbis", *PCM},
}
AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


def audio_plan(clip: ClipInfo, target: Path) -> Literal["none", "copy", "aac"]:
    """Return what `write_video` does with the clip's sound: nothing, copy its packets, or encode it to AAC."""
    if not clip.has_audio:
        return "none"
    return "copy" if clip.audio_codec in COPIED[target.suffix.lower()] else "aac"


def add_sound(output: OutputContainer, source: InputContainer, clip: ClipInfo, target: Path) -> Iterator[Packet]:
    """Return the sound's packets, timed from the first video frame; their stream is added to `output` at once."""
    plan = audio_plan(clip, target)
    if plan == "none":
        return iter(())
    track = next(track for track in source.streams.audio if track.codec_context is not None)
    if plan == "copy":
        stream = output.add_stream_from_template(track)
    else:
        rate = track.rate if track.rate in AAC_RATES else 48000
        stream = output.add_stream("aac", rate=rate, bit_rate=192_000)
        stream.layout = {1: "mono", 2: "stereo"}.get(track.channels, track.layout.name)
    stream.metadata.update({name: track.metadata[name] for name in ("language", "title") if name in track.metadata})
    return (_copy if plan == "copy" else _encode)(source, track, stream, clip)


def _copy(source: InputContainer, track: AudioStream, stream: AudioStream, clip: ClipInfo) -> Iterator[Packet]:
    with failures_as(InputError, f"the sound of {clip.path} cannot be read; copy the file again or remove its sound"):
        for packet in source.demux(track):
            if packet.size:
                offset = _ticks(clip.start, packet.time_base)
                packet.pts = None if packet.pts is None else packet.pts - offset
                packet.dts = None if packet.dts is None else packet.dts - offset
                packet.stream = stream
                yield packet


def _ticks(seconds: Fraction, time_base: Fraction) -> int:
    return round(seconds / time_base)


def _encode(source: InputContainer, track: AudioStream, stream: AudioStream, clip: ClipInfo) -> Iterator[Packet]:
    with failures_as(InputError, f"the sound of {clip.path} cannot be read; copy the file again or remove its sound"):
        for frame in source.decode(track):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= _ticks(clip.start, frame.time_base)
            yield from stream.encode(frame)
        yield from stream.encode(None)
