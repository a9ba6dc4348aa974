"""The solvers against published trajectories and against a problem whose answer is known: a Gaussian."""

import math
from itertools import count
from pathlib import Path

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from safetensors.torch import load_file
from torch.testing import assert_close

from venhancer.diffusion.denoiser import Denoiser, Guided
from venhancer.diffusion.samplers import SOLVERS, sample_ddim, sample_dpmpp_2m_sde, sample_heun, sample_unipc
from venhancer.diffusion.schedule import Schedule

GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "solvers.safetensors")
SCHEDULE = Schedule()
TRAILING_15 = {"steps": 15, "start_timestep": 899}
TRAILING_15_DROPPED = {**TRAILING_15, "drop_penultimate": True}
FAST = {"steps": 14, "start_timestep": 899, "timetable": "fast", "drop_penultimate": True}

MEAN, SPREAD = 0.3, 0.5


# The published solvers on a toy network: the exact posterior of N(mean, spread^2), told of whole timesteps.


def predict_toy(x_t, timesteps, prompts):
    """Return v of the best guess; a prompt is a mean and a spread."""
    alpha_t, sigma_t = SCHEDULE.alpha_t[timesteps], SCHEDULE.sigma_t[timesteps]
    velocities = []
    for mean, spread in prompts:
        gain = spread**2 * alpha_t / (spread**2 * alpha_t**2 + sigma_t**2)
        x0 = mean + gain * (x_t - alpha_t * mean)
        velocities.append((alpha_t * x_t - x0) / sigma_t)
    return velocities


def toy_denoiser(guidance_scale):
    predict_v = Guided(predict_toy, (0.3, 0.5), (-0.1, 0.8), guidance_scale=guidance_scale, guidance_rescale=0.2)
    return Denoiser(predict_v, SCHEDULE)


def recorded_noise():
    """Hand out the published draws in the order they were made."""
    draws = count()
    return lambda _: GOLDEN["toy/in.noise_list"][next(draws)]


def no_noise():
    return lambda _: torch.zeros_like(GOLDEN["toy/in.noise"])


def published_start(sigmas):
    """The published program starts from sigma * x_t, where x_t / alpha_t would be right: x_t a thousandth too small."""
    return sigmas[0] * GOLDEN["toy/in.noise"]


def relative_error(ours, published):
    return ((ours - published).norm() / published.norm()).item()


@pytest.mark.parametrize(
    ("run", "sample", "timetable", "guidance_scale", "noise"),
    [
        ("toy_heun_899_15_cfg1", sample_heun, TRAILING_15, 1, no_noise),
        ("toy_2m_899_15_cfg1_zero", sample_dpmpp_2m_sde, TRAILING_15_DROPPED, 1, no_noise),
        ("toy_2m_899_15_cfg1_list", sample_dpmpp_2m_sde, TRAILING_15_DROPPED, 1, recorded_noise),
        ("toy_2m_899_15_cfg7.5r0.2_list", sample_dpmpp_2m_sde, TRAILING_15_DROPPED, 7.5, recorded_noise),
        ("toy_v2fast_899_15_cfg7.5r0.2_list_all", sample_dpmpp_2m_sde, FAST, 7.5, recorded_noise),
    ],
)
def test_solver_ends_where_the_published_one_does(run, sample, timetable, guidance_scale, noise):
    sigmas = SCHEDULE.sigmas(SCHEDULE.timesteps(**timetable))
    out = sample(toy_denoiser(guidance_scale), published_start(sigmas), sigmas, noise=noise())
    assert relative_error(out, GOLDEN[f"{run}/out"]) < 1e-5


def test_every_step_is_the_published_one():
    denoise, seen = toy_denoiser(7.5), []

    def watched(x, sigma):
        seen.append(denoise(x, sigma))
        return seen[-1]

    sigmas = SCHEDULE.sigmas(SCHEDULE.timesteps(**FAST))
    sample_dpmpp_2m_sde(watched, published_start(sigmas), sigmas, noise=recorded_noise())
    published = GOLDEN["toy_v2fast_899_15_cfg7.5r0.2_list_all/x0_each_call"]
    assert len(seen) == len(published) == 14
    assert max(relative_error(*pair) for pair in zip(seen, published, strict=True)) < 1e-5


@pytest.mark.parametrize(("steps", "start_timestep"), [(1, 899), (2, 899), (5, 700), (15, 899)])
def test_unipc_is_that_of_diffusers(steps, start_timestep):
    """On our levels, from v, with a network that is no line: every x and the end."""

    def denoise(x, sigma):
        return torch.tanh(0.7 * x / math.sqrt(1 + sigma**2)) + 0.2 / (1 + sigma)

    sigmas = SCHEDULE.sigmas(SCHEDULE.timesteps(steps, start_timestep))
    theirs = UniPCMultistepScheduler(
        solver_order=2, solver_type="bh2", prediction_type="v_prediction", lower_order_final=True
    )
    theirs.set_timesteps(steps)
    theirs.timesteps, theirs.sigmas = torch.arange(steps, 0, -1), torch.tensor(sigmas)
    x = sigmas[0] * gaussian_noise(4)(0)
    ours = sample_unipc(denoise, x, sigmas)
    x_t = x / math.sqrt(1 + sigmas[0] ** 2)
    for number, timestep in enumerate(theirs.timesteps):
        alpha_t = 1 / math.sqrt(1 + sigmas[number] ** 2)
        v = (alpha_t * x_t - denoise(x_t / alpha_t, sigmas[number])) / (sigmas[number] * alpha_t)
        x_t = theirs.step(v, timestep, x_t).prev_sample
    assert relative_error(ours, x_t) < 1e-5


