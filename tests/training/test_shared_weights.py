"""Validation where processes share the weights out: the same figures, and training goes on."""

import os
import subprocess
import sys
from pathlib import Path

from training.prepared import make_clips, tiny_settings
from venhancer.training.start import start_pipeline

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
import torch.distributed as dist
from training.prepared import tiny_settings
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.learner import SHARDED_TOGETHER, make_learner, make_optimizer
from venhancer.training.log.log import RunLog
from venhancer.training.start import start_pipeline
from venhancer.training.state import TrainState
from venhancer.training.log.validation import Validation

dist.init_process_group("gloo")
torch.set_num_threads(1)
log = {"validation_every": 1, "pictures_every": 0, "validation_clips": 1}
settings = tiny_settings(Path(sys.argv[2]), log=log)
pipeline = start_pipeline(settings)
learner = make_learner(settings, pipeline)
kept = RunLog(settings, checkpoints=dict, is_main=dist.get_rank() == 0)
kept.begin(0)
validation = Validation(settings, pipeline, learner)
validation.look(1, kept)
whole = kept.validations["last"]

mesh = init_device_mesh("cpu", (2,))
for module in reversed(list(learner.modules())):
    if type(module).__name__ in SHARDED_TOGETHER:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
fully_shard(learner, mesh=mesh, reshard_after_forward=True)
optimizer = make_optimizer(settings, learner)
state = TrainState.begin(learner, optimizer, kept)
for step in range(2):
    losses = learner(Batches(settings).group(step, 0), generator_for(step), step)
    torch.stack(list(losses.terms.values())).sum().backward()
    if step > 0:
        optimizer.step()
    optimizer.zero_grad()
    state.update_average(0.5)
    with state.averaged():
        validation.look(2 + step, kept)
    assert all(isinstance(parameter, DTensor) for parameter in learner.trained().values())
    if step == 0:
        assert {**kept.validations["last"], "step": 1} == whole, (kept.validations["last"], whole)
assert kept.validations["last"]["loss"] != whole["loss"]
dist.destroy_process_group()
"""


def test_validation_of_shared_weights_is_that_of_whole_ones(tmp_path):
    make_clips(tmp_path / "clips")
    start_pipeline(tiny_settings(tmp_path, defaults={"steps": 1, "solver": "ddim", "guidance_scale": 1.0}))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, *launcher, str(tmp_path / "program.py"), str(Path(__file__).parents[1]), str(tmp_path)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
