"""Compiled blocks have the gradients of plain ones; in a process of its own: type checking and tracing do not mix."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

PROGRAM = """
import sys
from pathlib import Path

import torch
from training.prepared import make_clips, tiny_settings
from torch._dynamo.utils import counters

from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.learner import make_learner
from venhancer.training.start import start_pipeline

folder = Path(sys.argv[1])
make_clips(folder / "clips")
gradients = []
for choice in (False, True):
    settings = tiny_settings(folder, compile_blocks=choice)
    learner = make_learner(settings, start_pipeline(settings))
    losses = learner(Batches(settings).group(0, 0), generator_for(0, 0), 0)
    torch.stack(list(losses.terms.values())).sum().backward()
    gradients.append(torch.cat([parameter.grad.flatten() for parameter in learner.trained().values()]))
plain, compiled = gradients
print(counters["stats"]["unique_graphs"], float((compiled - plain).norm() / plain.norm()))
"""


@pytest.mark.slow  # minutes of compiling
@pytest.mark.skipif(which("g++") is None and which("clang++") is None, reason="no C++ compiler to compile with")
def test_compiled_blocks_change_no_gradient(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    graphs, apart = result.stdout.split() or pytest.fail(result.stderr[-2000:])
    assert int(graphs) > 0
    assert float(apart) < 1e-5
