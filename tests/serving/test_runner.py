"""Jobs worked on by real processes: finished, stopped, resumed, killed, refused; always the command line's file."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media.clips import make_clip
from venhancer.jobs.work import find_work
from venhancer.serving.record import COMPARISON, LATEST, REPORT, SEAMS, STILLS, STRIP, JobRecord
from venhancer.serving.runner import Busy, Runner
from venhancer.serving.store import JobStore
from venhancer.settings import parse_settings

PATIENCE = 240  # seconds until a test gives up; none of them should come near
FRAMES = 240
SERVER = """
import sys
from pathlib import Path
from venhancer.serving.runner import Busy, Runner
from venhancer.serving.store import JobStore
with Runner(JobStore(Path(sys.argv[1])), ("cpu",), "fp32").running():
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """In the processes of jobs, as in the command's: the number of threads changes the last bits."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder with a clip of twenty seconds."""
    folder = tmp_path_factory.mktemp("home")
    make_clip(folder / "in.mp4", width=32, height=24, rate=12, frames=FRAMES, sound="aac")
    return folder


@pytest.fixture(scope="module")
def asked(tiny_model) -> dict[str, object]:
    """Settings of a job of many segments."""
    return {"model": str(tiny_model), "scale": 1, "color_fix": "none"}


@pytest.fixture(scope="module")
def expected(home, asked) -> bytes:
    """What the command line makes of it."""
    flags = [word for name, value in asked.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "venhancer", "enhance", "in.mp4", "out.mp4", *flags]
    subprocess.run([*command, "--device", "cpu", "--dtype", "fp32", "--quiet"], cwd=home, check=True)
    return (home / "out.mp4").read_bytes()


@pytest.fixture
def store(tmp_path) -> JobStore:
    return JobStore(tmp_path / "jobs")


def until(holds: Callable[[], object], pause: float = 0.01) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(pause)


def parts(store: JobStore, job: JobRecord) -> int:
    work = find_work(store.target(job))
    return 0 if work is None else len(work.parts)


def state(store: JobStore, job: JobRecord) -> str:
    return store.find(job.id).state


def test_a_job_is_stopped_resumed_and_ends_as_the_command_line_does(store, home, asked, expected):
    job = store.add(home / "in.mp4", parse_settings(**asked), name="in.mp4")
    told = []
    with Runner(store, ("cpu",), "fp32").running() as runner:
        until(lambda: parts(store, job), 0.001)
        runner.stop(job, "cancelled")
        until(lambda: state(store, job) == "cancelled")
        kept = parts(store, job)
        assert kept > 0
        assert not store.target(job).exists()
        assert runner.progress(job) is None  # its process has ended: its memory is free
        assert runner.resume(job).state == "queued"

        def is_over() -> bool:
            told.append(runner.progress(job))
            return state(store, job) not in ("queued", "working")

        until(is_over)
    done = store.find(job.id)
    assert (done.state, done.reason, done.frames) == ("finished", "", FRAMES)
    assert done.seconds > 0
    assert store.target(job).read_bytes() == expected
    shares = [one.share for one in told if one]
    assert shares == sorted(shares)
    assert max(shares) > 0.9
    assert any(one and one.left is not None for one in told)
    assert min(one.frames for one in told if one and one.what == "denoise") > 0  # what was finished counts
    for name in (COMPARISON, STILLS, STRIP, REPORT, SEAMS):
        assert (store.folder / job.id / name).stat().st_size > 0, name
    assert json.loads((store.folder / job.id / SEAMS).read_text())[0][0].startswith(("windows", "seams"))


def test_a_server_that_is_killed_goes_on_when_it_starts_again(store, home, asked, expected):
    job = store.add(home / "in.mp4", parse_settings(**asked), name="in.mp4")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with server:
        until(lambda: parts(store, job), 0.001)
        server.kill()
    assert state(store, job) == "working"
    with Runner(store, ("cpu",), "fp32").running() as runner:
        runner.wait(job.id, PATIENCE)
    assert state(store, job) == "finished"
    assert store.target(job).read_bytes() == expected


def test_previews_go_first_and_what_waits_can_be_paused_removed_or_refused(store, home, asked):
    long = store.add(home / "in.mp4", parse_settings(**asked), name="in.mp4")
    waits = store.add(home / "in.mp4", parse_settings(**asked), name="in.mp4")
    preview = store.add(home / "in.mp4", parse_settings(**asked, end="1/2"), name="in.mp4", preview=True)
    with Runner(store, ("cpu",), "fp32", most_waiting=2).running() as runner:
        until(lambda: state(store, preview) != "queued")
        assert (state(store, long), state(store, waits)) == ("queued", "queued")  # one job at a time
        with pytest.raises(Busy, match="2 jobs are waiting, which is the most"):
            runner.check_room()
        assert runner.stop(waits, "paused").state == "paused"
        runner.check_room()
        until(lambda: state(store, long) == "working")
        until(lambda: runner.progress(long).what != "start")
        runner.remove(long)
        assert not (store.folder / long.id).exists()
    assert state(store, preview) == "finished"
    assert store.find(preview.id).frames == 6
    assert store.target(preview).name == "in_preview.mp4"
    assert state(store, waits) == "paused"


def test_a_server_that_ends_leaves_its_job_queued_and_a_crash_costs_one_job(store, home, asked, tmp_path):
    (store.folder / "uploads" / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40)
    bad = store.add(store.folder / "uploads" / "bad.mp4", parse_settings(**asked), name="my bad clip.mp4")
    job = store.add(home / "in.mp4", parse_settings(**asked), name="in.mp4")
    with Runner(store, ("cpu",), "fp32").running() as runner:
        until(lambda: parts(store, job), 0.001)
        crashed = runner._works[job.id].process
        crashed.kill()
        until(lambda: state(store, job) == "failed")
        runner.resume(job)
        until(lambda: (one := runner.progress(job)) is not None and one.frames, 0.001)
    assert state(store, job) == "queued"
    refused = store.find(bad.id)
    assert refused.state == "failed"
    assert refused.reason.startswith("my bad clip.mp4 ")
    assert str(tmp_path) not in refused.reason
    assert LATEST not in refused.reason
