"""Recordings of which a part was lost: the same answer every time, before the damage, across it and with it kept."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media.clips import make_clip, number_of, picture
from venhancer.errors import InputError
from venhancer.media.reading.isolation import inspect
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.planning.timeline import make_timeline
from venhancer.settings import EnhanceSettings

PACKET = 188


def noisy(number: int) -> np.ndarray:
    """Return a picture that takes several packets."""
    shown = picture(number, 96, 64).astype(int)
    noise = np.random.default_rng(number).integers(-30, 30, shown.shape)
    noise[: shown.shape[0] // 4] = 0
    return np.clip(shown + noise, 0, 255).astype(np.uint8)


def recording(path: Path, codec: str = "libx264", frames: int = 24) -> bytes:
    shown = (noisy(number) for number in range(frames))
    options = (
        {"g": "8", "x264-params": "bframes=2:scenecut=0"}
        if codec == "libx264"
        else {"g": "8", "qmin": "2", "qmax": "2"}
    )
    return make_clip(path, codec=codec, width=96, height=64, rate=25, options=options, pictures=shown).read_bytes()


def packet_within(path: Path, number: int) -> int:
    """Return which packet of a transport stream lies in the middle of frame `number`."""
    with av.open(str(path)) as container:
        places = sorted((packet.pts, packet.pos, packet.size) for packet in container.demux(video=0) if packet.size)
    return places[number][1] // PACKET + max(1, places[number][2] // PACKET // 2)


@pytest.fixture(params=["libx264", "mpeg2video"])
def lossy(tmp_path, request) -> Path:
    """A recording that has lost one packet within frame 12."""
    path = tmp_path / "a.ts"
    content = recording(path, request.param)
    lost = packet_within(path, 12)
    path.write_bytes(content[: lost * PACKET] + content[(lost + 1) * PACKET :])
    return path


def test_damage_is_refused_by_default_and_does_not_matter_after_the_end(lossy):
    with pytest.raises(InputError, match=r"frame 1[12] is damaged; .* pass an --end before it, or pass --keep-damaged"):
        inspect(lossy)
    clip = inspect(lossy, is_part=True)
    first = clip.damage[0][0]
    assert first in (11, 12)
    assert clip.damage[-1][1] <= 16  # up to the next key frame
    early = EnhanceSettings(end=first * Fraction(1, 25))
    assert make_timeline(clip, early).inputs == range(first)
    assert [number_of(frame) for frame in read_frames(clip, 0, first)] == list(range(first))
    assert make_timeline(clip, EnhanceSettings(start=Fraction(16, 25))).inputs == range(16, 24)
    with pytest.raises(InputError, match=r"is damaged at frames 1[12] to"):
        make_timeline(clip, EnhanceSettings(end=Fraction(20, 25)))
    with pytest.raises(InputError, match="is damaged"):
        list(read_frames(clip))


def test_damage_is_kept_if_asked_for(lossy):
    clip = replace(inspect(lossy, keep_damaged=True), keep_damaged=True)
    assert (clip.frames, clip.rate, clip.timestamps) == (24, 25, None)
    assert make_timeline(clip, EnhanceSettings(keep_damaged=True)).inputs == range(24)
    frames = list(read_frames(clip))
    assert len(frames) == 24
    whole = [*range(10), *range(16, 24)]
    assert [number_of(frames[number]) for number in whole] == whole
    again = list(read_frames(clip))
    assert all(np.array_equal(one, other) for one, other in zip(frames, again, strict=True))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_damage_within_a_table_of_frames_is_kept_too(tmp_path, name):
    path = tmp_path / name
    content = bytearray(recording(path))
    with av.open(str(path)) as container:
        packets = sorted((p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size)
    place = packets[12][1]
    content[place + 4 : place + packets[12][2] - 1] = bytes(packets[12][2] - 5)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"frame 12 is (damaged|missing)"):
        list(read_frames(probe(path)))
    clip = replace(probe(path, keep_damaged=True), keep_damaged=True)
    assert clip.frames == 24
    assert clip.damage
    frames = list(read_frames(clip))
    assert [number_of(frames[number]) for number in (*range(10), *range(16, 24))] == [*range(10), *range(16, 24)]


def test_a_movie_cut_short_is_read_up_to_there(tmp_path):
    path = tmp_path / "a.mp4"
    content = make_clip(path, frames=40, container_options={"movflags": "+faststart"}).read_bytes()
    with av.open(str(path)) as container:
        places = sorted(packet.pos for packet in container.demux(video=0) if packet.size)
    path.write_bytes(content[: places[20]])
    clip = probe(path, is_part=True)
    assert make_timeline(clip, EnhanceSettings(end=Fraction(10, 24))).inputs == range(10)
    with pytest.raises(InputError, match="is damaged at the end"):
        make_timeline(clip, EnhanceSettings())
    assert make_timeline(clip, EnhanceSettings(keep_damaged=True)).inputs == range(clip.frames)


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_recording_may_end_anywhere(tmp_path, codec):
    """Frames up to the last whole one are there, wherever it ends and whenever it is asked."""
    path = tmp_path / "a.ts"
    content = recording(path, codec, frames=12)
    counts = []
    for length in range(len(content) * 3 // 4, len(content), 331):
        path.write_bytes(content[:length])
        clip = probe(path)
        counts.append(clip.frames)
        shown = [number_of(frame) for frame in read_frames(clip)]
        assert shown == list(range(clip.frames))
        assert probe(path) == clip
    assert counts == sorted(counts)
    assert counts[-1] >= 10


def test_counters_that_begin_again_within_one_clock_are_no_damage(tmp_path):
    """Segments of a stream, each with counters of its own, laid end to end."""
    first = make_clip(tmp_path / "1.ts", frames=12, rate=24).read_bytes()
    with av.open(str(tmp_path / "2.ts"), "w", container_options={"output_ts_offset": "0.5"}) as output:
        stream = output.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12, 24):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = number - 12, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (tmp_path / "a.ts").write_bytes(first + (tmp_path / "2.ts").read_bytes())
    clip = probe(tmp_path / "a.ts")
    assert (clip.frames, clip.jumps, clip.damage) == (24, (), ())


def test_frames_before_a_join_are_read_though_the_file_ends_right_after_it(tmp_path):
    """The decoder still holds them, at later times of the first clock, when it meets the torn frame."""
    path = tmp_path / "a.ts"
    first, second = recording(tmp_path / "1.ts", frames=12), recording(tmp_path / "2.ts", frames=1)
    path.write_bytes(first + second[: 6 * PACKET])
    clip = probe(path)
    assert clip.frames == 12
    assert [number_of(frame) for frame in read_frames(clip)] == list(range(12))
