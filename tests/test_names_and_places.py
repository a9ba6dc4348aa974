"""Names that are more than letters, links, disks without room or permission, files that change: by the command line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forked import MAIN, Forked
from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.fleet.ledger import Ledger
from venhancer.fleet.stores import Store
from venhancer.media.reading.probe import probe

TINY = {"width": 32, "height": 24, "rate": 12, "frames": 6}
BYTES = os.fsdecode(b"not \xff\xfe utf-8.mp4")
NAMES = [
    "with space.mp4",
    "'single' \"double\" `back`.mp4",
    "new\nline.mp4",
    "tab\t and \r.mp4",
    "\x1b[31mred.mp4",
    "übung 映画 🎬 e\u0301.mp4",
    "\u202edesrever.mp4",
    "%03d.mp4",
    "%s%n%x.mp4",
    "100%.mp4",
    "12:30:59.mp4",
    "file:a.mp4",
    "http:x.mp4",
    "concat:a|b.mp4",
    "$(touch hit);`touch hit`&|.mp4",
    "*?[a].mp4",
    "{braces}.mp4",
    "back\\slash.mp4",
    "~.mp4",
    "#hash.mp4",
    ".hidden.mp4",
    "..mp4",
    "=.mp4",
    BYTES,
    "x" * 246 + ".mp4",
    "x" * 247 + ".mp4",
    "ü" * 125 + "x.mp4",
]


def command(*words: object) -> int:
    """Run a command in this process and return its code."""
    try:
        main([str(word) for word in words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def forked(tmp_path_factory) -> Iterator[Forked]:
    with Forked(tmp_path_factory.mktemp("streams")) as forked:
        yield forked


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_works_as_source_and_as_target(folder, tiny_model, capfd, name):
    make_clip(folder / name, **TINY)
    (folder / "out").mkdir()
    assert command("plan", name, "--model", tiny_model) == 0
    assert command("enhance", name, f"out/{name}", "--model", tiny_model, "--scale", 1, "--no-shots") == 0
    assert probe(folder / "out" / name).frames == 6
    assert names(folder) == sorted([name, "out"])
    assert names(folder / "out") == [name]
    shown = capfd.readouterr()
    assert shown.err == ""
    assert "\x1b[31m" not in shown.out
    assert shown.out.splitlines()[-1].startswith("wrote out/")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_told_in_one_line(folder, tiny_model, capfd, name):
    (folder / name).write_text("no video")
    assert command("enhance", name, "out.mp4", "--model", tiny_model) == 2
    complaint = capfd.readouterr().err
    assert complaint.count("\n") == 1
    assert complaint.endswith("\n")
    assert not set(complaint) & {"\x1b", "\r", "\t", "\u202e"}
    assert names(folder) == [name]


@pytest.mark.parametrize("name", ["-x", "new\nline", "'\" $(touch hit)", "übung 🎬", BYTES])
def test_any_name_works_for_a_folder_of_numbered_pictures(folder, tiny_model, name):
    make_clip(folder / "in.mp4", **TINY)
    target = Path(name) / "%03d.png"
    assert command("enhance", "--model", tiny_model, "--scale", 1, "--", "in.mp4", target) == 0
    assert names(folder) == sorted(["in.mp4", name])
    assert names(folder / name) == [f"{number:03d}.png" for number in range(1, 7)]


def test_any_name_works_in_a_folder_of_clips(folder, tiny_model, capfd):
    """Two sound files, one that is none, and a report that can be read."""
    (folder / "-in").mkdir()
    for name in ("-x.mp4", "new\nline.mp4"):
        make_clip(folder / "-in" / name, **TINY)
    (folder / "-in" / "'\x1b[31m\".mp4").write_text("no video")
    assert command("enhance", "--model", tiny_model, "--scale", 1, "--", "-in", "-out") == 2
    assert {name for name in names(folder / "-out") if name.endswith(".mp4")} == {"-x.mp4", "new\nline.mp4"}
    ledger = Ledger(Store(str(folder / "-out")))
    ledger.refresh()
    assert {name: standing.state(ledger.lives) for name, standing in ledger.newest().items()} == {
        "-x.mp4": "done",
        "new\nline.mp4": "done",
        "'\x1b[31m\".mp4": "failed",
    }
    shown = capfd.readouterr()
    assert "\x1b[31m" not in shown.out + shown.err


def test_dash_in_front_without_a_word_of_warning_is_one_line(folder, tiny_model, capfd):
    make_clip(folder / "-x.mp4", **TINY)
    assert command("enhance", "-x.mp4", "out.mp4", "--model", tiny_model) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert names(folder) == ["-x.mp4"]


def test_names_reach_the_program_as_they_are(folder, tiny_model):
    """A real process: dashes in front, and bytes that are no text."""
    script = [str(Path(sys.executable).with_name("venhancer")), "enhance", "--model", str(tiny_model), "--quiet"]
    for name in ("-x.mp4", BYTES):
        make_clip(folder / name, **TINY)
    for words in (["--", "-x.mp4", "-y.mp4"], ["./-x.mp4", "./-z.mp4"], [BYTES, f"new {BYTES}"]):
        done = subprocess.run([*script, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert names(folder) == sorted(["-x.mp4", "-y.mp4", "-z.mp4", BYTES, f"new {BYTES}"])


def test_name_too_long_is_one_line(folder, tiny_model, capfd):
    make_clip(folder / "in.mp4", **TINY)
    for source, target in (
        ("x" * 300 + ".mp4", "out.mp4"),
        ("in.mp4", "x" * 252 + ".mp4"),
        ("in.mp4", "x" * 300 + ".mp4"),
    ):
        assert command("enhance", source, target, "--model", tiny_model) == 2
        assert capfd.readouterr().err.count("\n") == 1
    assert names(folder) == ["in.mp4"]


def test_pattern_is_a_name(folder, tiny_model, capfd):
    """`%03d.mp4` is one file, also where files of the pattern lie beside it."""
    make_clip(folder / "%03d.mp4", **TINY)
    for number in range(3):
        make_clip(folder / f"{number:03d}.mp4", **{**TINY, "frames": 2})
    assert command("enhance", "%03d.mp4", "out%d.mp4", "--model", tiny_model, "--scale", 1) == 0
    assert probe(folder / "out%d.mp4").frames == 6
    (folder / "%03d.mp4").unlink()
    capfd.readouterr()
    assert command("plan", "%03d.mp4", "--model", tiny_model) == 2
    assert "check the path" in capfd.readouterr().err


def test_linked_source_is_read_and_stays(folder, tiny_model):
    make_clip(folder / "real.mp4", **TINY)
    (folder / "link.mp4").symlink_to("real.mp4")
    (folder / "linked").symlink_to(folder)
    assert command("enhance", "linked/link.mp4", "linked/out.mp4", "--model", tiny_model, "--scale", 1) == 0
    assert names(folder) == ["link.mp4", "linked", "out.mp4", "real.mp4"]
    assert (folder / "link.mp4").is_symlink()


def test_links_that_lead_nowhere_are_refused(folder, tiny_model, capfd):
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    (folder / "device.mp4").symlink_to("/dev/zero")
    for name in ("loop.mp4", "gone.mp4", "device.mp4"):
        assert command("enhance", name, "out.mp4", "--model", tiny_model) == 2
        assert capfd.readouterr().err.count("\n") == 1


def test_linked_target_is_replaced_and_what_it_led_to_stays(folder, tiny_model, capfd):
    make_clip(folder / "in.mp4", **TINY)
    (folder / "precious.mp4").write_bytes(b"precious")
    (folder / "out.mp4").symlink_to("precious.mp4")
    assert command("enhance", "in.mp4", "out.mp4", "--model", tiny_model, "--scale", 1) == 2
    assert "exists; pass --overwrite" in capfd.readouterr().err
    assert command("enhance", "in.mp4", "out.mp4", "--model", tiny_model, "--scale", 1, "--overwrite") == 0
    assert not (folder / "out.mp4").is_symlink()
    assert (folder / "precious.mp4").read_bytes() == b"precious"
    assert probe(folder / "out.mp4").frames == 6


def test_target_that_leads_to_the_source_is_refused(folder, tiny_model, capfd):
    make_clip(folder / "in.mp4", **TINY)
    before = (folder / "in.mp4").read_bytes()
    (folder / "out.mp4").symlink_to("in.mp4")
    os.link(folder / "in.mp4", folder / "hard.mp4")
    for target in ("out.mp4", "hard.mp4", "../here/in.mp4"):
        assert command("enhance", "in.mp4", target, "--model", tiny_model, "--overwrite") == 2
        assert "is the source itself" in capfd.readouterr().err
    assert (folder / "in.mp4").read_bytes() == before


def in_world(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount file systems nobody else sees."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this system lets no user mount anything")
    return subprocess.run(
        ["unshare", "-rm", "sh", "-ec", script], cwd=folder, capture_output=True, text=True, check=False
    )


def enhance(model: Path) -> str:
    return f"'{sys.executable}' -m venhancer enhance --model '{model}' --quiet"


def test_source_on_a_disk_that_cannot_be_written_is_read(folder, tiny_model):
    (folder / "disk").mkdir()
    make_clip(folder / "in.mp4", **TINY)
    mount = "mount -t tmpfs none disk; cp in.mp4 disk; mount -o remount,ro disk"
    done = in_world(f"{mount}\n{enhance(tiny_model)} --scale 1 disk/in.mp4 out.mp4", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert probe(folder / "out.mp4").frames == 6
    refused = in_world(f"{mount}\n{enhance(tiny_model)} in.mp4 disk/out.mp4", folder)
    assert refused.returncode == 2
    assert refused.stderr.startswith("venhancer: disk")
    assert refused.stderr.count("\n") == 1


def test_disk_that_fills_up_is_one_line_and_nothing_half_written(folder, tiny_model):
    (folder / "disk").mkdir()
    make_clip(folder / "in.mp4", **TINY)
    script = f"mount -t tmpfs -o size=16k none disk\n{enhance(tiny_model)} in.mp4 disk/out.mp4 && exit 9\nls -A disk"
    done = in_world(script, folder)
    assert done.returncode == 0
    assert done.stderr.startswith("venhancer: disk/out.mp4")
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout in ("", "out.mp4.part\n")


def test_permissions_are_told_in_one_line(folder, forked):
    """An ordinary user's process; the superuser may do anything."""
    make_clip(folder / "in.mp4", **TINY)
    make_clip(folder / "closed.mp4", **TINY).chmod(0)
    (folder / "locked").mkdir()
    make_clip(folder / "locked" / "in.mp4", **TINY)
    (folder / "locked").chmod(0)
    (folder / "fixed").mkdir(mode=0o555)
    become = "import os\nif os.getuid() == 0: os.setuid(65534)\n"
    for source, target in (("closed.mp4", "out.mp4"), ("locked/in.mp4", "out.mp4"), ("in.mp4", "fixed/out.mp4")):
        done = forked.run(become + MAIN, "enhance", source, target)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("venhancer: ")
        assert done.stderr.count("\n") == 1
    (folder / "locked").chmod(0o755)


