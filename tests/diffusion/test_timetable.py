"""What is done at which time of a sampling, in plain numbers."""

from itertools import pairwise

import pytest
import torch

from venhancer.diffusion.samplers import sample_ddim, sample_dpmpp_2m_sde
from venhancer.diffusion.schedule import Schedule, noisy_from_solver
from venhancer.diffusion.timetable import MOST_REUSES, evaluations, input_distance, noise_share, step_times

SCHEDULE = Schedule()


def test_shares_of_noise_are_those_of_the_schedule():
    ours = torch.tensor([noise_share(timestep) for timestep in range(1000)])
    assert (ours - SCHEDULE.sigma_t).abs().max() < 5e-7


@pytest.mark.parametrize("sample", [sample_ddim, sample_dpmpp_2m_sde])
def test_distances_are_those_of_what_networks_see(sample):
    """Between the steps of a solver towards pictures of unit variance that are known from the start."""
    generator = torch.Generator().manual_seed(0)
    x0, eps, *draws = torch.randn(9, 1, 4, 8, 32, 32, generator=generator)
    times = step_times(6, 800)
    sigmas, seen = SCHEDULE.sigmas(times), []

    def denoise(x, sigma):
        seen.append(noisy_from_solver(x, sigma))
        return x0

    sample(denoise, x0 + sigmas[0] * eps, sigmas, noise=draws.__getitem__)
    for (before, after), (one, other) in zip(pairwise(times), pairwise(seen), strict=True):
        distance = input_distance(round(before), round(after), renews_noise=sample is sample_dpmpp_2m_sde)
        assert ((other - one).norm() / one.norm()).item() == pytest.approx(distance, rel=0.02)


def reuses(steps=15, solver="unipc", start=899, **how):
    return [evaluation.reuses for evaluation in evaluations(step_times(steps, start), solver, **how)]


def test_features_are_reused_while_the_input_moves_little():
    assert not any(reuses())
    assert reuses(4, feature_reuse=0.1) == [False] * 4
    assert reuses(10, feature_reuse=0.25).count(True) == 5
    assert reuses(50, feature_reuse=1.0) == [number % (MOST_REUSES + 1) > 0 for number in range(50)]
    assert sum(reuses(15, "dpmpp_2m_sde", feature_reuse=0.25)) < sum(reuses(15, feature_reuse=0.25))
    assert not reuses(2, start=999, feature_reuse=1.0)[1]  # nothing of pure noise is a picture's


def test_features_are_kept_for_the_next_that_reuses_them_and_for_the_same_prompts():
    made = evaluations(step_times(12, 899), "unipc", guided=range(300, 601), feature_reuse=0.4)
    assert [one.keeps for one in made] == [*(one.reuses for one in made[1:]), False]
    for before, after in pairwise(made):
        assert not after.reuses or before.is_guided == after.is_guided
    assert any(one.reuses and one.is_guided for one in made)
    assert any(one.reuses and not one.is_guided for one in made)
