"""A run that is killed, told to stop or out of room goes on, and ends as if it had never stopped."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml

from training.prepared import make_clips, tiny_settings, weights_of
from venhancer.errors import InputError, JobFailed
from venhancer.training.checkpoints import list_checkpoints
from venhancer.training.log.file import read_log
from venhancer.training.loop import train

STEPS = 10


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def never_stopped(tmp_path_factory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("whole")
    make_clips(folder / "clips")
    return weights_of(train(tiny_settings(folder, steps=STEPS)))


@pytest.fixture
def folder(tmp_path) -> Path:
    make_clips(tmp_path / "clips")
    return tmp_path


def start_command(folder: Path, **changes) -> subprocess.Popen:
    """Start a run of so many steps that it will not end by itself."""
    settings = tiny_settings(folder, steps=4000, device="cpu", **{"checkpoint_every": 2, **changes})
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    command = [sys.executable, "-m", "venhancer", "train", str(recipe)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def reached(folder: Path) -> int:
    return int(list_checkpoints(folder / "run" / "checkpoints")[-1].name.removeprefix("step_"))


def assert_ends_alike(folder: Path, expected: dict[str, torch.Tensor]) -> None:
    assert reached(folder) < STEPS, "the machine stalled between the checkpoint and the signal"
    ended = weights_of(train(tiny_settings(folder, steps=STEPS)))
    assert ended.keys() == expected.keys()
    assert all(torch.equal(ended[name], expected[name]) for name in expected)
    assert [line["step"] for line in read_log(folder / "run")] == list(range(1, STEPS + 1))


def test_killed_again_and_again(folder, never_stopped):
    """Without warning, once at a checkpoint and once amid work; bit for bit on the CPU."""
    for checkpoint in ("step_00000002", "step_00000006"):
        process = start_command(folder)
        wait_for(folder / "run" / "checkpoints" / checkpoint, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert_ends_alike(folder, never_stopped)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop(folder, never_stopped, number):
    """As schedulers and terminals tell it: the run and its workers alike."""
    process = start_command(folder, checkpoint_every=1000, workers=2)
    wait_for(folder / "run" / "log.jsonl", process)
    os.killpg(process.pid, number)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert output.splitlines()[-1] == f"stopped and saved in {folder / 'run'}; run the same command again to resume"
    assert_ends_alike(folder, never_stopped)


def test_a_second_run_in_the_same_folder_is_refused(folder):
    """It would remove what the first is just writing."""
    process = start_command(folder)
    try:
        wait_for(folder / "run" / "checkpoints" / "step_00000002", process)
        with pytest.raises(InputError, match=r"another run is training in .*run; wait for it, or set another output"):
            train(tiny_settings(folder, steps=STEPS))
    finally:
        process.kill()
        process.communicate()
    assert train(tiny_settings(folder, steps=reached(folder))) is not None


def test_ctrl_c_amid_the_groups_of_a_step(folder):
    """The step under way is given up and done again: its gradients so far are not kept."""
    changes = {"steps": 3, "batch_size": 6, "micro_batch_size": 1, "checkpoint_every": 1000}
    handler = signal.getsignal(signal.SIGINT)
    whole = weights_of(train(tiny_settings(folder, output=folder / "whole", **changes)))

    def interrupt() -> None:
        while not (folder / "run" / "log.jsonl").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    watcher.start()
    assert train(tiny_settings(folder, **changes)) is None
    watcher.join()
    assert reached(folder) < 3
    assert signal.getsignal(signal.SIGINT) is handler
    resumed = weights_of(train(tiny_settings(folder, **changes)))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.usefixtures("capsys")  # what is printed must not go through files, which the limit would hit as well
def test_a_full_disk_leaves_the_last_good_checkpoint(folder, never_stopped):
    """A limit on the size of files stands in for a disk that fills up while a checkpoint is written."""
    train(tiny_settings(folder, steps=2))
    checkpoints = folder / "run" / "checkpoints"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(JobFailed, match=r"be written \(.*File too large\); .*step_00000002 stays") as raised:
            train(tiny_settings(folder, steps=6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(raised.value)
    assert [path.name for path in checkpoints.iterdir()] == ["step_00000002"]
    assert_ends_alike(folder, never_stopped)


def test_half_written_and_damaged_checkpoints(folder):
    train(tiny_settings(folder, steps=2))
    checkpoints = folder / "run" / "checkpoints"
    (checkpoints / ".step_00000004.part").mkdir()
    (checkpoints / ".step_00000004.part" / "__0_0.distcp").write_bytes(b"half")
    assert reached(folder) == 2
    train(tiny_settings(folder, steps=3))
    assert not list(checkpoints.glob(".*"))

    for file in (checkpoints / "step_00000003").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(JobFailed, match=r"step_00000003 is damaged \(.*; remove it"):
        train(tiny_settings(folder, steps=4))


def test_a_checkpoint_of_another_architecture(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    make_clips(other / "clips")
    wider = tiny_settings(other).network.model_copy(update={"base_channels": 32})
    train(tiny_settings(other, steps=2, network=wider))
    (folder / "run").mkdir()
    (other / "run" / "checkpoints").rename(folder / "run" / "checkpoints")
    with pytest.raises(JobFailed, match=r"belongs to another network \(controlnet\.\S+ is \S+ there and \S+ here\)"):
        train(tiny_settings(folder, steps=4))


def test_which_checkpoints_are_kept(folder):
    train(tiny_settings(folder, steps=7, checkpoint_every=1, keep_checkpoints=2, keep_every=3))
    names = [path.name for path in list_checkpoints(folder / "run" / "checkpoints")]
    assert names == [f"step_{step:08d}" for step in (3, 6, 7)]
