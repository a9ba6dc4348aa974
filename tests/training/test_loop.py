"""What a run trains, logs and leaves."""

import json

import pytest
import torch

from training.prepared import make_clips, tiny_settings, weights_of
from venhancer.errors import JobFailed
from venhancer.model_files.traits import load_traits
from venhancer.pipeline import VEnhancerPipeline
from venhancer.runtime.processor import has_bfloat16
from venhancer.training.data.batches import Batches, generator_for
from venhancer.training.learner import make_learner, make_optimizer
from venhancer.training.loop import learning_rate, train
from venhancer.training.start import start_pipeline


def test_training_makes_a_pipeline_that_loads(tmp_path):
    make_clips(tmp_path / "clips")
    folder = train(tiny_settings(tmp_path))
    pipeline = VEnhancerPipeline.from_pretrained(folder)
    assert pipeline.config.between == "blend"
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_steps_lower_the_loss_on_one_batch(tmp_path):
    make_clips(tmp_path / "clips")
    settings = tiny_settings(tmp_path, learning_rate=3e-3)
    pipeline = start_pipeline(settings)
    learner = make_learner(settings, pipeline)
    optimizer = make_optimizer(settings, learner)
    batch = Batches(settings).group(0, 0)
    losses = []
    for _ in range(12):
        terms = learner(batch, generator_for(0, 0), 0).terms
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
    with pytest.raises(JobFailed, match=r"was started with other settings \(network\)"):
        train(tiny_settings(tmp_path, network=wider))


def test_another_number_format_is_refused(tmp_path):
    """Whoever chose it: `auto` means another one on another machine."""
    make_clips(tmp_path / "clips")
    automatic = "bf16" if has_bfloat16() else "no"
    train(tiny_settings(tmp_path, steps=2, precision="auto", device="cpu"))
    assert json.loads((tmp_path / "run" / "report.json").read_text())["precision"] == automatic
    train(tiny_settings(tmp_path, steps=3, precision=automatic, device="cpu"))
    other = {"bf16": "no", "no": "bf16"}[automatic]
    with pytest.raises(JobFailed, match=rf"other settings \(precision {automatic} then and {other} now\); restore"):
        train(tiny_settings(tmp_path, steps=4, precision=other, device="cpu"))


def test_learning_rate_warms_up_and_falls(tmp_path):
    settings = tiny_settings(tmp_path, steps=110, warmup=10, cosine_decay=True, learning_rate=1.0)
    assert learning_rate(settings, 0) == pytest.approx(0.1)
    assert learning_rate(settings, 10) == pytest.approx(1.0)
    assert learning_rate(settings, 60) == pytest.approx(0.5)
    assert learning_rate(settings, 109) < 0.01
    assert learning_rate(tiny_settings(tmp_path, learning_rate=1.0), 5) == 1.0


def test_learning_rate_falls_evenly_at_the_end(tmp_path):
    settings = tiny_settings(tmp_path, steps=110, warmup=10, decay_steps=50, learning_rate=1.0)
    rates = [learning_rate(settings, step) for step in (0, 10, 60, 85, 109)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.02])
    with pytest.raises(ValueError, match="cosine_decay and decay_steps both lower"):
        tiny_settings(tmp_path, cosine_decay=True, decay_steps=50)


def test_a_run_keeps_its_autoencoder_when_the_data_grow(tmp_path):
    make_clips(tmp_path / "clips")
    first = weights_of(train(tiny_settings(tmp_path, steps=2)))
    make_clips(tmp_path / "clips", count=6)
    second = weights_of(train(tiny_settings(tmp_path, steps=4)))
    assert torch.equal(first["vae.basis"], second["vae.basis"])


def test_defaults_may_change_while_a_run_lasts(tmp_path):
    make_clips(tmp_path / "clips")
    train(tiny_settings(tmp_path, steps=2, defaults={"steps": 4}))
    folder = train(tiny_settings(tmp_path, steps=3, defaults={"steps": 2, "solver": "ddim"}))
    defaults = load_traits(str(folder)).defaults
    assert (defaults.steps, defaults.solver) == (2, "ddim")


def test_a_run_learns_from_stills(tmp_path):
    """With every term of the loss, and looked at as it is validated."""
    make_clips(tmp_path / "clips")
    log = {"validation_every": 2, "pictures_every": 2, "validation_clips": 1}
    objective = {"finishing_share": 0.5, "frame_difference_weight": 0.5}
    train(tiny_settings(tmp_path, frames=1, steps=4, batch_size=2, objective=objective, log=log))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(line["validation"]["psnr"] > 0 for line in lines if "validation" in line)
