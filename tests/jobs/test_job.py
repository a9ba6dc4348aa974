"""Work beside a target: taken up where it stopped, alone, refused when it is of something else, never another's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from venhancer.errors import InputError, JobFailed, Stopped
from venhancer.jobs.job import Job, open_job
from venhancer.jobs.origin import Origin
from venhancer.jobs.work import Manifest, find_work, work_folder

ORIGIN = {"input": "abc", "scale": 4.0, "version of torch": "2.9"}
CARRY = {"latents": torch.arange(6.0).reshape(2, 3).bfloat16(), "frames": torch.arange(3)}


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "out.mp4"


def add(job: Job, content: bytes, carry: dict[str, torch.Tensor] | None = None) -> None:
    """Finish a segment of five frames."""
    path = job.unfinished(".mkv")
    path.write_bytes(content)
    job.keep(path, 5, carry or {})


def opened(target: Path, do: Callable[[Job], object] = lambda _: None, origin: Origin = ORIGIN, **options) -> None:
    """Open work, do something in it, and close it again."""
    with open_job(target, origin, frames=20, **options) as job:
        do(job)


def ended(target: Path, error: BaseException, do: Callable[[Job], object] = lambda _: None, **options) -> str:
    """Do something in the work on a target, end it by an error, and return what is said then."""

    def fail(job: Job) -> None:
        do(job)
        raise error

    with pytest.raises(type(error)) as raised:
        opened(target, fail, **options)
    return str(raised.value)


def begin(target: Path, *contents: bytes, carry: dict[str, torch.Tensor] | None = None) -> None:
    """Leave work with so many finished segments."""
    ended(target, JobFailed("stop here"), lambda job: [add(job, content, carry) for content in contents])


def interrupt(_: Job) -> None:
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_work_disappears_when_the_target_is_there(target):
    with open_job(target, ORIGIN, frames=10) as job:
        assert names(target.parent) == ["out.mp4.part", "out.mp4.part/lock", "out.mp4.part/manifest.json"]
        add(job, b"one", CARRY)
        add(job, b"two")
        assert [path.read_bytes() for path in job.segments] == [b"one", b"two"]
        job.result.write_bytes(b"onetwo")
        job.publish()
    assert names(target.parent) == ["out.mp4"]
    assert target.read_bytes() == b"onetwo"


@pytest.mark.parametrize("is_there", [False, True])
def test_work_disappears_when_the_target_is_a_folder(tmp_path, is_there):
    target = tmp_path / "frames"
    if is_there:
        target.mkdir()
    with open_job(target, ORIGIN, frames=10) as job:
        add(job, b"one")
        (job.result / "deep").mkdir(parents=True)
        (job.result / "deep" / "1.png").write_bytes(b"png")
        job.publish()
    assert names(tmp_path) == ["frames", "frames/deep", "frames/deep/1.png"]


def test_work_is_taken_up_after_the_last_finished_segment(target):
    begin(target, b"one", b"two", carry=CARRY)
    work = find_work(target)
    assert work is not None
    assert (work.finished_frames, work.frames, work.choices) == (10, 20, {})
    with open_job(target, ORIGIN, frames=20) as job:
        assert job.finished_segments == 2
        carry = job.carry()
        assert carry.keys() == CARRY.keys()
        for name, tensor in CARRY.items():
            assert carry[name].dtype == tensor.dtype
            assert torch.equal(carry[name], tensor)
        add(job, b"three")
        assert job.carry() == {}
        assert names(job.folder) == ["lock", "manifest.json", *(f"segment_0000{number}.mkv" for number in range(3))]


def test_choices_stay(target):
    ended(target, JobFailed("stop here"), lambda job: add(job, b"one"), choices={"cuts": [3, 9]})
    with open_job(target, ORIGIN, frames=20, choices={"cuts": [4]}) as job:
        assert job.manifest.choices == {"cuts": [3, 9]}


def test_nothing_is_left_when_no_segment_was_finished(target):
    assert ended(target, JobFailed("no room"), lambda job: job.unfinished(".mkv").write_bytes(b"half")) == "no room"
    assert ended(target, KeyboardInterrupt()) == "nothing was written"
    assert names(target.parent) == []


@pytest.mark.usefixtures("windows")
def test_nothing_is_left_of_finished_work_where_open_files_cannot_be_removed(target):
    begin(target, b"one", carry=CARRY)
    with open_job(target, ORIGIN, frames=20) as job:
        add(job, b"two")
        job.result.write_bytes(b"whole")
        job.publish()
    assert names(target.parent) == ["out.mp4"]


def test_failures_and_stops_say_what_is_kept(target):
    kept = f"5 of 20 frames are finished and kept in {target}.part; run the same command again to resume"
    assert ended(target, JobFailed("no room"), lambda job: add(job, b"one")) == f"no room; {kept}"
    assert ended(target, KeyboardInterrupt()) == kept
    with pytest.raises(Stopped):
        opened(target, interrupt)


def test_leavings_of_a_killed_run_are_cleared_away(target):
    begin(target, b"one", carry=CARRY)
    folder = work_folder(target)
    before, left = names(folder), []
    for leaving in (
        "unfinished.mkv",
        "segment_00001.mkv",
        "carry_00001.safetensors",
        ".manifest.json.part",
        ".a.part.mp4",
    ):
        (folder / leaving).write_bytes(b"half")
    (folder / "result").mkdir()
    (folder / "result" / "1.png").write_bytes(b"half")
    opened(target, lambda _: left.extend(names(folder)))
    assert left == sorted(["lock", *before])


def test_a_run_killed_before_it_began_leaves_nothing_in_the_way(target):
    folder = work_folder(target)
    folder.mkdir()
    (folder / "lock").touch()
    (folder / ".manifest.json.part").write_bytes(b"{")
    assert find_work(target) is None
    with open_job(target, ORIGIN, frames=10) as job:
        assert names(job.folder) == ["lock", "manifest.json"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": "abd"}, "another input"),
        ({"scale": 2.0}, "scale 4.0 then and 2.0 now"),
        ({"version of torch": "2.10"}, "version of torch 2.9 then and 2.10 now"),
        ({"scale": None, "input": ""}, "another input; scale 4.0 then and none now"),
    ],
)
def test_other_work_is_refused_in_one_line(target, change, said):
    begin(target, b"one")
    before = names(target.parent)
    with pytest.raises(InputError) as refused:
        opened(target, origin=ORIGIN | change)
    assert f"started differently ({said}); repeat that command to resume it, or pass --restart" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert names(target.parent) == before


def test_other_work_of_which_nothing_is_finished_is_in_nobodys_way(target):
    """What a run leaves that was killed before its first segment."""
    folder = work_folder(target)
    folder.mkdir()
    manifest = Manifest(origin={"input": "other"}, frames=20)
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    (folder / "unfinished.mkv").write_bytes(b"half")
    with open_job(target, ORIGIN, frames=20) as job:
        assert (job.manifest.origin, names(folder)) == (ORIGIN, ["lock", "manifest.json"])
    assert not folder.exists()


def test_what_is_known_of_one_side_only_is_not_compared(target):
    begin(target, b"one")
    with open_job(target, ORIGIN | {"device": "cpu"}, frames=20) as job:
        assert job.finished_segments == 1


def test_restart_discards_the_work(target):
    begin(target, b"one", carry=CARRY)
    with open_job(target, ORIGIN | {"scale": 2.0}, frames=20, restart=True) as job:
        assert job.finished_segments == 0
        assert names(job.folder) == ["lock", "manifest.json"]


def test_a_damaged_segment_is_refused(target):
    begin(target, b"one", b"two")
    (work_folder(target) / "segment_00000.mkv").write_bytes(b"on")
    with pytest.raises(InputError, match=r"segment_00000.mkv is missing or has changed; pass --restart"):
        opened(target)


def test_a_damaged_carry_is_refused(target):
    begin(target, b"one", carry=CARRY)
    (work_folder(target) / "carry_00000.safetensors").write_bytes(b"half")
    with pytest.raises(JobFailed, match=r"carry_00000.safetensors is damaged .*; pass --restart"):
        opened(target, Job.carry)


@pytest.mark.parametrize("kind", ["file", "folder", "link", "other manifest"])
def test_what_is_not_ours_is_never_touched(target, kind):
    folder = work_folder(target)
    if kind == "file":
        folder.write_text("half a download")
    elif kind == "link":
        (target.parent / "elsewhere").mkdir()
        folder.symlink_to(target.parent / "elsewhere")
    else:
        folder.mkdir()
        name = "holiday.txt" if kind == "folder" else "manifest.json"
        (folder / name).write_text(json.dumps({"program": "another"}))
        (folder / "segment_00000.mkv").write_text("theirs")
    before = names(target.parent)
    for restart in (False, True):
        with pytest.raises(InputError, match=r"move .*away or choose another target"):
            opened(target, restart=restart)
    assert names(target.parent) == before


def test_what_others_put_beside_the_work_stays(target):
    with open_job(target, ORIGIN, frames=5) as job:
        add(job, b"one")
        (job.folder / "notes.txt").write_text("mine")
        job.result.write_bytes(b"one")
        job.publish()
    assert names(target.parent) == ["out.mp4", "out.mp4.part", "out.mp4.part/notes.txt"]


def finish(job: Job) -> None:
    """Put the result together and in place."""
    job.result.write_bytes(b"one")
    job.publish()


def test_a_target_that_came_to_be_meanwhile_is_not_replaced(target):
    def finish_late(job: Job) -> None:
        add(job, b"one")
        target.write_bytes(b"another's")
        finish(job)

    with pytest.raises(JobFailed, match="appeared while it was being made here; move it away; 5 of 20 frames"):
        opened(target, finish_late)
    assert target.read_bytes() == b"another's"
    target.unlink()
    opened(target, finish)
    assert (target.read_bytes(), names(target.parent)) == (b"one", ["out.mp4"])


def test_a_link_is_replaced_and_not_what_it_points_to(target):
    elsewhere = target.parent / "elsewhere.mp4"
    elsewhere.write_bytes(b"precious")
    target.symlink_to(elsewhere)
    with open_job(target, ORIGIN, frames=5) as job:
        add(job, b"one")
        job.result.write_bytes(b"one")
        job.publish(overwrite=True)
    assert (target.is_symlink(), target.read_bytes(), elsewhere.read_bytes()) == (False, b"one", b"precious")


PUBLISH = """
import os, sys
from pathlib import Path
from venhancer.jobs.job import open_job
with open_job(Path(sys.argv[1]), {"input": "abc"}, frames=5) as job:
    path = job.unfinished(".mkv")
    path.write_bytes(b"one")
    job.keep(path, 5, {})
    job.result.write_bytes(b"one")
    job.publish()
    os._exit(9)