CHANGES = {
    "more is written to it": "open('in.mp4', 'ab').write(b'more')",
    "it is written anew": "data = open('in.mp4', 'rb').read()\nopen('in.mp4', 'wb').write(data)",
    "it is cut short": "os.truncate('in.mp4', 900)",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["after the plan", "while frames are read"])
def test_source_that_changes_is_told_and_nothing_is_written(folder, tiny_model, forked, change, moment):
    make_clip(folder / "in.mp4", **{**TINY, "frames": 40})
    hook = {
        "after the plan": "import venhancer.weights as place\nname = 'load_pipeline'",
        "while frames are read": "import venhancer.enhance as place\nname = 'FrameReader'",
    }[moment]
    code = (
        f"import os, sys\n{hook}\nreal = getattr(place, name)\ndone = []\n"
        f"def change(*given, **named):\n  result = real(*given, **named)\n  if not done:\n"
        f"    done.append(1)\n    exec({CHANGES[change]!r})\n  return result\n"
        f"setattr(place, name, change){MAIN}"
    )
    words = ["enhance", "in.mp4", "out.mp4", "--model", str(tiny_model), "--scale", "1", "--quiet"]
    done = forked.run(code, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "changed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert names(folder) == ["in.mp4"]


def test_file_that_somebody_still_writes_is_refused_or_whole(folder, tiny_model):
    """A recorder that goes on writing while the clip is looked at."""
    make_clip(folder / "whole.ts", **TINY, codec="mpeg2video")
    script = "cat whole.ts > in.ts; (while :; do head -c 188 whole.ts >> in.ts; done) & other=$!\n"
    command = f"{script}{enhance(tiny_model)} --scale 1 in.ts out.mp4; code=$?; kill $other; exit $code"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "changed" in done.stderr
    assert done.stderr.count("\n") == 1
    assert names(folder) == ["in.ts", "whole.ts"]
