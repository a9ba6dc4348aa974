"""Whole files or none: what was written is what was given, and no failure leaves a trace."""

import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from media.clips import make_clip, number_of, packets_of, picture
from venhancer.errors import InputError, JobFailed
from venhancer.media.orientation import Orientation
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.assemble import assemble
from venhancer.media.writing.writer import check_target, in_order, write_segment, write_video
from venhancer.media.writing.writing import Span, Writing

TESTS = Path(__file__).parents[2]
TAGS = {"bt601": (6, 6, 6), "bt709": (1, 1, 1), "bt2020": (9, 9, 14)}  # matrix, primaries, transfer in ITU-T H.273


def writing(**changes) -> Writing:
    given = {"width": 64, "height": 48, "rate": Fraction(24), "crf": 10, "codec": "h264", "color_matrix": "bt709"}
    return Writing(**{**given, **changes})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pictures(count: int, width: int = 64, height: int = 48):
    return (picture(number, width, height) for number in range(count))


@pytest.mark.usefixtures("windows")
def test_segments_and_files_are_written_where_folders_cannot_be_opened(tmp_path):
    segment = write_segment(tmp_path / "a.mkv", pictures(3), writing())
    target = write_video(tmp_path / "out.mp4", pictures(3), writing(), None)
    assert names(tmp_path) == [segment.name, target.name]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(25, 2), Fraction(1000, 7)])
def test_frames_rate_and_times_come_back(tmp_path, suffix, rate):
    target = write_video(tmp_path / f"out{suffix}", pictures(40), writing(rate=rate), None)
    clip = probe(target)
    assert (clip.frames, clip.rate, clip.duration, clip.not_kept) == (40, rate, 40 / rate, ())
    assert [number_of(frame) for frame in read_frames(clip)] == list(range(40))
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        times = [frame.pts * stream.time_base for frame in container.decode(stream)]
    rounding = Fraction(1, 2000) if suffix == ".mkv" else 0
    assert all(abs(time - number / rate) <= rounding for number, time in enumerate(times))


EVEN, ENDS_LONG, HOLDS = (
    None,
    (0, 1, 2, 4, 5, 9, 10, 11, 12, 13, 15, 39, 63),
    (0, 1, 2, 4, 5, 9, 10, 11, 12, 36, 37, 38, 39),
)
"""When frames are shown, and the last one ends, in 24ths of a second."""


@pytest.mark.parametrize("times", [EVEN, ENDS_LONG, HOLDS], ids=["even", "ends long", "holds"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *((f"a{suffix}", codec) for suffix in (".mp4", ".mov", ".mkv") for codec in ("h264", "hevc")),
        *((f"a{suffix}", codec) for suffix in (".mp4", ".mkv", ".webm") for codec in ("av1", "vp9")),
        ("a.mov", "prores"),
        ("a.mkv", "ffv1"),
    ],
)
def test_the_last_frame_lasts_as_long_as_it_should(tmp_path, name, codec, times):
    """By the stream, the container, another FFmpeg and our own reader, with encoders that reorder frames and others."""
    timing = {} if times is None else {"timestamps": times, "time_base": Fraction(1, 24)}
    whole = Fraction(12 if times is None else times[-1], 24)
    target = write_video(tmp_path / name, pictures(12), writing(codec=codec, crf=None, **timing), None)
    with av.open(str(target)) as container:
        stream = container.streams.video[0]
        assert abs(Fraction(container.duration, av.time_base) - whole) < Fraction(1, 900)
        assert stream.duration is None or stream.duration * stream.time_base == whole
        assert stream.duration or target.suffix in (".mkv", ".webm")  # which have but one for all
    assert abs(probe(target).duration - whole) < Fraction(1, 900)
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    told = subprocess.run([program, "-i", str(target)], capture_output=True, text=True, check=False).stderr
    hours, minutes, seconds = told.partition("Duration: ")[2].partition(",")[0].split(":")
    assert (hours, minutes) == ("00", "00")
    assert abs(float(seconds) - float(whole)) < 0.011