"""


@pytest.mark.parametrize("left", ["all", "manifest"])
def test_killed_between_the_target_and_the_clearing_away(target, left):
    """The target is there and is the work's own result: nothing is left to do but clearing away."""
    assert subprocess.run([sys.executable, "-c", PUBLISH, target], check=False).returncode == 9
    if left == "manifest":
        (work_folder(target) / "segment_00000.mkv").unlink()
    work = find_work(target)
    assert work is not None
    assert work.is_published(target)
    with open_job(target, {"input": "abc"}, frames=5) as job:
        assert job.is_published
    assert names(target.parent) == ["out.mp4"]


def test_the_leavings_of_a_finished_run_do_not_refuse_other_settings(target):
    subprocess.run([sys.executable, "-c", PUBLISH, target], check=False)
    with open_job(target, {"input": "abd"}, frames=5) as job:
        assert (job.finished_segments, job.is_published) == (0, False)
    assert target.read_bytes() == b"one"


HOLD = """
import sys, time
from pathlib import Path
from venhancer.jobs.job import open_job
with open_job(Path(sys.argv[1]), {"input": "abc"}, frames=20) as job:
    path = job.unfinished(".mkv")
    path.write_bytes(b"one")
    job.keep(path, 5, {})
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_second_of_two_runs_is_refused_and_a_killed_one_blocks_nothing(target):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = subprocess.Popen([sys.executable, "-c", HOLD, target], stdout=subprocess.PIPE, text=True, env=environment)
    assert first.stdout is not None
    try:
        assert first.stdout.readline() == "held\n"
        before = names(target.parent)
        for restart in (False, True):
            with pytest.raises(InputError, match=r"another run is making .*out.mp4; wait for it, or choose another"):
                opened(target, origin={"input": "abc"}, restart=restart)
        assert names(target.parent) == before
    finally:
        first.kill()
        first.communicate()
    with open_job(target, {"input": "abc"}, frames=20) as job:
        assert job.finished_segments == 1


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"out.mp4.part cannot be"):
        opened(tmp_path / "file" / "out.mp4")
