"""A folder of files: each is finished, failed or skipped, all of it is told, and the same command goes on."""

import json
from io import StringIO
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console

from media.clips import make_clip
from venhancer.cli.main import main
from venhancer.cli.queue import QueueTable
from venhancer.cli.terminal import Terminal
from venhancer.errors import InputError, Stopped
from venhancer.jobs.work import find_work
from venhancer.media.reading.probe import probe
from venhancer.progress import SILENT
from venhancer.queue.queue import LOCK, enhance_folder, list_items
from venhancer.queue.record import RECORD, Entry, read_record
from venhancer.settings import parse_settings
from venhancer.weights import load_pipeline


class Watcher:
    """Remembers what it is told."""

    progress = SILENT

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def tell(self, name: str, entry: Entry) -> None:
        self.told.append((name, entry.state))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Two clips, one of them further down, and what else lies about in folders."""
    monkeypatch.chdir(tmp_path)
    clips = tmp_path / "clips"
    (clips / "deep").mkdir(parents=True)
    (clips / "a.part").mkdir()
    make_clip(clips / "a.mp4", width=32, height=24, frames=4)
    make_clip(clips / "deep" / "b.avi", width=32, height=24, frames=5, codec="mpeg4")
    (clips / "broken.mov").write_text("no film")
    (clips / "notes.txt").write_text("no film either")
    (clips / "photo.jpg").write_bytes(b"\xff\xd8")
    (clips / ".hidden.mp4").write_text("of a file manager")
    (clips / "a.part" / "manifest.json").touch()
    return clips


@pytest.fixture
def words(tiny_model) -> list[str]:
    return ["--model", str(tiny_model), "--scale", "1", "--device", "cpu"]


@pytest.fixture
def settings(tiny_model):
    return parse_settings(model=str(tiny_model), scale=1)


def run(capsys, *words: str) -> tuple[int, str, str]:
    """Return how `venhancer enhance clips out` ends and what it shows."""
    capsys.readouterr()
    try:
        main(["enhance", "clips", "out", *words])
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def states() -> dict[str, str]:
    return {name: entry.state for name, entry in read_record(Path("out")).files.items()}


def test_each_file_is_finished_failed_or_skipped(folder, words, capsys):
    code, out, err = run(capsys, *words)
    assert code == 2
    assert names(Path("out")) == ["a.mp4", "deep/b.mkv", RECORD]
    assert (probe(Path("out/a.mp4")).frames, probe(Path("out/deep/b.mkv")).frames) == (4, 5)
    assert states() == {
        "a.mp4": "finished",
        "broken.mov": "failed",
        "deep/b.avi": "finished",
        "notes.txt": "skipped",
        "photo.jpg": "skipped",
    }
    lines = out.splitlines()
    assert lines[0].startswith("a.mp4: finished in ")
    assert [line.partition(" ")[0] for line in lines] == ["a.mp4:", "deep/b.avi:", "notes.txt:", "photo.jpg:"]
    failed, last = err.splitlines()
    assert failed.startswith("venhancer: broken.mov: failed: clips/broken.mov is damaged")
    assert last == (
        "venhancer: 2 finished, 1 failed, 2 skipped; see out/venhancer-queue.json for the reasons, "
        "and run the same command again to retry"
    )


def test_the_same_command_does_only_what_is_left(folder, words, capsys):
    run(capsys, *words)
    before = {path: path.stat().st_mtime_ns for path in (Path("out/a.mp4"), Path("out/deep/b.mkv"))}
    make_clip(folder / "broken.mov", width=32, height=24, frames=3)
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "3 finished, 0 failed, 2 skipped; see out/venhancer-queue.json"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert probe(Path("out/broken.mov")).frames == 3


def test_outputs_of_other_settings_or_of_others_are_left_alone(folder, words, capsys):
    Path("out").mkdir()
    Path("out/a.mp4").write_bytes(b"of somebody else")
    assert "a.mp4: failed: out/a.mp4 exists; pass --overwrite" in run(capsys, *words)[2]
    assert Path("out/a.mp4").read_bytes() == b"of somebody else"
    run(capsys, *words, "--overwrite")
    assert states()["a.mp4"] == "finished"
    other = run(capsys, *words, "--seed", "3")[2]
    assert "a.mp4: failed: out/a.mp4 exists" in other
    assert "deep/b.avi: failed: out/deep/b.mkv exists" in other


def test_a_changed_input_is_noticed(folder, words, capsys):
    run(capsys, *words)
    make_clip(folder / "a.mp4", width=32, height=24, frames=6)
    assert "a.mp4: failed: out/a.mp4 exists; pass --overwrite" in run(capsys, *words)[2]


def test_a_stopped_queue_goes_on(folder, settings):
    make_clip(folder / "a.mp4", width=32, height=24, frames=80)
    pipeline = load_pipeline(settings.model, device="cpu")
    with pytest.raises(Stopped, match=r"of 80 frames are finished and kept in out/a\.mp4\.part"):
        enhance_folder(folder, Path("out"), settings, lambda: pipeline, Watcher(), stop=Stop(after=3))
    assert find_work(Path("out/a.mp4")) is not None
    assert states() == {"a.mp4": "working"}
    loads, watcher = [], Watcher()

    def load():
        loads.append(pipeline)
        return pipeline

    enhance_folder(folder, Path("out"), settings, load, watcher)
    assert len(loads) == 1
    assert watcher.told[:2] == [("a.mp4", "working"), ("a.mp4", "finished")]
    assert names(Path("out")) == ["a.mp4", "deep/b.mkv", RECORD]
    assert probe(Path("out/a.mp4")).frames == 80

    def refuse():
        raise AssertionError("the model is not needed")

    (folder / "broken.mov").unlink()
    enhance_folder(folder, Path("out"), settings, refuse, Watcher())


class Stop:
    """Says to stop when asked for the so-manieth time."""

    def __init__(self, *, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_queue_stops_between_files(folder, settings):
    pipeline, watcher = load_pipeline(settings.model, device="cpu"), Watcher()
    with pytest.raises(Stopped, match=r"^files finished: 1; run the same command again to resume$"):
        enhance_folder(
            folder, Path("out"), settings, lambda: pipeline, watcher, stop=lambda: ("a.mp4", "finished") in watcher.told
        )
    assert names(Path("out")) == ["a.mp4", RECORD]
    assert states() == {"a.mp4": "finished"}


def test_killed_before_a_finished_file_was_noted(folder, settings):
    """Such a run leaves the file's state at `working`, the output in place and no work beside it."""
    pipeline = load_pipeline(settings.model, device="cpu")
    record = enhance_folder(folder, Path("out"), settings, lambda: pipeline, Watcher())
    entry = record.files["a.mp4"].model_copy(update={"state": "working", "result": None, "seconds": None})
    record.noting("a.mp4", entry).write(Path("out"))
    before = Path("out/a.mp4").stat().st_mtime_ns
    enhance_folder(folder, Path("out"), settings, lambda: pipeline, Watcher())
    assert states()["a.mp4"] == "finished"
    assert Path("out/a.mp4").stat().st_mtime_ns == before


