"""Training runs, stops, goes on, and ends as if it had never stopped."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from prepared import make_clips, tiny_settings
from safetensors.torch import load_file

from venhancer.errors import JobFailed
from venhancer.pipeline import VEnhancerPipeline
from venhancer.training.checkpoints import list_checkpoints
from venhancer.training.data import Batches, generator_for
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.loop import learning_rate, train
from venhancer.training.start import start_pipeline

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from prepared import tiny_settings
from venhancer.training.loop import train
train(tiny_settings(Path(sys.argv[2]), steps=400))
"""


def weights_of(pipeline: Path) -> dict[str, torch.Tensor]:
    files = sorted(pipeline.rglob("*.safetensors"))
    return {f"{file.parent.name}.{key}": value for file in files for key, value in load_file(file).items()}


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_training_makes_a_pipeline_that_loads(tmp_path):
    make_clips(tmp_path / "clips")
    folder = train(tiny_settings(tmp_path))
    pipeline = VEnhancerPipeline.from_pretrained(folder)
    assert pipeline.space.residual_scale is not None
    assert pipeline.config.between == "blend"
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, one_thread):
    """Killed without warning after its second checkpoint; bit for bit on the CPU."""
    for name in ("whole", "killed"):
        make_clips(tmp_path / name / "clips")
    expected = weights_of(train(tiny_settings(tmp_path / "whole", steps=10)))

    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, here, str(tmp_path / "killed")])
    folder = tmp_path / "killed" / "run" / "checkpoints"
    while not (folder / "step_00000004").is_dir():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = int(list_checkpoints(folder)[-1].name.removeprefix("step_"))
    assert reached < 10, "the machine stalled between the checkpoint and the signal"
    assert reached % 2 == 0

    resumed = weights_of(train(tiny_settings(tmp_path / "killed", steps=10)))
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_steps_lower_the_loss_on_one_batch(tmp_path):
    make_clips(tmp_path / "clips")
    settings = tiny_settings(tmp_path, learning_rate=3e-3)
    pipeline = start_pipeline(settings)
    learner = make_learner(settings, pipeline)
    optimizer = make_optimizer(settings, learner)
    batch = Batches(settings).group(0, 0)
    losses = []
    for _ in range(12):
        terms = learner(batch, generator_for(0, 0))
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


def test_frozen_base_stays_as_it_was(tmp_path):
    make_clips(tmp_path / "clips")
    first = train(tiny_settings(tmp_path, steps=2))
    second = train(tiny_settings(tmp_path, output=tmp_path / "second", start_from=first, train="controlnet", steps=2))
    before, after = weights_of(first), weights_of(second)
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"controlnet"}


def test_going_on_with_other_settings_is_refused(tmp_path):
    make_clips(tmp_path / "clips")
    train(tiny_settings(tmp_path, steps=2))
    wider = tiny_settings(tmp_path).network.model_copy(update={"base_channels": 32})
    with pytest.raises(JobFailed, match=r"was begun with other settings \(network\)"):
        train(tiny_settings(tmp_path, network=wider))


def test_half_written_checkpoints_are_not_picked_up(tmp_path):
    make_clips(tmp_path / "clips")
    train(tiny_settings(tmp_path, steps=2))
    folder = tmp_path / "run" / "checkpoints"
    (folder / ".step_00000004.part").mkdir()
    (folder / ".step_00000004.part" / "state.pt").write_bytes(b"half")
    assert [path.name for path in list_checkpoints(folder)] == ["step_00000002"]


def test_learning_rate_warms_up_and_falls(tmp_path):
    settings = tiny_settings(tmp_path, steps=110, warmup=10, cosine_decay=True, learning_rate=1.0)
    assert learning_rate(settings, 0) == pytest.approx(0.1)
    assert learning_rate(settings, 10) == pytest.approx(1.0)
    assert learning_rate(settings, 60) == pytest.approx(0.5)
    assert learning_rate(settings, 109) < 0.01
    assert learning_rate(tiny_settings(tmp_path, learning_rate=1.0), 5) == 1.0


def test_a_run_keeps_its_autoencoder_when_the_data_grow(tmp_path):
    make_clips(tmp_path / "clips")
    first = weights_of(train(tiny_settings(tmp_path, steps=2)))
    make_clips(tmp_path / "clips", count=6)
    second = weights_of(train(tiny_settings(tmp_path, steps=4)))
    assert torch.equal(first["vae.basis"], second["vae.basis"])
