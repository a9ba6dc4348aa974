"""How a folder stands, and the numbers of a run: read from the ledger, shown as rows, a page and for Prometheus."""

import io
import re
import time

import pytest
from rich.console import Console
from rich.text import Text

from venhancer.cli.fleet_display import FleetBar
from venhancer.cli.main import main
from venhancer.cli.terminal import Terminal
from venhancer.errors import InputError
from venhancer.fleet.items import Item
from venhancer.fleet.job_folder import claim_folder
from venhancer.fleet.ledger import LedgerWriter
from venhancer.fleet.metrics import HELP, Metrics, Watchers
from venhancer.fleet.status import read_status
from venhancer.fleet.stores import Store


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store("out")


@pytest.fixture
def writer(store):
    claim_folder(store, {"model": "none"})
    with LedgerWriter(store, items=10) as writer:
        writer.note("running", "k1", "a.mp4")
        writer.note("done", "k2", "b.mp4", facts={"frames": 48, "seconds": 6.0})
        writer.note("failed", "k3", "<c>.mp4", reason="is damaged")
        writer.note("failed", "k3", "<c>.mp4", reason="is damaged")
        writer.note("quarantined", "k3", "<c>.mp4", reason="is damaged")
        writer.note("skipped", "k4", "d.txt", reason="no clip")
        writer.flush()
        yield writer


def test_a_folder_that_is_worked_on(store, writer):
    status = read_status(store)
    assert dict(status.counts) == {
        "waiting": 6, "running": 1, "done": 1, "failed": 0, "quarantined": 1, "skipped": 1,
    }  # fmt: skip
    assert status.items == 10
    assert (status.frames, status.busy) == (48, 6.0)
    assert [tuple(trouble) for trouble in status.troubles] == [("<c>.mp4", "quarantined", 2, "is damaged")]
    assert status.running == ("a.mp4",)
    assert len(status.runs) == 1
    assert status.speed > 0
    assert status.left is not None
    writer.close()
    assert read_status(store).counts["running"] == 0


def test_status_changes_nothing(store, writer):
    before = store.files()
    time.sleep(0.02)
    read_status(store)
    assert store.files() == before


def test_the_command_shows_rows_json_and_a_page(store, writer, capsys, tmp_path):
    main(["fleet", "status", "out"])
    shown = capsys.readouterr().out
    assert "quarantined         1\n" in shown
    assert "<c>.mp4             quarantined after 2 tries: is damaged\n" in shown
    main(["fleet", "status", "out", "--json", "--html", "page.html"])
    assert '"done": 1' in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text()
    assert "&lt;c&gt;.mp4" in page
    assert "<c>" not in page
    with pytest.raises(InputError, match="contains no outputs of `venhancer fleet`"):
        read_status(Store("elsewhere"))


def test_the_command_watches_until_all_is_done(store, writer, capsys, monkeypatch):
    def finish(_: float) -> None:
        for number in range(10):
            writer.note("done", f"k{number}", f"{number}.mp4", facts={"frames": 1, "seconds": 1.0})
        writer.flush()

    monkeypatch.setattr(time, "sleep", finish)  # what happens meanwhile
    main(["fleet", "status", "out", "--watch"])
    shown = capsys.readouterr().out.split("clips     ")[1:]
    assert len(shown) == 2
    assert "\nwaiting             6\n" in shown[0]
    assert "\nwaiting " not in shown[-1]


def test_one_bar_has_clips_speed_time_left_and_failures():
    drawn, terminal = io.StringIO(), Terminal()
    terminal.errors = Console(file=drawn, force_terminal=True, width=120)
    with FleetBar(terminal) as bar:
        bar.begin({"a": "waiting", "b": "waiting", "c": "done"})
        bar.tell(Item("a", "", ""), "running", "", {})
        bar.tell(Item("a", "", ""), "done", "", {"frames": 8, "seconds": 1.5})
        bar.tell(Item("b", "", ""), "failed", "it is damaged", {})
    lines = Text.from_ansi(drawn.getvalue()).plain.splitlines()
    assert "venhancer: b: failed: it is damaged" in lines
    last = next(line for line in reversed(lines) if line.startswith("clips"))
    assert re.search(r"3/3 [0-9.]+ frames/s \d:\d\d:\d\d left \S+ 1 failed", last)


def test_numbers_for_prometheus(tmp_path):
    path = tmp_path / "fleet.prom"
    metrics = Metrics(path)
    watchers = Watchers(metrics)
    watchers.begin({"a": "waiting", "b": "waiting", "c": "done"})
    watchers.tell(Item("a", "", ""), "done", "", {"frames": 8, "seconds": 1.5})
    watchers.tell(Item("b", "", ""), "failed", "x", {})
    metrics.close()
    text = path.read_text()
    assert 'venhancer_fleet_clips{state="done"} 2\n' in text
    assert 'venhancer_fleet_clips{state="failed"} 1\n' in text
    assert "venhancer_fleet_frames_total 8\n" in text
    assert "venhancer_fleet_busy_seconds_total 1.5\n" in text
    assert "venhancer_fleet_failures_total 1\n" in text
    line = re.compile(r'# (HELP|TYPE) venhancer_\w+ .+|venhancer_\w+(\{state="\w+"\})? [0-9.e+]+')
    assert all(line.fullmatch(each) for each in text.splitlines())
    assert all(f"# TYPE {name} " in text for name in HELP)