def test_two_files_with_one_output_are_refused_before_any_work(folder, words, capsys):
    make_clip(folder / "a.mkv", width=32, height=24, frames=3)
    make_clip(folder / "a.avi", width=32, height=24, frames=3, codec="mpeg4")
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err == "venhancer: a.avi and a.mkv would both become out/a.mkv; rename one of them\n"
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("codec", "targets"),
    [
        (
            None,
            {"a.MP4": "a.MP4", "b.m4v": "b.mp4", "c.avi": "c.mkv", "d.webm": "d.webm", "e.gif": "e.gif", "f": "f.mkv"},
        ),
        ("ffv1", {"a.MP4": "a.mkv", "c.avi": "c.mkv", "g.txt": "g.txt.mkv"}),
        ("prores", {"a.mp4": "a.mkv", "b.mov": "b.mov"}),
    ],
)
def test_outputs_keep_the_container_where_it_can_hold_the_codec(tmp_path, codec, targets):
    for name in targets:
        (tmp_path / name).touch()
    items = list_items(tmp_path, Path("out"), parse_settings(codec=codec))
    assert {item.name: item.target.name for item in items} == targets


def test_folders_that_cannot_be_used_are_refused(folder, words, capsys, settings):
    Path("file").touch()
    Path("empty").mkdir()
    for target, reason in {
        "clips": "is the input folder",
        "out.mp4": "clips is a folder, so out.mp4 must be one",
        "file": "clips is a folder, so file must be one",
        "none/out": "create its parent folder first",
    }.items():
        with pytest.raises(SystemExit):
            main(["enhance", "clips", target, *words])
        assert reason in capsys.readouterr().err
    with pytest.raises(InputError, match="empty contains no files"):
        list_items(Path("empty"), Path("out"), settings)
    assert "--json works for one file" in run(capsys, *words, "--json", "report.json")[2]
    assert "pass --model nano, v1, v2 or a folder" in run(capsys, "--model", "v9")[2]
    assert not Path("out").exists()


