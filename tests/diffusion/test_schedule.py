"""The schedule against the published numbers, and the identities that must hold between its readings."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.testing import assert_close

from venhancer.diffusion.schedule import Schedule, noisy_from_solver, solver_from_noisy

GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = json.loads((GOLDEN / "schedule.json").read_text())
SCHEDULE = Schedule()
FAST_STEPS = 14  # what the published "15 steps" of the fast mode amount to


def setting(golden):
    return f"{golden['solver']}-{golden['t_max']}-{golden['steps']}-{golden['mode']}"


def our_timesteps(golden):
    """The published program drops the penultimate time of 2M only; its fast mode ignores the number of steps."""
    fast = golden["mode"] == "fast"
    return SCHEDULE.timesteps(
        FAST_STEPS if fast else golden["steps"],
        golden["t_max"],
        timetable="fast" if fast else "trailing",
        drop_penultimate=golden["solver"] == "dpmpp_2m_sde",
    )


# Published numbers.


def test_table_equals_published_one():
    assert_close(SCHEDULE.sigma_t, torch.tensor(NUMBERS["sigmas"]), rtol=0, atol=2e-7)
    assert_close(SCHEDULE.alpha_t, torch.tensor(NUMBERS["alphas"]), rtol=0, atol=1e-6)


def test_every_timestep_has_its_published_noise_level():
    ours = [SCHEDULE.sigma_at(timestep) for timestep in range(1000)]
    published = [float(sigma) for sigma in NUMBERS["k_sigmas"]]
    assert ours[:-1] == pytest.approx(published[:-1], rel=1e-6)
    assert ours[-1] == math.inf == published[-1]


@pytest.mark.parametrize(("timestep", "sigma"), NUMBERS["t_to_sigma"])
def test_fractional_timesteps_have_their_published_noise_level(timestep, sigma):
    assert SCHEDULE.sigma_at(timestep) == pytest.approx(float(sigma), rel=1e-6)


@pytest.mark.parametrize(("sigma", "timestep"), NUMBERS["sigma_to_t"])
def test_noise_levels_have_their_published_timestep(sigma, timestep):
    assert SCHEDULE.timestep_at(float(sigma)) == pytest.approx(timestep, abs=1e-4)


@pytest.mark.parametrize("golden", NUMBERS["discretisations"], ids=setting)
def test_timetable_equals_published_one(golden):
    timesteps = our_timesteps(golden)
    sigmas = SCHEDULE.sigmas(timesteps)
    asked = [SCHEDULE.nearest_timestep(sigma) for sigma in sigmas[:-1]]

    assert timesteps == pytest.approx(golden["raw_timesteps"][: len(timesteps)], rel=1e-6)
    assert sigmas == pytest.approx([float(sigma) for sigma in golden["solver_sigmas"]], rel=2e-6)
    assert asked == list(dict.fromkeys(golden["model_t"]))  # Heun asks twice at a time


@pytest.mark.parametrize("timestep", [0, 199, 499, 899, 998, 999])
def test_adding_noise_equals_published_numbers(timestep):
    numbers = load_file(GOLDEN / "solvers.safetensors")
    noisy = SCHEDULE.add_noise(numbers["diffuse/in.x0"], numbers["diffuse/in.noise"], timestep)
    assert_close(noisy, numbers[f"diffuse/t{timestep}"], rtol=1e-6, atol=1e-6)


# What the published program cannot do.


@pytest.mark.parametrize(("start", "sigma"), [(899, 23.4716528), (999, math.inf), (0, 0.0011062621)])
@pytest.mark.parametrize("drop_penultimate", [False, True])
def test_one_step_goes_from_start_to_clean(start, sigma, drop_penultimate):
    sigmas = SCHEDULE.sigmas(SCHEDULE.timesteps(1, start, drop_penultimate=drop_penultimate))
    assert sigmas == pytest.approx((sigma, 0))


@pytest.mark.parametrize(
    ("steps", "start", "timetable", "message"),
    [
        (0, 899, "trailing", "steps is 0"),
        (5, -1, "trailing", "start_timestep is -1"),
        (5, 1000, "trailing", "start_timestep is 1000"),
        (5, 500, "fast", "starts at 501 or later"),
        (14, 503, "fast", "starts at 504 or later"),
    ],
)
def test_impossible_timetable_is_refused(steps, start, timetable, message):
    with pytest.raises(ValueError, match=message):
        SCHEDULE.timesteps(steps, start, timetable=timetable)


def test_unknown_timetable_is_refused():
    with pytest.raises(Exception, match="'slow'"):  # ValueError, or the type checker's own where one is switched on
        SCHEDULE.timesteps(5, 899, timetable="slow")


@pytest.mark.parametrize("timestep", [-1, 1000, torch.tensor([5, -1])])
def test_timestep_outside_table_does_not_wrap(timestep):
    with pytest.raises(IndexError):
        SCHEDULE.add_noise(torch.zeros(2, 4, 1, 2, 2), torch.zeros(2, 4, 1, 2, 2), timestep)


# Properties.


def test_noise_only_grows_and_ends_pure():
    assert (SCHEDULE.sigma_t.diff() > 0).all()
    assert (SCHEDULE.alpha_t.diff() < 0).all()
    assert SCHEDULE.sigma_t[-1] == 1
    assert SCHEDULE.alpha_t[-1] == 0
    assert_close(SCHEDULE.alpha_t**2 + SCHEDULE.sigma_t**2, torch.ones(1000))


@given(st.floats(0, 998))
def test_timestep_and_noise_level_invert(timestep):
    assert SCHEDULE.timestep_at(SCHEDULE.sigma_at(timestep)) == pytest.approx(timestep, abs=1e-6)


@given(st.integers(0, 999))
def test_whole_timesteps_survive_float32_noise_levels(timestep):
    sigma = float(torch.tensor(SCHEDULE.sigma_at(timestep), dtype=torch.float32))
    assert SCHEDULE.nearest_timestep(sigma) == timestep


@given(st.integers(1, 200), st.integers(600, 999), st.sampled_from(["trailing", "fast"]), st.booleans())
def test_timetable_has_the_steps_asked_for_and_falls(steps, start, timetable, drop_penultimate):
    timesteps = SCHEDULE.timesteps(steps, start, timetable=timetable, drop_penultimate=drop_penultimate)
    sigmas = SCHEDULE.sigmas(timesteps)
    assert len(timesteps) == steps
    assert timesteps[0] == start
    assert all(earlier > later for earlier, later in pairwise(sigmas))


@given(st.integers(0, 900), st.integers(0, 2**31))
def test_predictions_convert_into_one_another(timestep, seed):
    x0, eps = torch.randn(2, 2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    x_t = SCHEDULE.add_noise(x0, eps, timestep)
    v = SCHEDULE.velocity(x0, eps, timestep)
    near = {"rtol": 1e-3, "atol": 2e-3}  # dividing by sigma_t at t = 0 magnifies float32 rounding 900 times
    assert_close(SCHEDULE.x0_from_v(v, x_t, timestep), x0, **near)
    assert_close(SCHEDULE.eps_from_v(v, x_t, timestep), eps, **near)


def test_samples_may_be_at_different_timesteps():
    latents, noise = torch.randn(2, 3, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    together = SCHEDULE.add_noise(latents, noise, torch.tensor([0, 500, 999]))
    apart = [SCHEDULE.add_noise(latents[i : i + 1], noise[i : i + 1], t) for i, t in enumerate([0, 500, 999])]
    assert_close(together, torch.cat(apart), rtol=0, atol=0)
    assert_close(together[2], noise[2], rtol=0, atol=0)


def test_log_snr_is_that_of_the_table():
    log_snr = SCHEDULE.log_snr(torch.tensor([0, 199, 999]))
    assert log_snr[:2].tolist() == pytest.approx([-2 * math.log(0.0011062614), -2 * math.log(0.743707)], rel=1e-5)
    assert log_snr[2] == -math.inf


@given(st.integers(0, 999))
def test_solver_space_and_back_changes_nothing(timestep):
    x_t = torch.randn(1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(timestep))
    sigma = SCHEDULE.sigma_at(timestep)
    assert_close(noisy_from_solver(solver_from_noisy(x_t, sigma), sigma), x_t)


def test_solver_space_is_clean_latents_plus_noise():
    x0, eps = torch.randn(2, 1, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    x = solver_from_noisy(SCHEDULE.add_noise(x0, eps, 700), SCHEDULE.sigma_at(700))
    assert_close(x, x0 + SCHEDULE.sigma_at(700) * eps, rtol=1e-4, atol=1e-4)


def test_table_first_read_while_sampling_serves_training():
    schedule = Schedule()
    latents = torch.ones(1, 4, 1, 2, 2, requires_grad=True)
    with torch.inference_mode():
        schedule.add_noise(latents, latents, 500)
    schedule.add_noise(latents, latents, 500).sum().backward()
    assert latents.grad is not None
