"""A run that has gone wrong is told from one that is merely uneven."""

import json
import math

import numpy as np
import pytest

from venhancer.training.log.divergence import FEWEST_TO_JUDGE, GroupLoss, Watch
from venhancer.training.settings import LogSettings


def step_of(loss: float, objective: str = "denoising") -> list[GroupLoss]:
    return [GroupLoss(objective, loss)]


def calm_watch(steps: int = 50, **changes: float) -> Watch:
    watch = Watch(LogSettings(spike_factor=10, spike_steps=3, **changes))
    for step in range(1, steps + 1):
        assert watch.judge(step, step_of(0.4 + 0.2 * (step % 2)), 1.0) is None
    return watch


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_told_at_once(loss):
    assert calm_watch().judge(51, [*step_of(0.5), *step_of(loss)], 1.0) == f"the loss is {loss} at step 51"


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_is_told_at_once(norm):
    assert calm_watch().judge(51, step_of(0.5), norm) == f"the gradient's norm is {norm} at step 51"


def test_a_jump_is_told_when_it_lasts():
    watch = calm_watch()
    assert watch.judge(51, step_of(8.0), 1.0) is None
    assert watch.judge(52, step_of(8.0), 1.0) is None
    complaint = watch.judge(53, step_of(8.0), 1.0)
    assert complaint is not None
    assert complaint.startswith("the loss is 8 at step 53, 13.3 times its running median")
    assert watch.high_steps == 3


def test_short_jumps_and_high_plateaus_below_the_factor_go_on():
    watch = calm_watch()
    for step in range(51, 500):
        loss = 8.0 if step % 3 else 0.5  # two steps of three
        assert watch.judge(step, step_of(loss if step < 60 else 3.0), 1.0) is None


def test_each_objective_is_measured_against_itself():
    """Pixel errors are a tenth of noise errors: a run of the latter is no jump."""
    watch = calm_watch()
    for step in range(51, 100):
        assert watch.judge(step, step_of(0.01, "pixels"), 1.0) is None
    for step in range(100, 110):
        assert watch.judge(step, step_of(0.5), 1.0) is None
    for step in range(110, 112):
        assert watch.judge(step, step_of(0.5, "pixels"), 1.0) is None
    assert watch.judge(112, step_of(0.5, "pixels"), 1.0) is not None


def test_many_groups_a_step_do_not_become_the_median_of_themselves():
    watch = Watch(LogSettings(spike_factor=10, spike_steps=3))
    for step in range(1, 60):
        assert watch.judge(step, step_of(0.5) * 256, 1.0) is None
    complaints = [watch.judge(step, step_of(20.0) * 256, 1.0) for step in range(60, 63)]
    assert [bool(complaint) for complaint in complaints] == [False, False, True]


def test_uneven_losses_of_a_healthy_run_are_no_jump():
    """Spread over a factor of ten and falling, as single steps of a small batch do."""
    generator = np.random.default_rng(0)
    watch = Watch(LogSettings())
    for step in range(1, 2000):
        loss = float(np.exp(generator.normal(0, 1.2)) / (1 + step / 300))
        assert watch.judge(step, step_of(loss), 1.0) is None


def test_the_first_steps_are_not_judged():
    watch = Watch(LogSettings(spike_steps=1))
    for step in range(1, FEWEST_TO_JUDGE + 1):
        assert watch.judge(step, step_of(100.0 if step % 2 else 0.1), 1.0) is None


def test_what_was_remembered_comes_back_from_json():
    watch, other = calm_watch(), Watch(LogSettings(spike_factor=10, spike_steps=3))
    watch.judge(51, step_of(8.0), 1.0)
    other.restore(**json.loads(json.dumps(watch.state())))
    assert other.high_steps == 1
    assert other.judge(52, step_of(8.0), 1.0) is None
    assert other.judge(53, step_of(8.0), 1.0) is not None