def test_outputs_below_the_inputs_are_no_inputs(folder, settings):
    pipeline = load_pipeline(settings.model, device="cpu")
    for _ in range(2):
        record = enhance_folder(folder, folder / "out", settings, lambda: pipeline, Watcher())
    assert list(record.files) == ["a.mp4", "broken.mov", "deep/b.avi", "notes.txt", "photo.jpg"]


def test_the_second_of_two_queues_is_refused(folder, words, capsys):
    Path("out").mkdir()
    with FileLock(Path("out") / LOCK):
        code, _, err = run(capsys, *words)
    assert (code, err) == (2, "venhancer: another run works on out; wait for it, or choose another folder\n")


@pytest.mark.usefixtures("windows")
def test_a_queue_ends_where_open_files_cannot_be_removed(folder, settings):
    for name in ("a.mp4", "deep/b.avi"):
        (folder / name).unlink()
    record = enhance_folder(folder, Path("out"), settings, lambda: load_pipeline(settings.model), Watcher())
    assert record.count("failed") == 1
    assert names(Path("out")) == [RECORD]


def test_a_record_that_is_none_is_refused(folder, words, capsys):
    Path("out").mkdir()
    (Path("out") / RECORD).write_text(json.dumps({"program": "another"}))
    assert "is damaged or from another program or version; move it away" in run(capsys, *words)[2]


def test_dry_run_lists_what_would_be_done(folder, words, capsys):
    code, out, _ = run(capsys, *words, "--dry-run")
    assert code == 0
    assert out.splitlines()[:4] == [
        "a.mp4: out/a.mp4",
        "broken.mov: out/broken.mov",
        "deep/b.avi: out/deep/b.mkv",
        "notes.txt: out/notes.txt.mkv",
    ]
    assert "photo.jpg: skipped: a picture" in out
    assert not Path("out").exists()


def test_the_table_on_a_terminal():
    terminal, shown = Terminal(), StringIO()
    terminal.errors = Console(file=shown, force_terminal=True, width=100, height=14, color_system=None)
    with QueueTable(terminal, [f"{number}.mp4" for number in range(40)]) as table:
        for number in range(20):
            table.tell(f"{number}.mp4", Entry(state="finished", seconds=2))
        table.tell("20.mp4", Entry(state="failed", reason="is damaged\nhere"))
        table.tell("21.mp4", Entry(state="working"))
        table.progress.start(10, "denoise")
        table.progress.advance()
    drawn = shown.getvalue().split("\x1b[2K")[-1]
    assert "19.mp4  finished  in 2.0 s" in drawn
    assert "20.mp4  failed    is damaged\\nhere" in drawn
    assert "21.mp4  working" in drawn
    assert "22.mp4  waiting" in drawn
    assert "1 working, 20 finished, 1 failed, 18 waiting" in drawn
    assert "1/10" in drawn
    assert "0.mp4  finished" not in drawn.replace("20.mp4", "")
