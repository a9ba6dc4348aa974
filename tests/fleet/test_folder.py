"""A folder of files in one process: each is done, failed or skipped, all of it is told, and the command goes on."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fleet.runs import Memory
from media.clips import make_clip
from venhancer.cli.folder import FolderTable
from venhancer.cli.main import main
from venhancer.cli.terminal import Terminal
from venhancer.errors import InputError, Stopped
from venhancer.fleet.enhancing import Enhancing
from venhancer.fleet.fleet import open_fleet
from venhancer.fleet.folders import list_folder
from venhancer.fleet.in_process import InProcessEngine
from venhancer.fleet.items import Item
from venhancer.fleet.ledger import Ledger
from venhancer.fleet.run import Policy
from venhancer.fleet.stores import OWN, Store
from venhancer.fleet.worker import SCRATCH, Setup
from venhancer.media.reading.probe import probe
from venhancer.progress import SILENT
from venhancer.settings import parse_settings


def enhance_folder(settings, source="clips", out="out", stop=lambda: False, watcher=None, load=Enhancing):
    """Do what the command does, and return the states of all files."""
    fleet = open_fleet(source, out, settings, keep_order=True)
    options = {"model": settings.model, "weights": fleet.weights, "dtype": "auto"}
    setup = Setup(out=fleet.out.address, scratch=None, device="cpu", options=options)

    def engine():
        return InProcessEngine(setup, lambda: load(setup), stop=stop, progress=SILENT)

    policy = Policy(tries=None, tries_a_run=1)
    return fleet.run(engine, policy=policy, watcher=watcher or Memory(), stop=stop)


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
    """Return the files in a folder, but for the records and what is ours."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(str(name) for name in files if OWN not in name.parts and not name.name.endswith(".venhancer.json"))


def states() -> dict[str, str]:
    ledger = Ledger(Store("out"))
    ledger.refresh()
    return {name: standing.state(ledger.lives) for name, standing in ledger.newest().items()}


def test_each_file_is_finished_failed_or_skipped(folder, words, capsys):
    code, out, err = run(capsys, *words)
    assert code == 2
    assert names(Path("out")) == ["a.mp4", "deep/b.mkv"]
    assert Path("out/deep/b.mkv.venhancer.json").is_file()
    assert (probe(Path("out/a.mp4")).frames, probe(Path("out/deep/b.mkv")).frames) == (4, 5)
    assert states() == {
        "a.mp4": "done",
        "broken.mov": "failed",
        "deep/b.avi": "done",
        "notes.txt": "skipped",
        "photo.jpg": "skipped",
    }
    lines = out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["photo.jpg:", "a.mp4:", "deep/b.avi:", "notes.txt:"]
    assert lines[1].startswith("a.mp4: done in ")
    failed, last = err.splitlines()
    assert failed.startswith("venhancer: broken.mov: failed: clips/broken.mov is damaged")
    assert last == (
        "venhancer: 2 done, 1 failed, 2 skipped; `venhancer fleet status out` gives the reasons; "
        "run the same command again to retry"
    )


def test_the_same_command_does_only_what_is_left(folder, words, capsys):
    run(capsys, *words)
    before = {path: path.stat().st_mtime_ns for path in (Path("out/a.mp4"), Path("out/deep/b.mkv"))}
    make_clip(folder / "broken.mov", width=32, height=24, frames=3)
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "3 done, 2 skipped; see out"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert probe(Path("out/broken.mov")).frames == 3


def test_outputs_of_other_settings_or_of_others_are_left_alone(folder, words, capsys):
    Path("out").mkdir()
    Path("out/a.mp4").write_bytes(b"of somebody else")
    assert "a.mp4: failed: out/a.mp4 exists; pass --overwrite" in run(capsys, *words)[2]
    assert Path("out/a.mp4").read_bytes() == b"of somebody else"
    run(capsys, *words, "--overwrite")
    assert states()["a.mp4"] == "done"
    other = run(capsys, *words, "--seed", "3")[2]
    assert other == (
        "venhancer: out holds the outputs of another job (seed 0 then and 3 now); choose another folder, or pass "
        "--overwrite\n"
    )


def test_a_changed_input_is_noticed(folder, words, capsys):
    run(capsys, *words)
    make_clip(folder / "a.mp4", width=32, height=24, frames=6)
    assert "a.mp4: failed: out/a.mp4 exists; pass --overwrite" in run(capsys, *words)[2]


