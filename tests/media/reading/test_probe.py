"""What is told of a clip, and what is refused."""

import os
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media.clips import make_clip, picture
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.tracks import describe_losses, plan_tracks


def test_plain_clip_is_described_exactly(tmp_path):
    path = make_clip(tmp_path / "a.mp4", rate=Fraction(24000, 1001), frames=30, sound="aac")
    clip = probe(path)
    assert (clip.width, clip.height, clip.frames) == (64, 48, 30)
    assert (clip.rate, clip.duration) == (Fraction(24000, 1001), Fraction(30 * 1001, 24000))
    assert (clip.codec, clip.pixel_format, clip.sample_aspect_ratio) == ("h264", "yuv420p", 1)
    assert (clip.has_audio, clip.audio_codec, clip.not_kept) == (True, "aac", ())
    assert clip.path == path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "libx264", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("hidden.webm", "libvpx", "yuv420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("h.mp4", "libx265", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("h264.avi", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.mpg", "mpeg2video", "yuv420p"),
        ("a.gif", "gif", "rgb8"),
        ("ff.mkv", "ffv1", "bgr0"),
    ],
)
@pytest.mark.parametrize("rate", [25, 30])
def test_count_and_rate_are_exact_in_every_container(tmp_path, name, codec, pixel_format, rate):
    clip = probe(make_clip(tmp_path / name, codec=codec, pixel_format=pixel_format, frames=40, rate=rate))
    assert (clip.frames, clip.rate) == (40, rate)
    assert (clip.timestamps, clip.jitter) == (None, 0)
    assert sum(1 for _ in read_frames(clip)) == 40


def test_declared_rate_that_lies_is_corrected_by_the_timestamps(tmp_path):
    path = make_clip(tmp_path / "a.mkv", rate=30, frames=40, times=range(0, 2000, 50), time_base=Fraction(1, 1000))
    assert (probe(path).rate, probe(path).not_kept) == (20, ())


def test_variable_timing_is_told_exactly(tmp_path):
    times = [0, 1, 2, 4, 5, 9, 10, 11, 12, 13, 15, 17]
    clip = probe(make_clip(tmp_path / "a.mp4", frames=12, times=times, time_base=Fraction(1, 24)))
    assert [number * clip.time_base for number in clip.timestamps] == [Fraction(time, 24) for time in times]
    assert clip.duration == clip.frames / clip.rate == clip.frame_time(12) == Fraction(18, 24)


