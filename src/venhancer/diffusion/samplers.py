"""The solvers: how to walk from noisy latents to clean ones, given something that denoises.

Plain functions of one signature over `denoise(x, sigma)`; they know no network, no guidance and no window. All walk in
the solver's space, x = x0 + sigma * eps, in float32, along falling `sigmas`, and return x at the last of them, which is
x0 when that is 0. The first sigma may be infinite: x is then the noise itself, and the first step is Euler's. Noise
comes from the caller. With one step, `[sigma, 0]`, each of them returns `denoise(x, sigma)`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeAlias

from venhancer.diffusion.denoiser import Denoise, Latents
from venhancer.progress import SILENT, Progress, track

NoiseSource: TypeAlias = Callable[[int], Latents]
"""Return the unit noise a step adds, shaped as x, by the step's index from 0; called at most once a step."""


def sample_dpmpp_2m_sde(
    denoise: Denoise,
    x: Latents,
    sigmas: Sequence[float],
    *,
    noise: NoiseSource | None = None,
    eta: float = 1.0,
    progress: Progress = SILENT,
) -> Latents:
    """Solve with DPM-Solver++(2M) SDE (Lu et al. 2022, midpoint form): one evaluation a step.

    Args:
        denoise: Returns x0 for (x, sigma).
        x: Where to start, at the first sigma.
        sigmas: Falling noise levels, usually ending in 0.
        noise: Where the noise that steps add comes from; an infinite first step and a step to 0 add none.
        eta: How much of the noise is replaced on the way: 1 solves the diffusion SDE, 0 the ODE.
        progress: Told of every step.

    Raises:
        ValueError: `eta` is above 0 and `noise` is missing.
    """
    previous: tuple[Latents, float] | None = None
    for index, sigma, sigma_next in _steps(sigmas, progress):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
        elif math.isinf(sigma):
            x = denoised + sigma_next * x
        else:
            width = math.log(sigma / sigma_next)  # of the step, in half the log-SNR
            target = denoised
            if previous is not None:
                denoised_before, width_before = previous
                target = denoised + width / (2 * width_before) * (denoised - denoised_before)
            share = math.exp(-(1 + eta) * width)  # of x, in the mean of x and target
            noise_level = sigma_next * math.sqrt(-math.expm1(-2 * eta * width))
            x = _add_noise(share * x + (1 - share) * target, noise_level, noise, index)
            previous = denoised, width
    return x


def sample_unipc(
    denoise: Denoise,
    x: Latents,
    sigmas: Sequence[float],
    *,
    noise: NoiseSource | None = None,  # noqa: ARG001 - the ODE needs none
    progress: Progress = SILENT,
) -> Latents:
    """Solve the ODE with UniPC (Zhao et al. 2023, alg. 5, order 2, B2(h), x0): one evaluation a step.

    Every step is predicted from the evaluations before it, and corrected by the next one, which is at its end. First
    and last step are of first order; a step from infinite noise is Euler's and stays as it is.

    Args:
        denoise: Returns x0 for (x, sigma).
        x: Where to start, at the first sigma.
        sigmas: Falling noise levels, usually ending in 0.
        noise: Not asked for.
        progress: Told of every step.
    """
    past: list[tuple[Latents, float]] = []  # up to two evaluations, the latest first, each with log sigma
    correct: Callable[[Latents], Latents] | None = None
    for _, sigma, sigma_next in _steps(sigmas, progress):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        if math.isinf(sigma):
            x = denoised + sigma_next * x
            continue
        if correct is not None:
            x = correct(denoised)
        past = [(denoised, math.log(sigma)), *past[:1]]
        step = _UniStep.to(sigma_next, x, past)
        x, correct = step.predicted(), step.corrected
    return x


class _UniStep(NamedTuple):
    """A step of UniPC from x at one noise level to another.

    Args:
        carried: what the step keeps of x and takes of x0 there, without differences of x0.
        width: of the step, in half the log-SNR.
        denoised: x0 at its beginning.
        slope: how x0 changed before, for a step of this width; None in a step of first order.
        ratio: width of the step before over this one's, negative.
    """

    carried: Latents
    width: float
    denoised: Latents
    slope: Latents | None
    ratio: float

    @classmethod
    def to(cls, sigma_next: float, x: Latents, past: Sequence[tuple[Latents, float]]) -> "_UniStep":
        """Return the step from x, where `past` begins, to a noise level."""
        denoised, log_sigma = past[0]
        width = log_sigma - math.log(sigma_next)
        carried = math.exp(-width) * x - math.expm1(-width) * denoised
        if len(past) == 1:
            return cls(carried, width, denoised, None, -1.0)
        before, log_before = past[1]
        ratio = (log_sigma - log_before) / width
        return cls(carried, width, denoised, (before - denoised) / ratio, ratio)

    def predicted(self) -> Latents:
        """Return x at the end of the step, as far as the past tells."""
        return self.carried if self.slope is None else self.carried - math.expm1(-self.width) / 2 * self.slope

    def corrected(self, denoised: Latents) -> Latents:
        """Return x at the end of the step from x0 there."""
        level, change = math.expm1(-self.width), denoised - self.denoised
        if self.slope is None:
            return self.carried - level / 2 * change
        first = -level / self.width - 1  # of phi's integrals, over the level
        total, weighted = first / level, 2 * (-first / self.width - 0.5) / level
        share = (total - weighted) / (1 - self.ratio)  # of the slope before; total goes to both
        return self.carried - level * (share * self.slope + (total - share) * change)


