"""Ledgers: events of many runs add up to one state of each item, in any order, whoever has died."""

import json
import subprocess
import sys
import time
import uuid
from itertools import permutations

import pytest

from venhancer.fleet.ledger import LEDGER, LINES_A_PART, Ledger, LedgerWriter, Standing
from venhancer.fleet.stores import Store

ALIVE = "alive".__eq__


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path) -> Store:
    return Store(str(tmp_path / "out") if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def line(event: str, moment: float, writer: str = "alive", **more: object) -> tuple[dict, str]:
    return {"event": event, "time": moment, "id": "a", "key": "k", **more}, writer


@pytest.mark.parametrize(
    ("lines", "state", "tries"),
    [
        ([], "waiting", 0),
        ([line("running", 1)], "running", 0),
        ([line("running", 1, "dead")], "waiting", 0),
        ([line("running", 1), line("returned", 2)], "waiting", 0),
        ([line("running", 1), line("done", 2)], "done", 0),
        ([line("running", 1), line("failed", 2, reason="x")], "failed", 1),
        ([line("failed", 2, "dead"), line("failed", 3), line("quarantined", 3)], "quarantined", 2),
        ([line("failed", 2), line("quarantined", 2), line("released", 3)], "waiting", 0),
        ([line("failed", 2), line("quarantined", 2), line("released", 3), line("failed", 4)], "failed", 1),
        ([line("failed", 2, "dead"), line("done", 3)], "done", 1),
        ([line("running", 1, "dead"), line("running", 2)], "running", 0),
        ([line("skipped", 1, reason="no clip")], "skipped", 0),
        ([line("interrupted", moment) for moment in (1, 2, 3)], "waiting", 1),
        ([line("interrupted", moment) for moment in (1, 2, 3)] + [line("released", 4)], "waiting", 0),
        ([line("running", moment, f"dead{moment}") for moment in range(9)], "waiting", 0),
    ],
)
def test_events_add_up_to_a_state_whatever_the_order_of_the_writers(lines, state, tries):
    writers = list(dict.fromkeys(writer for _, writer in lines))
    for order in list(permutations(writers))[:24]:
        standing = Standing()
        for writer in order:
            for values, own in lines:
                if own == writer:
                    standing.take(values, writer)
        assert (standing.state(ALIVE), standing.tries()) == (state, tries)


def test_a_ledger_is_read_from_where_it_was_left(store):
    ledger = Ledger(store)
    with LedgerWriter(store, items=3) as writer:
        writer.note("running", "k1", "a")
        assert writer.flush()
        ledger.refresh()
        assert (ledger.state("k1"), ledger.state("k2")) == ("running", "waiting")
        writer.note("done", "k1", "a", facts={"frames": 8})
        writer.note("failed", "k2", "b", reason="damaged")
        writer.flush()
        ledger.refresh()
        assert (ledger.state("k1"), ledger.state("k2")) == ("done", "failed")
        assert ledger.lives(writer.name)
    ledger.refresh()
    assert not ledger.lives(writer.name)
    assert ledger.standing("k1").facts == {"frames": 8}
    again = Ledger(store)
    again.refresh()
    assert again.newest() == ledger.newest()


def test_a_run_with_nothing_to_say_leaves_no_ledger(store):
    with LedgerWriter(store, items=3):
        pass
    assert store.files() == {}


def test_stores_that_cannot_append_get_parts_of_bounded_size():
    store = Store(f"memory://{uuid.uuid4().hex}")
    with LedgerWriter(store) as writer:
        for number in range(3 * LINES_A_PART):
            writer.note("done", f"k{number}", str(number))
            if number % 10 == 9:
                writer.flush()
    parts = sorted(store.files(LEDGER))
    assert len(parts) == 4
    ledger = Ledger(store)
    ledger.refresh()
    assert sum(standing.is_done for standing in ledger.standings.values()) == 3 * LINES_A_PART


def test_half_a_line_of_a_killed_run_says_nothing(tmp_path):
    store = Store(str(tmp_path))
    with LedgerWriter(store) as writer:
        writer.note("done", "k1", "a")
    (path,) = (tmp_path / LEDGER).iterdir()
    whole = path.read_bytes()
    half = json.dumps({"event": "done", "time": 1, "key": "k2", "id": "b"}).encode()
    path.write_bytes(whole + half[:20])
    ledger = Ledger(store)
    ledger.refresh()
    assert (ledger.state("k1"), ledger.state("k2")) == ("done", "waiting")
    path.write_bytes(whole + half + b"\n")
    ledger.refresh()
    assert ledger.state("k2") == "done"


def test_a_full_disk_keeps_lines_for_later(tmp_path, small_files, capsys):
    store = Store(str(tmp_path))
    writer = LedgerWriter(store)
    writer.note("done", "k1", "a")
    with small_files():
        assert not writer.flush()
    assert writer.close()
    ledger = Ledger(store)
    ledger.refresh()
    assert ledger.state("k1") == "done"


def test_a_killed_run_is_dead_at_once_here_and_elsewhere_when_it_is_silent(tmp_path):
    code = (
        "import os, sys\nfrom venhancer.fleet.ledger import LedgerWriter\nfrom venhancer.fleet.stores import Store\n"
        "writer = LedgerWriter(Store(sys.argv[1]))\nwriter.note('running', 'k', 'a')\nwriter.flush()\nos._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    store, ledger = Store(str(tmp_path)), Ledger(Store(str(tmp_path)))
    ledger.refresh()
    assert ledger.state("k") == "waiting"
    (name,) = ledger.writers
    ledger.writers[name].about["place"] = "another host"
    assert ledger.state("k") == "running"
    ledger.writers[name].beat = time.time() - 1000
    assert ledger.state("k") == "waiting"
    assert len(store.files(LEDGER)) == 1
