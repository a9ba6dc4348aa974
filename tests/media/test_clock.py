"""Clocks that start again, jump or leave times out: real recordings, laid end to end or with bytes of them changed."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media.clips import number_of, picture
from venhancer.errors import InputError
from venhancer.media import clock
from venhancer.media.clip import ClipInfo
from venhancer.media.reading.frame_index import read_index
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.reading.shots import look_through
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import Writing, write_segment

RATE = 24
CODECS = {".ts": "libx264", ".mkv": "libx264", ".mpg": "mpeg2video"}
WRAP = 2**33  # ticks of 1/90000 s after which the clock of MPEG begins again at 0


def recording(path: Path, *, first: int = 0, begin: float = 0, sound: str = "", frames: int = 12) -> Path:
    """Write half a second of pictures numbered from `first`, and sound that is loud for the third of its quarters."""
    options = {"output_ts_offset": str(begin)}
    with av.open(str(path), "w", container_options=options) as output:
        stream = output.add_stream(CODECS[path.suffix], rate=RATE, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.thread_count = 1
        track = output.add_stream(sound, rate=48000) if sound else None
        if track is not None:
            track.layout = "mono"
        for number in range(first, first + frames):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number - first, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if track is not None:
            wave = np.zeros((1, 24000), np.int16)
            wave[0, 12000:18000] = 8000 * np.sin(np.arange(6000) / 8)
            for place in range(0, 24000, 1200):
                heard = av.AudioFrame.from_ndarray(wave[:, place : place + 1200], "s16", "mono")
                heard.sample_rate, heard.time_base, heard.pts = 48000, Fraction(1, 48000), place
                output.mux(track.encode(heard))
            output.mux(track.encode(None))
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def numbers(clip: ClipInfo) -> list[int]:
    return [number_of(frame) for frame in read_frames(clip)]


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".mkv"])
@pytest.mark.parametrize("begins", [(0, 0, 0), (100, 20, 60)])
def test_recordings_end_to_end_give_all_frames_in_their_order(tmp_path, suffix, begins):
    begins = begins[:2] if suffix == ".mkv" else begins  # of which libav reads no more
    parts = [recording(tmp_path / f"{n}{suffix}", first=12 * n, begin=at) for n, at in enumerate(begins)]
    clip = probe(joined(tmp_path / f"all{suffix}", *parts))
    frames = 12 * len(begins)
    assert (clip.frames, clip.rate, clip.timestamps, clip.duration) == (frames, RATE, None, Fraction(frames, RATE))
    assert numbers(clip) == list(range(frames))
    moments = [float(jump.time - clip.start) for jump in clip.jumps]
    assert moments == pytest.approx([0.5, 1][: len(moments)], abs=0.002)


@pytest.mark.parametrize(
    ("suffix", "ahead", "is_jump"),
    [(".ts", 9, False), (".ts", 12, True), (".ts", 3600, True), (".ts", -3600, True), (".mpg", 3600, True)],
)
def test_a_jump_is_more_than_ten_seconds_ahead_or_back(tmp_path, suffix, ahead, is_jump):
    one = recording(tmp_path / f"1{suffix}", begin=4000)
    two = recording(tmp_path / f"2{suffix}", first=12, begin=4000.5 + ahead)
    clip = probe(joined(tmp_path / f"all{suffix}", one, two))
    assert bool(clip.jumps) == is_jump
    assert numbers(clip) == list(range(24))
    assert float(clip.frame_time(12)) == pytest.approx(0.5 + (0 if is_jump else ahead), abs=0.001)


def test_where_a_container_allows_no_jumps_a_gap_is_a_gap(tmp_path):
    one, two = recording(tmp_path / "1.mkv"), recording(tmp_path / "2.mkv", first=12, begin=3600)
    clip = probe(joined(tmp_path / "all.mkv", one, two))
    assert (clip.frames, clip.jumps, float(clip.frame_time(12))) == (24, (), 3600)


def test_counters_of_33_bits_begin_again(tmp_path):
    """After 26.5 hours, in the middle of a recording, and again in the next one."""
    near = WRAP / 90_000 - 1.65  # the muxer lays the first packets 1.4 s later
    one = recording(tmp_path / "1.ts", begin=near)
    assert (probe(one).jumps, numbers(probe(one))) == ((), list(range(12)))
    two = recording(tmp_path / "2.ts", first=12, begin=near)
    clip = probe(joined(tmp_path / "all.ts", one, two))
    assert (clip.frames, clip.rate, clip.timestamps) == (24, RATE, None)
    assert numbers(clip) == list(range(24))


@pytest.mark.parametrize(("suffix", "sound"), [(".ts", "aac"), (".ts", "mp2"), (".mpg", "mp2"), (".mkv", "aac")])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.webm"])
def test_sound_stays_with_its_pictures(tmp_path, suffix, sound, target):
    """Copied and encoded, the loud quarter of every recording is heard with the same pictures."""
    count = 2 if suffix == ".mkv" else 4
    parts = [recording(tmp_path / f"{n}{suffix}", first=12 * n, sound=sound) for n in range(count)]
    clip = probe(joined(tmp_path / f"all{suffix}", *parts))
    assert (clip.frames, clip.timestamps) == (12 * count, None)
    writing = Writing(width=64, height=48, rate=clip.rate, **({"codec": "vp9"} if target.endswith("webm") else {}))
    segment = write_segment(tmp_path / "segment.mkv", map(picture, range(clip.frames)), writing)
    with av.open(str(assemble(tmp_path / target, [segment], writing, clip))) as container:
        heard = [(float(frame.pts * frame.time_base), frame.to_ndarray()) for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    loud = np.zeros(int(2.2 * rate))
    for time, samples in heard:
        level = np.abs(samples[0].astype(float) * (1 / 32768 if samples.dtype.kind == "i" else 1))
        place = max(0, round(time * rate))
        loud[place : place + len(level)] = level[: len(loud) - place]
    blocks = loud[: int(2 * rate)].reshape(200, -1).max(axis=1) > 0.02
    for part in range(count):
        on = np.flatnonzero(blocks[50 * part : 50 * part + 50])
        assert abs(on[0] - 25) <= 6, (part, on)
        assert abs(on[-1] - 37) <= 6, (part, on)


def test_shots_and_index_of_a_joined_recording(tmp_path):
    parts = [recording(tmp_path / "1.mkv"), recording(tmp_path / "2.mkv", first=100)]
    clip = probe(joined(tmp_path / "all.mkv", *parts))
    index = read_index(clip.path)
    assert index.times is None
    assert [entry.packet for entry in index.entries] == [0]
    assert look_through(clip).cuts in ((), (12,))
    assert [number_of(frame) for frame in read_frames(clip, 10, 14)] == [10, 11, 100, 101]


def test_a_clock_that_jumps_at_every_turn_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(clock, "MOST", 3)
    parts = [recording(tmp_path / f"{n}.ts", frames=6) for n in range(5)]
    with pytest.raises(InputError, match="jumps more than 3 times; convert it to mp4 first"):
        probe(joined(tmp_path / "all.ts", *parts))