def sample_heun(
    denoise: Denoise,
    x: Latents,
    sigmas: Sequence[float],
    *,
    noise: NoiseSource | None = None,
    eta: float = 0.0,
    progress: Progress = SILENT,
) -> Latents:
    """Solve with Heun's second-order steps (Karras et al. 2022, alg. 1): two evaluations a step, one for a step to 0.

    Args:
        denoise: Returns x0 for (x, sigma).
        x: Where to start, at the first sigma.
        sigmas: Falling noise levels, usually ending in 0. The step from an infinite one is Euler's.
        noise: Where the noise that steps add comes from, when eta is above 0.
        eta: How much of the noise is replaced on the way, as in `sample_ddim`; 0 solves the ODE.
        progress: Told of every step.

    Raises:
        ValueError: `eta` is above 0 and `noise` is missing.
    """
    for index, sigma, sigma_next in _steps(sigmas, progress):
        own_level, noise_level = _split(sigma, sigma_next, eta)
        denoised = denoise(x, sigma)
        slope = _noise_in(x, denoised, sigma)
        x_euler = denoised + own_level * slope
        if own_level == 0 or math.isinf(sigma):
            x = x_euler
        else:
            slope_there = _noise_in(x_euler, denoise(x_euler, own_level), own_level)
            x = x + (own_level - sigma) * (slope + slope_there) / 2
        x = _add_noise(x, noise_level, noise, index)
    return x


def sample_ddim(
    denoise: Denoise,
    x: Latents,
    sigmas: Sequence[float],
    *,
    noise: NoiseSource | None = None,
    eta: float = 0.0,
    progress: Progress = SILENT,
) -> Latents:
    """Solve with DDIM (Song et al. 2021, eq. 12), as the paper reports: one evaluation a step, first order.

    Args:
        denoise: Returns x0 for (x, sigma).
        x: Where to start, at the first sigma.
        sigmas: Falling noise levels, usually ending in 0.
        noise: Where the noise that steps add comes from, when eta is above 0.
        eta: The paper's eta: 0 adds no noise, 1 is ancestral sampling (DDPM).
        progress: Told of every step.

    Raises:
        ValueError: `eta` is above 0 and `noise` is missing.
    """
    for index, sigma, sigma_next in _steps(sigmas, progress):
        own_level, noise_level = _split(sigma, sigma_next, eta)
        denoised = denoise(x, sigma)
        x = _add_noise(denoised + own_level * _noise_in(x, denoised, sigma), noise_level, noise, index)
    return x


class Sampler(Protocol):
    """What every solver is to the pipeline; `eta` is left at each one's own default."""

    def __call__(
        self,
        denoise: Denoise,
        x: Latents,
        sigmas: Sequence[float],
        *,
        noise: NoiseSource | None = None,
        progress: Progress = SILENT,
    ) -> Latents:
        """Return x at the last of `sigmas`."""
        ...


SOLVERS: Mapping[str, Sampler] = {
    "dpmpp_2m_sde": sample_dpmpp_2m_sde,
    "dpmpp_2m": partial(sample_dpmpp_2m_sde, eta=0.0),
    "unipc": sample_unipc,
    "heun": sample_heun,
    "ddim": sample_ddim,
}


def _steps(sigmas: Sequence[float], progress: Progress) -> Iterator[tuple[int, float, float]]:
    """Yield each step's index, noise level and next noise level."""
    steps = [(index, sigma, sigma_next) for index, (sigma, sigma_next) in enumerate(pairwise(sigmas))]
    return track(steps, len(steps), "denoise", progress)


def _split(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """Return how much of x's own noise is kept and how much is added, so that together they are `sigma_next`."""
    replaceable = 1 - (sigma_next / sigma) ** 2
    return sigma_next * math.sqrt(1 - eta**2 * replaceable), sigma_next * eta * math.sqrt(replaceable)


def _noise_in(x: Latents, denoised: Latents, sigma: float) -> Latents:
    """Return the unit noise in x, which is also the slope of the ODE there."""
    return x if math.isinf(sigma) else (x - denoised) / sigma


def _add_noise(x: Latents, noise_level: float, noise: NoiseSource | None, index: int) -> Latents:
    """Return x with that much new noise."""
    if noise_level == 0:
        return x
    if noise is None:
        raise ValueError("eta is above 0, so steps add noise: pass noise=, or eta=0")
    return x + noise_level * noise(index)