@pytest.mark.parametrize("times", [EVEN, ENDS_LONG, HOLDS], ids=["even", "ends long", "holds"])
@pytest.mark.parametrize(("codec", "tick"), [("gif", 10), ("webp", 1)])
def test_animated_pictures_last_as_long_as_they_should(tmp_path, codec, tick, times):
    timing = {} if times is None else {"timestamps": times, "time_base": Fraction(1, 24)}
    target = write_video(tmp_path / f"a.{codec}", pictures(12), writing(codec=codec, crf=None, **timing), None)
    ends = [Fraction(time, 24) * 1000 for time in (times or range(13))]
    shown = 0
    with Image.open(target) as animation:
        for number in range(12):
            animation.seek(number)
            animation.load()
            shown += animation.info["duration"]
            assert abs(shown - ends[number + 1]) <= tick


def test_lossless_frames_come_back_bit_for_bit(tmp_path):
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(6)]
    clip = probe(write_video(tmp_path / "a.mkv", iter(frames), writing(codec="ffv1"), None))
    assert (clip.codec, clip.frames, clip.rate) == ("ffv1", 6, 24)
    assert all(np.array_equal(*pair) for pair in zip(read_frames(clip), frames, strict=True))


@pytest.mark.parametrize("matrix", TAGS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_colour_is_tagged_and_the_tags_are_true(tmp_path, matrix, suffix):
    colours = np.array([[200, 60, 40], [40, 190, 60], [50, 60, 210], [230, 220, 40]], np.uint8)
    frame = np.ascontiguousarray(np.broadcast_to(np.repeat(colours, 16, axis=0), (48, 64, 3)))
    target = write_video(tmp_path / f"a{suffix}", [frame] * 3, writing(color_matrix=matrix, crf=1), None)
    with av.open(str(target)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == TAGS[matrix]
        assert (context.color_range, context.pix_fmt) == (1, "yuv420p")
    clip = probe(target)
    assert (clip.color_matrix, clip.full_range, clip.not_kept) == (matrix, False, ())
    for read in read_frames(clip):
        assert np.abs(read[24, 8::16].astype(int) - colours).max() <= 3


def test_luma_is_that_of_the_matrix(tmp_path):
    """Pure green has luma 16 + 219 * 0.587 in bt601 and 16 + 219 * 0.7152 in bt709."""
    green = np.zeros((48, 64, 3), np.uint8)
    green[..., 1] = 255
    for matrix, weight in [("bt601", 0.587), ("bt709", 0.7152), ("bt2020", 0.678)]:
        target = write_video(tmp_path / f"{matrix}.mp4", [green], writing(color_matrix=matrix, crf=1), None)
        with av.open(str(target)) as container:
            luma = next(container.decode(video=0)).to_ndarray()[:48]
        assert abs(luma.mean() - (16 + 219 * weight)) < 1


def test_sound_tags_and_pixel_shape_go_along(tmp_path):
    source = make_clip(
        tmp_path / "a.mp4",
        frames=48,
        sound="aac",
        rotation=90,
        aspect=Fraction(4, 3),
        metadata={"title": "Grüße", "artist": "me"},
    )
    clip = probe(source)
    plan = writing(width=48, height=64, metadata={"venhancer": '{"seed": 1}', "artist": "you"})
    for suffix in (".mp4", ".mov", ".mkv"):
        target = write_video(tmp_path / f"out{suffix}", read_frames(clip), plan, clip)
        result = probe(target)
        assert packets_of(target, "audio") == packets_of(source, "audio")
        assert (result.orientation, result.audio_codec) == (Orientation(), "aac")
        assert result.sample_aspect_ratio == Fraction(3, 4)
        with av.open(str(target)) as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
        assert (tags["title"], tags["artist"], tags["venhancer"]) == ("Grüße", "you", '{"seed": 1}')
        assert result.duration == 2


def test_sound_can_be_left_out_and_the_rest_kept(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", sound="aac", metadata={"title": "t"}))
    target = write_video(tmp_path / "b.mp4", read_frames(clip), writing(span=Span(clip.start, slow=Fraction(2))), clip)
    assert not probe(target).has_audio
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "t"


def test_file_can_be_played_while_it_arrives(tmp_path):
    data = write_video(tmp_path / "a.mp4", pictures(10), writing(), None).read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")


def test_writing_takes_frames_one_by_one(tmp_path):
    """Only the encoder's few frames of lookahead are alive at a time."""
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def counted():
        nonlocal alive, most
        for number in range(30):
            alive += 1
            most = max(most, alive)
            frame = np.ndarray.__new__(Counted, (48, 64, 3), np.uint8)
            frame[...] = picture(number)
            yield frame
            del frame

    write_video(tmp_path / "a.mp4", counted(), writing(), None)
    assert most < 10


def test_file_gets_ordinary_permissions(tmp_path):
    target = write_video(tmp_path / "a.mp4", pictures(2), writing(), None)
    (tmp_path / "plain").touch()
    assert target.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "q'u\"o$ te.mkv", "übung 映画.mov", "12:30.mp4", "%03d.mkv", "x" * 251 + ".mp4"]
)
def test_any_file_name_works(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_target(Path(name), Path("source.mp4"), overwrite=False)
    write_video(Path(name), pictures(3), writing(), None)
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, InputError, OSError])
@pytest.mark.parametrize("after", [0, 3, 60])
def test_failing_frames_leave_nothing_and_pass_through(tmp_path, error, after):
    clip = probe(make_clip(tmp_path / "a.mp4", frames=80, sound="aac"))

    def broken():
        yield from pictures(after)
        raise error("stop here")

    target = tmp_path / "b.mp4"
    target.write_bytes(b"earlier result")
    with pytest.raises(error, match="stop here"):
        write_video(target, broken(), writing(), clip)
    assert target.read_bytes() == b"earlier result"
    assert names(tmp_path) == ["a.mp4", "b.mp4"]