# A Gaussian has a closed-form denoiser, so mean, spread and order of convergence are known.


def denoise_gaussian(x, sigma):
    if math.isinf(sigma):
        return torch.full_like(x, MEAN)
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (x - MEAN)


def gaussian_noise(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda _: torch.randn(1, 4, 4, 32, 32, generator=generator)


@pytest.mark.parametrize(
    ("sample", "eta"),
    [
        (sample_dpmpp_2m_sde, 1.0),
        (sample_dpmpp_2m_sde, 0.0),
        (sample_unipc, None),
        (sample_heun, 0.0),
        (sample_heun, 1.0),
        (sample_ddim, 0.0),
        (sample_ddim, 0.5),
        (sample_ddim, 1.0),
    ],
)
@pytest.mark.parametrize("start_timestep", [899, 999])
def test_solver_reaches_known_mean_and_spread(sample, eta, start_timestep):
    noise = gaussian_noise(0)
    sigmas = SCHEDULE.sigmas(SCHEDULE.timesteps(800, start_timestep))
    x = noise(0) if math.isinf(sigmas[0]) else MEAN + math.sqrt(SPREAD**2 + sigmas[0] ** 2) * noise(0)
    out = sample(denoise_gaussian, x, sigmas, noise=noise, **({} if eta is None else {"eta": eta}))
    assert out.mean().item() == pytest.approx(MEAN, abs=0.015)  # 16,384 numbers: three standard errors are .012
    assert out.std().item() == pytest.approx(SPREAD, rel=0.03)


@pytest.mark.parametrize(("solver", "order"), [("heun", 2), ("ddim", 1), ("dpmpp_2m", 2), ("unipc", 3)])
def test_ode_solver_converges_with_its_order(solver, order):
    """Along the ODE, x - mean shrinks as the root of spread^2 + sigma^2."""
    first, last, x = 10.0, 0.1, torch.full((1, 1, 1, 1, 1), 7.0, dtype=torch.float64)
    exact = MEAN + (7.0 - MEAN) * math.sqrt((SPREAD**2 + last**2) / (SPREAD**2 + first**2))
    errors = []
    for steps in (40, 80, 160):
        sigmas = [first * (last / first) ** (i / steps) for i in range(steps + 1)]
        errors.append(abs(SOLVERS[solver](denoise_gaussian, x, sigmas).item() - exact))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.1)


# What every solver promises.


@pytest.mark.parametrize("sample", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("sigma", [23.47, 0.5, math.inf])
def test_one_step_is_one_denoising(sample, sigma):
    x = gaussian_noise(1)(0)
    assert_close(sample(denoise_gaussian, x, [sigma, 0.0]), denoise_gaussian(x, sigma), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("sample", "start_timestep", "calls"),
    [
        (sample_dpmpp_2m_sde, 899, 15),
        (sample_dpmpp_2m_sde, 999, 15),
        (sample_unipc, 899, 15),
        (sample_unipc, 999, 15),
        (sample_ddim, 899, 15),
        (sample_heun, 899, 29),
        (sample_heun, 999, 28),  # from pure noise the first step is Euler's
    ],
)
def test_solver_asks_as_often_as_published(sample, start_timestep, calls):
    asked = []

    def denoise(x, sigma):
        asked.append(sigma)
        return denoise_gaussian(x, sigma)

    sigmas = SCHEDULE.sigmas(SCHEDULE.timesteps(15, start_timestep))
    out = sample(denoise, torch.ones(1, 4, 2, 2, 2), sigmas, noise=torch.zeros(15, 1, 4, 2, 2, 2).__getitem__)
    assert len(asked) == calls
    assert out.isfinite().all()


@pytest.mark.parametrize("sample", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("start_timestep", [899, 999])
def test_start_is_left_untouched(sample, start_timestep):
    x = gaussian_noise(2)(0)
    before = x.clone()
    sample(denoise_gaussian, x, SCHEDULE.sigmas(SCHEDULE.timesteps(3, start_timestep)), noise=gaussian_noise(3))
    assert_close(x, before, rtol=0, atol=0)


def test_noise_is_asked_for_by_step():
    asked = []

    def noise(step):
        asked.append(step)
        return torch.zeros(1, 1, 1, 1, 1)

    sample_dpmpp_2m_sde(denoise_gaussian, torch.ones(1, 1, 1, 1, 1), [math.inf, 9.0, 3.0, 1.0, 0.0], noise=noise)
    assert asked == [1, 2]


def test_missing_noise_is_refused():
    with pytest.raises(ValueError, match="pass noise="):
        sample_dpmpp_2m_sde(denoise_gaussian, torch.ones(1, 1, 1, 1, 1), [9.0, 3.0, 0.0])


def test_progress_hears_of_every_step():
    class Heard:
        stages: list
        done = 0

        def start(self, total, what):
            self.stages = [(total, what)]

        def advance(self):
            self.done += 1

    heard = Heard()
    sample_ddim(denoise_gaussian, torch.ones(1, 1, 1, 1, 1), [9.0, 3.0, 1.0, 0.0], progress=heard)
    assert heard.stages == [(3, "denoise")]
    assert heard.done == 3
