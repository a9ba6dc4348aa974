"""Sound in channels of every number and order: copied, encoded with each in its place, or named as lost."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media.clips import picture
from venhancer.media.reading.isolation import inspect
from venhancer.media.reading.probe import probe
from venhancer.media.tracks import TrackPlan, channels_of, plan_tracks
from venhancer.media.writing.writer import Writing, write_video

RATE = 48000
APPLE = {"7.1": (128 << 16) | 8, "6.1": (125 << 16) | 7}  # tags MPEG_7_1_C and MPEG_6_1_A of QuickTime's `chan`
BACK_LAST = ("FL", "FR", "FC", "LFE", "SL", "SR", "BL", "BR")


def make_sound(path: Path, codec: str, layout: str, **options: str) -> Path:
    """Write half a second of film with a tone in each channel: 200 Hz in the first, 100 Hz more in each other."""
    channels, ticks = av.AudioLayout(layout).nb_channels, np.arange(RATE // 2)
    tones = [8000 * np.sin(2 * np.pi * (200 + 100 * channel) * ticks / RATE) for channel in range(channels)]
    with av.open(str(path), "w") as output:
        film = output.add_stream("mpeg4", rate=12)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream(codec, rate=RATE, options=options)
        sound.layout = layout
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 12)
            output.mux(film.encode(frame))
        samples = np.stack(tones, 1).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, "s16", layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        output.mux([*film.encode(None), *sound.encode(frame), *sound.encode(None)])
    return path


def made_by_apple(path: Path, layout: str, speakers: tuple[int, ...] = ()) -> Path:
    """Write PCM whose channels lie as a tag, or else a list of `speakers`, of QuickTime says."""
    data = bytearray(make_sound(path, "pcm_s16le", layout).read_bytes())
    place = data.find(b"chan")  # its size and name are followed by version and flags, tag, bitmap, number of speakers
    rows = b"".join(struct.pack(">5I", speaker, 0, 0, 0, 0) for speaker in speakers)
    data[place + 8 : place + 20] = struct.pack(">3I", 0 if speakers else APPLE[layout], 0, len(speakers))
    for name in (b"chan", b"sowt", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov") if rows else ():
        start = data.rfind(name, 0, place + 4) - 4
        data[start : start + 4] = struct.pack(">I", struct.unpack(">I", data[start : start + 4])[0] + len(rows))
    data[place + 20 : place + 20] = rows
    path.write_bytes(data)
    return path


def plan_of(path: Path, suffix: str) -> TrackPlan:
    return next(plan for plan in plan_tracks(inspect(path).tracks, suffix) if plan.track.kind == "audio")


def enhanced(source: Path, target: Path) -> Path:
    frames = (picture(number) for number in range(6))
    return write_video(target, frames, Writing(width=64, height=48, rate=Fraction(12)), probe(source))


def tones_of(path: Path) -> dict[str, int]:
    """Return the frequency that each loudspeaker of a file plays."""
    with av.open(str(path)) as file:
        context = file.streams.audio[0].codec_context
        speakers = [channel.name for channel in context.layout.channels]
        packed = av.AudioResampler("s16", context.layout.name)
        parts = [even for frame in file.decode(audio=0) for even in packed.resample(frame)]
    samples = np.concatenate([part.to_ndarray().reshape(-1, len(speakers)) for part in parts])[4800:14400]
    return {name: int(np.abs(np.fft.rfft(samples[:, place])).argmax() * 5) for place, name in enumerate(speakers)}


@pytest.mark.parametrize("layout", APPLE)
def test_sound_in_an_order_of_apples_is_copied(tmp_path, layout):
    source = made_by_apple(tmp_path / "a.mov", layout)
    for suffix in (".mov", ".mkv"):
        assert plan_of(source, suffix).outcome == "copied"
        with av.open(str(enhanced(source, tmp_path / f"out{suffix}"))) as file, av.open(str(source)) as before:
            copied, stored = ([bytes(packet) for packet in part.demux(audio=0)] for part in (file, before))
        assert b"".join(copied) == b"".join(stored)


def test_sound_in_an_order_of_apples_is_encoded_with_each_channel_in_its_place(tmp_path):
    source = made_by_apple(tmp_path / "a.mov", "7.1")
    assert plan_of(source, ".mp4").outcome == "encoded to aac: .mp4 cannot hold this codec"
    wanted = {name: 200 + 100 * place for place, name in enumerate(BACK_LAST)}
    assert tones_of(enhanced(source, tmp_path / "out.mp4")) == {**wanted, "LFE": pytest.approx(0, abs=500)}


@pytest.mark.skipif(int(av.__version__.partition(".")[0]) > 18, reason="libav then says nothing of such an order")
@pytest.mark.parametrize(
    ("speakers", "is_kept"), [((1, 2, 1, 2, 1, 2, 1, 2), True), ((1, 2, 3, 4, 33, 34, 5, 6), False)]
)
def test_channels_that_repeat_or_have_no_name(tmp_path, speakers, is_kept):
    source = made_by_apple(tmp_path / "a.mov", "7.1", speakers)
    assert plan_of(source, ".mov").outcome == "copied"
    plan = plan_of(source, ".mp4")
    assert plan.is_kept == is_kept
    assert "channels" in plan.why
    with av.open(str(enhanced(source, tmp_path / "out.mp4"))) as file:
        assert len(file.streams.audio) == is_kept


@pytest.mark.parametrize(
    ("name", "codec", "layout", "options"),
    [
        ("a.mkv", "libopus", "7.1", {}),
        ("a.mkv", "libopus", "12 channels", {"mapping_family": "255"}),
        ("a.avi", "pcm_s16le", "16 channels", {}),
        ("a.mov", "pcm_s16le", "22.2", {}),
        ("a.mkv", "pcm_s16le", "7.1.4", {}),
    ],
)
def test_many_channels_are_encoded(tmp_path, name, codec, layout, options):
    """Of planar sound of eight channels and more, PyAV reads planes that are not there."""
    source = make_sound(tmp_path / name, codec, layout, **options)
    target = enhanced(source, tmp_path / ("out.mov" if codec == "libopus" else "out.mp4"))
    with av.open(str(target)) as file:
        assert channels_of(file.streams.audio[0].codec_context).number == (8 if layout == "7.1" else 2)
    if layout == "7.1":
        assert tones_of(target)["SR"] == 900


@pytest.mark.parametrize("layout", ["ambisonic 1", "ambisonic 1+stereo"])
def test_ambisonic_sound_is_copied_or_named_as_lost(tmp_path, layout):
    source = make_sound(tmp_path / "a.mkv", "libopus", layout, mapping_family="2")
    assert plan_of(source, ".mkv").outcome == "copied"
    assert plan_of(source, ".mov").outcome == "not kept: no decoder for it, or no way to mix its channels"
    with av.open(str(enhanced(source, tmp_path / "out.mov"))) as file:
        assert not file.streams.audio