def test_wrong_frames_are_a_wrong_call(tmp_path):
    for frames in [
        [],
        [np.zeros((48, 32, 3), np.uint8)],
        [np.zeros((48, 64, 3), np.float32)],
        [np.zeros((48, 64), np.uint8)],
    ]:
        with pytest.raises(ValueError, match="frame"):
            write_video(tmp_path / "a.mp4", iter(frames), writing(), None)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 63},
        {"height": 0},
        {"rate": Fraction(0)},
        {"crf": 52},
        {"pixel_format": "pal8"},
        {"color_matrix": "rgb"},
    ],
)
def test_wrong_writing_is_a_wrong_call(changes):
    with pytest.raises(ValueError, match="must be"):
        writing(**changes)


def test_container_must_hold_the_codec(tmp_path):
    with pytest.raises(InputError, match=r"use \.mkv"):
        write_video(tmp_path / "a.mp4", pictures(1), writing(codec="ffv1"), None)
    with pytest.raises(InputError, match=r"use \.mp4"):
        write_video(tmp_path / "a.avi", pictures(1), writing(), None)


def fails_in_one_line(code: str, *arguments: object) -> str:
    """Run `code` in a process of its own and return the JobFailed it ends with."""
    head = (
        "import os, resource, signal, sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(TESTS)!r})\n"
        "from media.clips import *\nfrom media.writing.test_writer import *\n"
    )
    tail = "\ntry: run()\nexcept Exception as error: print(type(error).__name__, error)\n"
    command = [sys.executable, "-c", head + code + tail, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("JobFailed"), done
    assert done.stdout.count("\n") == 1
    return done.stdout


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, suffix):
    """A limit on the size of files stops every write at a given byte, down to the very last one."""
    whole = write_video(tmp_path / f"whole{suffix}", pictures(30), writing(), None).stat().st_size
    (tmp_path / "full").mkdir()
    code = (
        "def run():\n    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n    limit = int(sys.argv[2])\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "    write_video(Path(sys.argv[1]), pictures(30), writing(), None)\n"
    )
    for limit in (0, whole // 2, whole - 1):
        assert "File too large" in fails_in_one_line(code, tmp_path / "full" / f"a{suffix}", limit)
        assert names(tmp_path / "full") == []


def test_killed_process_leaves_the_earlier_file(tmp_path):
    target = tmp_path / "a.mp4"
    target.write_bytes(b"earlier result")
    code = (
        f"import os, signal, sys\nfrom pathlib import Path\nsys.path.insert(0, {str(TESTS)!r})\n"
        "from media.writing.test_writer import *\n"
        "def dying():\n    yield from pictures(80)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_video(Path(sys.argv[1]), dying(), writing(), None)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, target], check=False).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"earlier result"
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["a.mp4"]


def test_folder_that_vanishes_is_one_line(tmp_path):
    with pytest.raises(JobFailed, match="No such file or directory") as failed:
        write_video(tmp_path / "gone" / "a.mp4", pictures(3), writing(), None)
    assert "\n" not in str(failed.value)


def refusal(target: Path, source: Path, *, overwrite: bool = True) -> str:
    with pytest.raises(InputError) as refused:
        check_target(target, source, overwrite=overwrite)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_targets_that_must_not_be_written_are_refused(tmp_path):
    source = tmp_path / "a.mp4"
    source.write_bytes(b"source")
    (tmp_path / "soft.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "old.mp4").touch()
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    for name in ("a.mp4", "soft.mp4", "hard.mp4", "../" + tmp_path.name + "/a.mp4"):
        assert "source itself" in refusal(tmp_path / name, source)
    assert "not a file" in refusal(tmp_path / "folder.mp4", source)
    assert "create it first" in refusal(tmp_path / "none" / "b.mp4", source)
    assert "create it first" in refusal(source / "b.mp4", source)
    assert "too long" in refusal(tmp_path / ("x" * 300 + ".mp4"), source)
    for name in ("b.avi", "b", "b.mp4.txt", "b.jpg"):
        assert "must end in .mp4, .mov, .mkv" in refusal(tmp_path / name, source)
    for name in ("old.mp4", "dangling.mp4"):
        assert "--overwrite" in refusal(tmp_path / name, source, overwrite=False)
    check_target(tmp_path / "old.mp4", source, overwrite=True)
    check_target(tmp_path / "NEW.MKV", source, overwrite=False)
    with pytest.raises(InputError, match=r"cannot hold ffv1; use \.mkv"):
        check_target(tmp_path / "new.mp4", source, overwrite=False, codec="ffv1")


def test_folder_without_permission_is_refused(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom venhancer.media.writing.writer import check_target\n"
        "os.chdir(sys.argv[1])\nif os.getuid() == 0: os.setuid(65534)\n"
        "try: check_target(Path('b.mp4'), Path('a.mp4'), overwrite=False)\nexcept Exception as error: print(error)\n"
    )
    tmp_path.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert "is not writable" in done.stdout


@pytest.mark.parametrize(("told", "kept"), [(None, 7), (1 << 50, 7), (-(1 << 50), 7), (8, 7), (7, 7), (4, 4)])
def test_packets_are_decoded_before_they_are_shown(told, kept):
    packet = av.Packet(b"0")
    packet.pts, packet.dts = 7, told
    assert in_order(packet).dts == kept


@pytest.mark.parametrize("frames", [1, 2])
def test_segments_shorter_than_the_reordering_can_be_written(tmp_path, frames):
    """Of so few frames x265 tells decode times that it never set: any number, another one each time."""
    for attempt in range(30):
        path = write_segment(tmp_path / f"{attempt}.mkv", pictures(frames), writing(codec="hevc", crf=None))
        with av.open(str(path)) as container:
            assert [packet.pts for packet in container.demux(video=0) if packet.size] == [0, 42][:frames]
    whole = assemble(tmp_path / "a.mp4", sorted(tmp_path.iterdir()), writing(codec="hevc", crf=None), None)
    clip = probe(whole)
    assert (clip.frames, clip.duration) == (30 * frames, Fraction(30 * frames, 24))
