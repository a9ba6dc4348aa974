"""A process of its own for looking at a file: the same answers, and one line for whatever happens to it."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.clips import make_clip, picture
from venhancer.errors import InputError, SettingsError
from venhancer.media.reading.isolation import inspect, read_clip, search_clip
from venhancer.media.reading.probe import ClipInfo, probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.reading.shots import look_through
from venhancer.media.source import Identity
from venhancer.media.tracks import plan_tracks


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        inspect(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"sound": "aac", "rate": Fraction(24000, 1001), "aspect": Fraction(16, 11), "rotation": 90}),
        ("a.mkv", {"sound": "libopus", "tracks": 2, "subtitles": 2, "metadata": {"title": "Ü\nx"}}),
        ("v.mkv", {"times": [0, 1, 5, 6, 7, 8, 9, 20, 21, 22, 23, 24], "time_base": Fraction(1, 25)}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.gif", {"codec": "gif", "pixel_format": "rgb8"}),
        ("b.mov", {"codec": "prores_ks", "pixel_format": "yuva444p10le"}),
    ],
)
def test_answer_is_that_of_the_probe(tmp_path, name, options):
    path = make_clip(tmp_path / name, **options)
    assert inspect(path) == probe(path)


def test_refusal_is_that_of_the_probe(tmp_path):
    (tmp_path / "text.mp4").write_text("hello " * 500)
    for path in (tmp_path / "text.mp4", tmp_path / "none.mp4", tmp_path):
        with pytest.raises(InputError) as refused:
            probe(path)
        assert refusal(path) == str(refused.value)


@pytest.mark.parametrize("fate", ["os.kill(os.getpid(), signal.SIGSEGV)", "bytearray(1 << 40)", "1 / 0"])
def test_pictures_stand_whatever_their_sound_does_to_its_decoders(tmp_path, monkeypatch, fate):
    path = make_clip(tmp_path / "a.mp4", sound="aac")
    code = f"it.with_sound = lambda clip: {fate}\nit.main()"
    monkeypatch.setattr(sys, "executable", str(child_that(code, tmp_path)))
    clip = inspect(path)
    assert (clip.frames, clip.has_audio) == (12, True)
    (copied,), (lost,) = plan_tracks(clip.tracks, ".mp4"), plan_tracks(clip.tracks, ".webm")
    assert (copied.outcome, lost.outcome) == ("copied", "not kept: no decoder for it, or no way to mix its channels")


def test_name_that_is_no_text_reaches_the_child(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    path = path.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe %d \n'\".mp4")))
    assert inspect(path).path == path


def test_limits_reach_the_child(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", frames=12)
    monkeypatch.setenv("VENHANCER_LIMITS", "frames=11")
    assert "more than 11 frames" in refusal(path)
    monkeypatch.setenv("VENHANCER_LIMITS", "frame=11")
    with pytest.raises(SettingsError):
        inspect(path)


def child_that(code: str, tmp_path: Path, *, may_write: bool = False) -> Path:
    """Return an interpreter that runs `code` once our modules are loaded, in place of looking at anything."""
    script = tmp_path / "python"
    restriction = "" if may_write else "it.restrict(it.read_limits(), int(sys.argv[-1]))\n"
    script.write_text(
        f"#!{sys.executable}\nimport sys, json, os, signal, time\nimport venhancer.media.reading.isolation as it\n"
        f"from pathlib import Path\nsys.argv[1:] = sys.argv[-2:]\n{restriction}{code}\n"
    )
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashes the decoder (SIGSEGV)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashes the decoder (SIGKILL)"),
        ("os.abort()", "crashes the decoder (SIGABRT)"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "cannot be inspected within"),
        ("raise RuntimeError('what is this')", "(RuntimeError: what is this)"),
        ("sys.exit(0)", "cannot be inspected"),
        ('print(\'{"clip": {"width": "many"}}\')', "cannot be inspected"),
        ("print('[1]')", "cannot be inspected"),
        ("print(json.dumps({'error': 'KeyboardInterrupt', 'message': ''}))", "cannot be inspected"),
        (
            "it.probe_film = lambda path, **_: bytearray(1 << 40)\nit.main()",
            "GiB to inspect",
        ),
    ],
)
def test_whatever_happens_to_the_child_is_one_line(tmp_path, monkeypatch, code, words):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    monkeypatch.setattr(sys, "executable", str(child_that(code, tmp_path)))
    assert words in refusal(path)


class Told:
    """Progress that counts."""

    def __init__(self) -> None:
        self.total, self.done = 0, 0

    def start(self, total: int, what: str) -> None:
        self.total = total

    def advance(self) -> None:
        self.done += 1


def two_shots(path: Path) -> Path:
    dark = [np.full((48, 64, 3), 30, np.uint8)] * 12
    return make_clip(path, pictures=[*dark, *(picture(number) for number in range(12))])


def test_shots_are_those_found_here(tmp_path):
    clip = inspect(two_shots(tmp_path / "a.mkv"))
    assert search_clip(clip).cuts == look_through(clip).cuts == (12,)
    assert search_clip(clip, range(12, 24)).cuts == ()
    assert search_clip(clip, range(6, 24)).cuts == (12,)


def test_frame_that_crashes_a_decoder_is_one_line_before_any_work(tmp_path, monkeypatch):
    """The look for shots decodes every frame, and does it in the child as well."""
    clip = inspect(two_shots(tmp_path / "a.mkv"))
    code = (
        "from venhancer.media.reading import shots\nreal = shots.small_luma\nseen = []\n"
        "def small_luma(*given):\n  seen.append(1)\n  time.sleep(0.03)\n"
        "  if len(seen) > 20: os.kill(os.getpid(), signal.SIGSEGV)\n  return real(*given)\n"
        "shots.small_luma = small_luma\nit.main()"
    )
    monkeypatch.setattr(sys, "executable", str(child_that(code, tmp_path)))
    told = Told()
    with pytest.raises(InputError, match="crashes the decoder"):
        search_clip(clip, progress=told)
    assert told.total == 24
    assert 5 < told.done <= 20


def test_complaints_do_not_hide_the_answer(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    code = "import atexit\natexit.register(lambda: print('bye', file=sys.stderr))\nprint('hello')\nit.main()"
    monkeypatch.setattr(sys, "executable", str(child_that(code, tmp_path)))
    assert inspect(path).frames == 2


def test_child_that_hangs_is_ended(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    monkeypatch.setenv("VENHANCER_LIMITS", "probe_seconds=5")  # a busy machine starts a child late
    code = f"Path({str(tmp_path / 'number')!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    monkeypatch.setattr(sys, "executable", str(child_that(code, tmp_path, may_write=True)))
    assert "cannot be inspected within 6 s" in refusal(path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "number").read_text()), 0)


def test_time_allowed_grows_with_the_file(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    monkeypatch.setenv("VENHANCER_LIMITS", "probe_seconds=1")
    os.truncate(path, 96 << 20)
    monkeypatch.setattr(sys, "executable", str(child_that("time.sleep(600)", tmp_path)))
    assert "cannot be inspected within 4 s" in refusal(path)


def limited(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    begin = (
        "import os, socket, sys, venhancer.media.reading.isolation as it\n"
        "from venhancer.media.limits import Limits\nit.restrict(Limits(probe_memory=1), 5)\n"
    )
    return subprocess.run([sys.executable, "-c", begin + code], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know not all of these limits")
def test_child_has_little_memory_and_writes_no_file(tmp_path):
    assert "MemoryError" in limited("bytearray(1 << 30)", tmp_path).stderr
    assert limited("bytearray(1 << 26)", tmp_path).returncode == 0
    assert "File too large" in limited("os.write(os.open('a', os.O_CREAT | os.O_WRONLY), b'text')", tmp_path).stderr
    assert not (tmp_path / "a").read_bytes()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems let no program shut its own network off")
@pytest.mark.parametrize("user", [0, 65534])
def test_child_reaches_no_network(tmp_path, user):
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0)
    port = server.getsockname()[1]
    call = f"socket.create_connection(('127.0.0.1', {port}), timeout=5)"
    begin = "import ctypes, os, resource, socket, venhancer.media.reading.isolation as it\n"
    begin += "from venhancer.media.limits import Limits\n"
    begin += f"'a'.encode('idna')\nos.setuid({user})\n"
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as the child is started
    done = [
        subprocess.run(
            [sys.executable, "-c", begin + more + call], env=alone, capture_output=True, text=True, check=False
        )
        for more in ("", "it.restrict(Limits(), 5)\n")
    ]
    assert done[0].returncode == 0
    assert "unreachable" in done[1].stderr
    server.accept()[0].close()
    with pytest.raises(BlockingIOError):
        server.accept()
    server.close()


def test_every_field_of_a_description_passes():
    clip = ClipInfo(
        path=Path("a b"),
        width=2,
        height=3,
        frames=4,
        rate=Fraction(30000, 1001),
        duration=Fraction(1, 3),
        codec="h264",
        pixel_format="yuv420p",
        color_matrix="bt709",
        full_range=True,
        sample_aspect_ratio=Fraction(1),
        has_audio=False,
        not_kept=("a", "b"),
        identity=Identity(1, 2),
    )
    told = json.loads(json.dumps(asdict(clip), default=str))
    assert read_clip(told, clip.path) == clip
    for field in fields(ClipInfo)[1:]:  # beside the path; no field takes whatever it is told
        with pytest.raises((TypeError, ValueError, KeyError)):
            read_clip({**told, field.name: {"a": [{}]}}, clip.path)


def test_change_since_the_look_is_told(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=4)
    clip = inspect(path)
    assert len(list(read_frames(clip))) == 4
    path.touch()
    with pytest.raises(InputError, match="has changed since it was inspected"):
        list(read_frames(clip))
    assert len(list(read_frames(replace(clip, identity=None)))) == 4


def test_change_during_reading_is_told(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=40)
    frames = read_frames(inspect(path))
    next(frames)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(InputError, match="changed while it was being read"):
        list(frames)


def test_file_put_in_place_of_another_changes_nothing_for_who_reads(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=40)
    frames = read_frames(inspect(path))
    next(frames)
    make_clip(tmp_path / "b.mp4", frames=3).rename(path)
    assert len(list(frames)) == 39


def test_ctrl_c_ends_the_child_and_says_nothing_more(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=2)
    script = child_that("time.sleep(600)", tmp_path)
    code = (
        "import sys\nfrom pathlib import Path\nfrom venhancer.media.reading.isolation import inspect\n"
        f"sys.executable = {str(script)!r}\nprint('ready', flush=True)\ninspect(Path({str(path)!r}))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGINT)
        _, complaints = run.communicate(timeout=60)
    assert complaints.strip().endswith("KeyboardInterrupt")
