"""Several processes do the work of one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from training.prepared import make_clips, tiny_settings
from venhancer.errors import SettingsError
from venhancer.training import checkpoints
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.log.file import read_log
from venhancer.training.log.log import RunLog
from venhancer.training.loop import make_accelerator, train
from venhancer.training.start import start_pipeline
from venhancer.training.state import TrainState

STEP = {"batch_size": 4, "micro_batch_size": 1, "steps": 3, "learning_rate": 1e-4, "device": "cpu"}


def launch(folder: Path, processes: int, **changes) -> subprocess.CompletedProcess:
    settings = tiny_settings(folder, **STEP | changes)
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_unset=True)))
    return launch_processes(processes, "-m", "venhancer", "train", str(recipe))


def launch_processes(processes: int, *program: str) -> subprocess.CompletedProcess:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launcher, *program]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def state_of(settings) -> TrainState:
    """Return the state in a run's newest checkpoint."""
    learner = make_learner(settings, start_pipeline(settings))
    state = TrainState.begin(learner, make_optimizer(settings, learner), RunLog(settings, checkpoints=dict))
    kept = checkpoints.Checkpoints(settings.output / "checkpoints", keep=1, keep_every=None, is_main=True)
    assert kept.resume(state)
    return state


def test_two_processes_are_one(tmp_path):
    """The same weights, the same norm of every step's gradient, and a folder that one process wrote."""
    make_clips(tmp_path / "clips")
    done = launch(tmp_path, 2, output=tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"wrote {tmp_path / 'two' / 'pipeline'}")
    assert (tmp_path / "two" / "pipeline" / "model_index.json").is_file()
    train(tiny_settings(tmp_path, **STEP))

    one, two = (state_of(tiny_settings(tmp_path, output=tmp_path / name, **STEP)) for name in ("run", "two"))
    for name, parameter in one.learner.trained().items():
        torch.testing.assert_close(two.learner.trained()[name], parameter, rtol=0, atol=1e-6)
        torch.testing.assert_close(two.average[name], one.average[name], rtol=0, atol=1e-6)
    logs = [read_log(tmp_path / name) for name in ("run", "two")]
    for alone, together in zip(*logs, strict=True):
        for name in ("loss", "gradient_norm", "clips"):
            assert together[name] == pytest.approx(alone[name], rel=1e-3)
        for objective, means in alone["by_timestep"].items():
            assert together["by_timestep"][objective] == pytest.approx(means, rel=1e-3)
        assert together["by_factors"].keys() == alone["by_factors"].keys()


DISKS_THAT_DIFFER = """
import sys
from pathlib import Path
from accelerate import Accelerator
from training.prepared import tiny_settings
from venhancer.training.checkpoints import Checkpoints
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.log.log import RunLog
from venhancer.training.start import start_pipeline
from venhancer.training.state import TrainState

folder, accelerator = Path(sys.argv[1]), Accelerator(cpu=True)
disk = folder / f"disk_{accelerator.process_index}"
with accelerator.main_process_first():
    settings = tiny_settings(folder)
    learner = make_learner(settings, start_pipeline(settings))
state = TrainState.begin(learner, make_optimizer(settings, learner), RunLog(settings, checkpoints=dict))
options = {"keep": 1, "keep_every": None, "is_main": accelerator.is_main_process}
checkpoints = Checkpoints(disk, **options)
state.step = 3
for _ in range(2):  # the second as by a run that is told to stop right after a save
    checkpoints.save(state)
    checkpoints.settle()
accelerator.wait_for_everyone()
saved = folder / "disk_0" / "step_00000003"
if not accelerator.is_main_process:
    for file in (disk / ".step_00000003.part").iterdir():
        file.rename(saved / file.name)
    (disk / saved.name).symlink_to(saved)
    (disk / "step_00000009").mkdir()
accelerator.wait_for_everyone()
state.step = 0
assert Checkpoints(disk, **options).resume(state)
assert state.step == 3
"""


def test_processes_agree_though_the_disk_shows_them_different_things(tmp_path):
    """A folder for each stands in for a network disk that shows some what was renamed later than others."""
    make_clips(tmp_path / "clips")
    script = tmp_path / "script.py"
    script.write_text(DISKS_THAT_DIFFER)
    done = launch_processes(2, str(script), str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_groups_that_cannot_be_shared_out(tmp_path):
    make_clips(tmp_path / "clips")
    done = launch(tmp_path, 2, batch_size=3)
    assert done.returncode != 0
    assert "3 groups a step (batch_size / micro_batch_size) cannot be split evenly over 2 processes" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match="device cuda is not on this machine; pass cpu"):
        make_accelerator(tiny_settings(tmp_path, device="cuda"))


def test_sharding_alone(tmp_path):
    with pytest.raises(SettingsError, match="shard needs several processes"):
        make_accelerator(tiny_settings(tmp_path, shard=True))
