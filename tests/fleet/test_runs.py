"""Runs on this machine with a craft of milliseconds: nothing lost, nothing double, whatever clips and people do."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from fleet.runs import (
    JOB,
    Memory,
    environment_of_hands,
    make_sources,
    outputs,
    run_copies,
    setup_of,
    start_run,
)
from venhancer.errors import InputError, JobFailed, Stopped
from venhancer.fleet.job_folder import claim_folder
from venhancer.fleet.ledger import Ledger
from venhancer.fleet.local import LocalEngine
from venhancer.fleet.run import Policy
from venhancer.fleet.status import read_status
from venhancer.fleet.stores import OWN, Store


@pytest.fixture(autouse=True)
def _craft(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment_of_hands()["PYTHONPATH"])


@pytest.fixture
def folders(tmp_path) -> tuple[str, str]:
    return str(tmp_path / "in"), str(tmp_path / "out")


def records(out: str) -> dict[str, dict]:
    return {
        path.name.removesuffix(".venhancer.json"): json.loads(path.read_text())
        for path in Path(out).glob("*.venhancer.json")
    }


def test_every_clip_becomes_an_output_and_a_record(folders):
    source, out = folders
    names = make_sources(Path(source), 12)
    assert set(run_copies(source, out).values()) == {"done"}
    made = outputs(Path(out))
    assert made == {name: (Path(source) / name).read_bytes() for name in names}
    told = records(out)
    assert sorted(told) == names
    record = told["00003.mp4"]
    assert record["input"]["address"] == f"{source}/00003.mp4"
    assert record["input"]["sha256"] == record["output"]["sha256"]
    assert record["tries"] == 1
    assert record["licences"] == {
        "code": "Apache-2.0",
        "weights": [{"file": "none", "sha256": "", "licence": "Apache-2.0"}],
    }
    assert "generated" in record["generated_detail"]
    assert sorted(path.name for path in (Path(out) / OWN).iterdir()) == ["job.json", "ledger"]


def test_odd_clips_are_put_aside_with_their_reason_and_a_second_run_does_nothing(folders):
    source, out = folders
    make_sources(Path(source), 8, crash=1, hang=3, broken=5)
    states = run_copies(source, out, time_limit=5)
    odd = {"00001.mp4": "by SIGSEGV", "00003.mp4": "it hung: no progress for 5 s", "00005.mp4": "is damaged; copy it"}
    assert {name for name, state in states.items() if state == "quarantined"} == set(odd)
    assert set(outputs(Path(out))) == states.keys() - odd.keys()
    status = read_status(Store(out))
    assert (status.counts["done"], status.counts["quarantined"], status.items) == (5, 3, 8)
    for trouble in status.troubles:
        assert (trouble.state, trouble.tries) == ("quarantined", 2)
        assert odd[trouble.id] in trouble.reason
    logs = [path.read_text() for path in (Path(out) / OWN / "logs").iterdir()]
    assert len(logs) == 3
    assert sum("milliseconds.py" in log for log in logs) == 3  # where each crashed, hung or raised

    before = sorted((Path(out) / OWN).rglob("*"))
    assert run_copies(source, out, engine=no_engine) == states
    assert sorted((Path(out) / OWN).rglob("*")) == before


def no_engine(setup):
    raise AssertionError("there is nothing to do")


def test_what_was_put_aside_is_tried_anew_if_asked(folders):
    source, out = folders
    make_sources(Path(source), 3, broken=1)
    states = run_copies(source, out)
    watcher = Memory()
    assert run_copies(source, out, policy=Policy(retry_quarantined=True), watcher=watcher) == states
    assert [name for name, state, _ in watcher.told if state == "running"] == ["00001.mp4"] * 2


def test_a_repaired_clip_is_no_longer_put_aside(folders):
    source, out = folders
    make_sources(Path(source), 2, broken=1)
    assert run_copies(source, out)["00001.mp4"] == "quarantined"
    (Path(source) / "00001.mp4").write_bytes(b"clip repaired")
    assert run_copies(source, out)["00001.mp4"] == "done"
    assert outputs(Path(out))["00001.mp4"] == b"clip repaired"
    assert read_status(Store(out)).counts["quarantined"] == 0


def test_failures_are_tried_again_on_the_next_run_until_there_were_enough(folders):
    source, out = folders
    make_sources(Path(source), 2, broken=1)
    once = Policy(tries=2, tries_a_run=1)
    assert run_copies(source, out, policy=once)["00001.mp4"] == "failed"
    assert run_copies(source, out, policy=once)["00001.mp4"] == "quarantined"


def test_outputs_of_others_are_left_alone(folders):
    source, out = folders
    make_sources(Path(source), 2)
    Path(out).mkdir()
    (Path(out) / "00001.mp4").write_bytes(b"of somebody else")
    assert run_copies(source, out)["00001.mp4"] == "quarantined"
    assert outputs(Path(out))["00001.mp4"] == b"of somebody else"
    policy = Policy(overwrite=True, retry_quarantined=True)
    assert set(run_copies(source, out, policy=policy).values()) == {"done"}


def test_another_job_is_refused_in_one_line(folders):
    source, out = folders
    make_sources(Path(source), 1)
    run_copies(source, out)
    with pytest.raises(InputError, match=r"holds the outputs of another job \(another model\); choose another folder"):
        claim_folder(Store(out), {"model": "other"})
    claim_folder(Store(out), {"model": "other"}, overwrite=True)
    claim_folder(Store(out), {"model": "other"})


def test_a_full_disk_is_no_fault_of_a_clip(folders):
    source, out = folders
    make_sources(Path(source), 1, full=0)
    with pytest.raises(JobFailed, match=r"no room in .*scratch.*; fix that, then run the same command again to resume"):
        run_copies(source, out, workers=1)
    (Path(source) / "00000.mp4").write_bytes(b"clip" * 9)
    assert run_copies(source, out, workers=1) == {"00000.mp4": "done"}


def test_a_worker_that_cannot_do_anything_ends_the_run_with_the_reason(folders):
    source, out = folders
    make_sources(Path(source), 3)

    def engine(setup):
        return LocalEngine([setup_of(setup.out, craft="fleet.nothing:None")], time_limit=9)

    with pytest.raises(JobFailed, match="the worker does not start: ModuleNotFoundError"):
        run_copies(source, out, engine=engine)


def test_a_stopped_run_keeps_segments_and_goes_on_with_them(folders, tmp_path, monkeypatch):
    source, out = folders
    make_sources(Path(source), 2, slow=0)
    monkeypatch.setenv("FLEET_SEGMENTS", str(tmp_path / "segments"))
    with pytest.raises(Stopped, match="run the same command again to resume"):
        run_copies(source, out, workers=1, stop=(tmp_path / "segments").exists)
    assert "00000.mp4" not in outputs(Path(out))
    assert set(run_copies(source, out, workers=1).values()) == {"done"}
    segments = (tmp_path / "segments").read_text().splitlines()
    assert sorted(segments) == sorted(f"{name}.mp4 {number}" for name in ("00000", "00001") for number in range(4))


def test_a_killed_worker_costs_a_segment_and_is_no_fault_of_the_clip(folders, tmp_path, monkeypatch):
    source, out = folders
    make_sources(Path(source), 1, slow=0)
    monkeypatch.setenv("FLEET_SEGMENTS", str(tmp_path / "segments"))
    watcher = Killer(tmp_path / "segments")
    assert run_copies(source, out, workers=1, watcher=watcher, stop=watcher.kill_once) == {"00000.mp4": "done"}
    assert watcher.was_killed
    assert watcher.states("00000.mp4") == ["running", "running", "done"]
    segments = (tmp_path / "segments").read_text().splitlines()
    assert sorted(set(segments)) == [f"00000.mp4 {number}" for number in range(4)]
    assert len(segments) <= 5
    assert records(out)["00000.mp4"]["tries"] == 1


class Killer(Memory):
    """Kills the worker once it has made a segment."""

    def __init__(self, segments: Path) -> None:
        super().__init__()
        self.segments, self.was_killed = segments, False

    def kill_once(self) -> bool:
        if self.segments.exists() and not self.was_killed:
            for child in hands_of(os.getpid()):
                child.kill()
                self.was_killed = True
        return False


def hands_of(number: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(number).children() if "venhancer.fleet.hand" in child.cmdline()]


def test_a_killed_run_leaves_no_workers_and_another_goes_on_at_once(folders):
    source, out = folders
    make_sources(Path(source), 60)
    process = start_run(source, out)
    while len(list(Path(out).glob("*.venhancer.json"))) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    hands = hands_of(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(hands, timeout=30)
    assert not any(hand.is_running() and hand.status() != psutil.STATUS_ZOMBIE for hand in hands)
    assert set(run_copies(source, out).values()) == {"done"}
    assert len(outputs(Path(out))) == 60


def test_two_runs_share_a_folder(folders, tmp_path):
    source, out = folders
    names = make_sources(Path(source), 80)
    noted = {"FLEET_SEGMENTS": str(tmp_path / "segments")}
    processes = [start_run(source, out, workers=1, environment=noted) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert outputs(Path(out)) == {name: (Path(source) / name).read_bytes() for name in names}
    ledger = Ledger(Store(out))
    ledger.refresh()
    assert len(ledger.writers) == 2
    assert all(standing.is_done for standing in ledger.standings.values())
    assert len(ledger.standings) == 80
    segments = (tmp_path / "segments").read_text().splitlines()
    assert len(segments) - len(set(segments)) <= 8  # the same moment is rare, and harmless


def test_an_output_without_its_record_is_finished_off(folders):
    """As a run leaves it that is killed between the two."""
    source, out = folders
    make_sources(Path(source), 1)
    run_copies(source, out)
    record = Path(out) / "00000.mp4.venhancer.json"
    values = json.loads(record.read_text())
    announced = Path(out) / OWN / "partial" / f"{values['key']}.json"
    announced.parent.mkdir()
    announced.write_text(record.read_text())
    record.unlink()
    for path in (Path(out) / OWN / "ledger").iterdir():
        path.unlink()
    before = (Path(out) / "00000.mp4").stat().st_mtime_ns
    assert run_copies(source, out) == {"00000.mp4": "done"}
    assert json.loads(record.read_text()) == values
    assert (Path(out) / "00000.mp4").stat().st_mtime_ns == before
    assert not announced.exists()


def test_a_job_is_told_by_its_folder(folders):
    source, out = folders
    make_sources(Path(source), 1)
    run_copies(source, out)
    (Path(out) / OWN / "job.json").write_text("{}")
    with pytest.raises(InputError, match="is damaged or from another program or version"):
        claim_folder(Store(out), JOB)