def test_a_stopped_folder_goes_on_from_the_segment(folder, settings):
    make_clip(folder / "a.mp4", width=32, height=24, frames=80)
    with pytest.raises(Stopped, match="files finished: 0; run the same command again to resume"):
        enhance_folder(settings, stop=Stop(after=2))
    (work,) = (Path("out") / SCRATCH).glob("*/a.mp4.part")
    assert len(list(work.glob("segment_*"))) == 1
    loads, watcher = [], Memory()

    def load(setup):
        loads.append(setup)
        return Enhancing(setup)

    enhance_folder(settings, load=load, watcher=watcher)
    assert len(loads) == 1
    assert watcher.states("a.mp4") == ["running", "done"]
    assert names(Path("out")) == ["a.mp4", "deep/b.mkv"]
    assert probe(Path("out/a.mp4")).frames == 80
    record = json.loads(Path("out/a.mp4.venhancer.json").read_text())
    assert record["frames_before"] > 0

    def refuse(setup):
        raise AssertionError("the model is not needed")

    (folder / "broken.mov").unlink()
    enhance_folder(settings, load=refuse)


class Stop:
    """Says to stop when it is asked for the so-manieth time, and ever after."""

    def __init__(self, *, after: int) -> None:
        self.left = after

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_folder_stops_between_files(folder, settings):
    watcher = Memory()
    with pytest.raises(Stopped, match=r"^files finished: 1; run the same command again to resume$"):
        enhance_folder(settings, watcher=watcher, stop=lambda: watcher.states("a.mp4")[-1:] == ["done"])
    assert names(Path("out")) == ["a.mp4"]
    assert states()["a.mp4"] == "done"


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
    items = list_folder(Store(str(tmp_path)), Store("out"), parse_settings(codec=codec))
    assert {item.id: item.output for item in items} == targets


def test_folders_that_cannot_be_used_are_refused(folder, words, capsys, settings):
    Path("file").touch()
    Path("empty").mkdir()
    for target, reason in {
        "clips": "is the input folder",
        "out.mp4": "out.mp4 must be a folder, for clips holds several clips",
        "file": "file must be a folder, for clips holds several clips",
        "none/out": "create its parent folder first",
    }.items():
        with pytest.raises(SystemExit):
            main(["enhance", "clips", target, *words])
        assert reason in capsys.readouterr().err
    with pytest.raises(InputError, match="empty contains no files"):
        list_folder(Store("empty"), Store("out"), settings)
    assert "--json works for one file" in run(capsys, *words, "--json", "report.json")[2]
    assert "pass --model nano, v1, v2 or a folder" in run(capsys, "--model", "v9")[2]
    assert not Path("out").exists()


def test_outputs_below_the_inputs_are_no_inputs(folder, settings):
    for _ in range(2):
        found = enhance_folder(settings, out="clips/out")
    assert list(found) == ["a.mp4", "broken.mov", "deep/b.avi", "notes.txt", "photo.jpg"]


@pytest.mark.usefixtures("windows")
def test_a_run_ends_where_open_files_cannot_be_removed(folder, settings):
    for name in ("a.mp4", "deep/b.avi"):
        (folder / name).unlink()
    found = enhance_folder(settings)
    assert list(found.values()).count("failed") == 1
    assert names(Path("out")) == []


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
    with FolderTable(terminal, [f"{number}.mp4" for number in range(40)]) as table:
        for number in range(20):
            table.tell(Item(f"{number}.mp4", "", ""), "done", "", {"seconds": 2})
        table.tell(Item("20.mp4", "", ""), "failed", "is damaged\nhere", {})
        table.tell(Item("21.mp4", "", ""), "running", "", {})
        table.steps.start(10, "denoise")
        table.steps.advance()
    drawn = shown.getvalue().split("\x1b[2K")[-1]
    assert "19.mp4  done     in 2.0 s" in drawn
    assert "20.mp4  failed   is damaged\\nhere" in drawn
    assert "21.mp4  running" in drawn
    assert "22.mp4  waiting" in drawn
    assert "1 running, 20 done, 1 failed, 18 waiting" in drawn
    assert "1/10" in drawn
    assert "0.mp4  done" not in drawn.replace("20.mp4", "")
