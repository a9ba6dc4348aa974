"""A worker's process as its supervisor sees it: that it was killed is told apart from that it cannot start."""

import os
import signal
import time
from pathlib import Path
from threading import Thread

import pytest

from fleet.runs import environment_of_hands, make_sources, setup_of
from venhancer.fleet.items import Order, Outcome
from venhancer.fleet.supervision import Supervisor


@pytest.fixture(autouse=True)
def _craft(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment_of_hands()["PYTHONPATH"])


@pytest.fixture
def order(tmp_path) -> Order:
    (name,) = make_sources(tmp_path / "in", 1, crash=0)
    return Order(key="k", id=name, source=str(tmp_path / "in" / name), output=name)


def outcome_with(craft: str, order: Order, out: Path):
    supervisor = Supervisor(setup_of(str(out)), time_limit=60)
    try:
        assert "by SIGSEGV" in supervisor.do(order).reason  # which leaves a lot in the log
        supervisor.setup = setup_of(str(out), craft=craft)
        return supervisor.do(order)
    finally:
        supervisor.forget()


def test_a_worker_killed_while_it_starts_is_no_reason_to_give_up(order, tmp_path):
    outcome = outcome_with("fleet.stillborn:Killed", order, tmp_path / "out")
    assert (outcome.end, outcome.reason) == ("interrupted", "its worker was killed while it loaded the model")


def test_why_a_worker_does_not_start_is_not_what_an_earlier_one_said(order, tmp_path):
    outcome = outcome_with("fleet.stillborn:Silent", order, tmp_path / "out")
    assert (outcome.end, outcome.reason) == ("unfit", "the worker does not start: it says nothing")


def test_closing_ends_the_wait_for_an_answer(order, tmp_path):
    """As when the process dies and its pipe is closed at once: nothing wakes who waits for that."""
    supervisor = Supervisor(setup_of(str(tmp_path), craft="fleet.stillborn:Forked"), time_limit=60)
    outcomes: list[Outcome] = []
    thread = Thread(target=lambda: outcomes.append(supervisor.do(order)))
    thread.start()
    note = tmp_path / "child"
    while not note.exists() or not note.read_text().endswith("\n"):
        time.sleep(0.05)
    try:
        supervisor.close()
        thread.join()
    finally:
        os.kill(int(note.read_text()), signal.SIGKILL)
        supervisor.forget()
    assert [outcome.end for outcome in outcomes] == ["interrupted"]
    assert supervisor.do(order).end == "returned"