def test_frames_cut_away_by_an_edit_list_do_not_count(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=48)
    data = bytearray(path.read_bytes())
    place = data.find(b"elst") + 12
    duration, start, _ = struct.unpack(">IiI", data[place : place + 12])
    data[place : place + 8] = struct.pack(">Ii", duration // 2, start + 12 * 512)
    path.write_bytes(data)
    clip = probe(path)
    frames = list(read_frames(clip))
    assert clip.frames == len(frames) == 24
    assert np.abs(frames[0].astype(int) - picture(12)).mean() < 5


@pytest.mark.parametrize(
    ("matrix", "lines", "expected"),
    [(1, 48, "bt709"), (6, 720, "bt601"), (9, 48, "bt2020"), (2, 48, "bt601"), (2, 718, "bt601"), (2, 720, "bt709")],
)
def test_matrix_is_the_tag_or_follows_the_size(tmp_path, matrix, lines, expected):
    assert probe(make_clip(tmp_path / "a.mp4", height=lines, frames=1, matrix=matrix)).color_matrix == expected


def test_unknown_matrix_is_refused(tmp_path):
    context = make_clip(
        tmp_path / "a.mkv", frames=1, pixel_format="yuv444p", options={"x264-params": "colormatrix=YCgCo"}
    )
    with pytest.raises(InputError, match="colour matrix 8"):
        probe(context)


@pytest.mark.parametrize(
    ("pixel_format", "full_range", "expected"),
    [("yuv420p", None, False), ("yuv420p", False, False), ("yuv420p", True, True), ("yuvj420p", True, True)],
)
def test_range_is_read(tmp_path, pixel_format, full_range, expected):
    path = make_clip(tmp_path / "a.mp4", frames=1, pixel_format=pixel_format, full_range=full_range)
    assert probe(path).full_range is expected


def test_size_and_pixel_shape_are_those_of_the_upright_picture(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", aspect=Fraction(16, 11), frames=1))
    assert (clip.width, clip.height, clip.sample_aspect_ratio) == (64, 48, Fraction(16, 11))
    turned = probe(make_clip(tmp_path / "b.mp4", aspect=Fraction(16, 11), rotation=90, frames=1))
    assert (turned.width, turned.height, turned.sample_aspect_ratio) == (48, 64, Fraction(11, 16))
    assert (clip.orientation.rotation, turned.orientation.rotation) == (0, 90)


def test_what_will_be_lost_is_named(tmp_path):
    many = probe(make_clip(tmp_path / "a.mkv", sound="libopus", tracks=2, subtitles=2, frames=2))
    assert many.not_kept == ()
    assert describe_losses(plan_tracks(many.tracks, ".mp4")) == [
        "2 x subtitles (subrip) as they are: converted to mov_text: .mp4 cannot hold these subtitles"
    ]
    high = {"pixel_format": "yuv420p10le", "matrix": 9, "primaries": 9, "transfer": 16}
    deep = probe(make_clip(tmp_path / "b.mp4", codec="libx265", frames=2, **high))
    assert (deep.not_kept, deep.depth, deep.transfer, deep.color_primaries) == ((), 10, "pq", 9)
    pal = probe(make_clip(tmp_path / "c.mp4", matrix=1, primaries=5, options={"flags": "+ildct+ilme"}, frames=2))
    assert (pal.not_kept, pal.color_primaries) == ((), 5)


@pytest.mark.parametrize("name", ["a.ts", "a.mp4", "a.mkv"])
@pytest.mark.parametrize("begin", [0, 5, None])
def test_captions_within_the_pictures_are_named(tmp_path, name, begin):
    """As broadcasters send them (ATSC A/53), in a message beside the picture."""
    message = b"\xb5\x00\x31GA94\x03\x42\xff" + b"\xfc\x94\x20\xfc\x94\x20" + b"\xff"
    unit = b"\0\0\0\x01\x06\x04" + bytes([len(message)]) + message + b"\x80"
    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream("libx264", rate=24, options={"x264-params": "bframes=0:threads=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            for packet in stream.encode(frame if number < 11 else None):
                said = av.Packet((unit if begin is not None and packet.pts >= begin else b"") + bytes(packet))
                said.pts, said.dts, said.time_base, said.stream = packet.pts, packet.dts, packet.time_base, stream
                said.is_keyframe = packet.is_keyframe
                output.mux(said)
    told = () if begin is None else ("closed captions within the pictures",)
    assert probe(tmp_path / name).not_kept == told


def test_transparency_is_seen_only_where_there_is_some(tmp_path):
    clear = [np.zeros((48, 64, 3), np.uint8)] * 2
    gif = probe(make_clip(tmp_path / "a.gif", codec="gif", pixel_format="rgb8", frames=3))
    prores = make_clip(tmp_path / "b.mov", codec="prores_ks", pixel_format="yuva444p10le", pictures=clear)
    assert not gif.has_alpha
    assert not probe(prores).has_alpha


@pytest.mark.parametrize(
    "name",
    [
        "-dash.mp4",
        "with space.mp4",
        "q'u\"o`te$.mp4",
        "übung 映画.mp4",
        "12:30 a.mp4",
        "file:a.mp4",
        "%03d.mp4",
        "a\nb.mp4",
    ],
)
def test_any_file_name_works(tmp_path, monkeypatch, name):
    make_clip(tmp_path / name, frames=3)
    monkeypatch.chdir(tmp_path)
    assert probe(Path(name)).frames == 3
    assert sum(1 for _ in read_frames(probe(Path(name)))) == 3


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        probe(path)
    message = str(refused.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_missing_file_folder_and_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "No such file" in refusal(tmp_path / "none.mp4")
    assert "is a folder" in refusal(tmp_path)
    assert "not a file" in refusal(tmp_path / "pipe.mp4")
    assert "File name too long" in refusal(tmp_path / ("x" * 300 + ".mp4"))


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("hello " * 500)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(5000))
    for name in ("text.mp4", "empty.mp4", "noise.mkv"):
        assert "not an mp4" in refusal(tmp_path / name)


def test_playlists_reach_no_other_file(tmp_path):
    inner = make_clip(tmp_path / "inner.ts", frames=3)
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{inner}\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {inner}\n")
    refusal(tmp_path / "list.m3u8")
    refusal(tmp_path / "list.mp4")


def test_sound_alone_is_refused(tmp_path):
    source = make_clip(tmp_path / "a.mp4", sound="aac", frames=12)
    with av.open(str(source)) as given, av.open(str(tmp_path / "only.m4a"), "w", format="mp4") as output:
        stream = output.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(audio=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    assert "no video stream" in refusal(tmp_path / "only.m4a")


def test_video_without_frames_is_refused(tmp_path):
    assert "no frame" in refusal(make_clip(tmp_path / "a.avi", frames=0, codec="mpeg4"))
    refusal(make_clip(tmp_path / "a.mkv", frames=0))
    refusal(make_clip(tmp_path / "a.mp4", frames=0))


def test_frames_that_do_not_decode_are_said(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=40)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        first = next(container.demux(video=0))
    data[first.pos + 4 : first.pos + first.size] = bytes(first.size - 4)
    path.write_bytes(data)
    clip = probe(path)
    assert clip.frames == sum(1 for _ in read_frames(clip)) < 40
    assert clip.not_kept == (f"undecodable frames ({40 - clip.frames})",)


@pytest.mark.parametrize("size", [65535, 20000])
def test_absurd_size_is_refused(tmp_path, size):
    path = make_clip(tmp_path / "a.gif", codec="gif", pixel_format="rgb8", frames=2)
    data = bytearray(path.read_bytes())
    data[6:10] = struct.pack("<HH", size, size)
    path.write_bytes(data)
    refusal(path)


@pytest.mark.parametrize("name", ["a.mp4", "fast.mp4", "fragments.mp4", "a.mkv", "a.webm", "a.avi", "a.gif"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_file_cut_short_is_refused(tmp_path, name, kept):
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".gif": "gif"}.get(Path(name).suffix, "libx264")
    flags = {"fast.mp4": "+faststart", "fragments.mp4": "+frag_keyframe+empty_moov"}.get(name)
    path = make_clip(
        tmp_path / name,
        codec=codec,
        pixel_format="rgb8" if codec == "gif" else "yuv420p",
        frames=40,
        container_options={"movflags": flags} if flags else None,
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refusal(path)


def test_fragments_cut_anywhere_are_refused(tmp_path):
    """Also within the table of a fragment; between two of them the file is a whole one that ends there."""
    path = make_clip(tmp_path / "a.mp4", frames=40, container_options={"movflags": "+frag_keyframe+empty_moov"})
    data, ends, place = path.read_bytes(), [], 0
    while place < len(data):
        place += int.from_bytes(data[place : place + 4], "big")
        ends.append(place)
    first_fragment = data.find(b"moof") - 4
    for length in {*range(first_fragment + 1, len(data), 97), *(end + 1 for end in ends[2:-1])} - {*ends}:
        path.write_bytes(data[:length])
        refusal(path)


def test_faststart_file_cut_between_two_frames_is_refused(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=40, container_options={"movflags": "+faststart"})
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: sorted(places)[20]])
    assert "cut short after 20 frames" in refusal(path)


def test_unreadable_file_is_refused(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=1)
    path.chmod(0)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom venhancer.media.reading.probe import probe\n"
        "os.chdir(sys.argv[1])\nif os.getuid() == 0: os.setuid(65534)\n"
        "try: probe(Path('a.mp4'))\nexcept Exception as error: print(type(error).__name__, error)\n"
    )
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout == "InputError a.mp4 is not readable; change its permissions\n"


def test_probing_loads_no_torch():
    code = "import sys, venhancer.media.writing.writer, venhancer.media.reading.probe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
