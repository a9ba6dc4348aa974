"""The noise schedule: how much of a noisy latent is picture and how much is noise at each of 1,000 timesteps.

One place holds the table and everything read from it: adding noise, turning a prediction (v, x0 or eps) into another,
moving between timesteps and the noise levels solvers count in, and laying out the times a solver visits. Training and
inference both use it; it knows no network. The table is the published program's, as float32 numbers in a file: close to
pure noise one rounding of sigma_t moves alpha_t by 4e-6 of 0.013, and processors round the formula differently.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, Shaped
from safetensors.torch import load_file
from torch import Tensor

from venhancer.diffusion.timetable import LAST_TIMESTEP, step_times, whole_timestep
from venhancer.settings import Timetable

SIGMA_T = Path(__file__).with_name("sigma_t.safetensors")

Timestep: TypeAlias = int | Int64[Tensor, "b"]  # one for all samples, or one each
Samples: TypeAlias = Float[Tensor, "b ..."]
Coefficients: TypeAlias = float | Float[Tensor, "..."]  # multiplies Samples


class Schedule:
    """Hold the published schedule: log-SNR cosine between two shifts, ending in pure noise.

    Variance-preserving: `x_t = alpha_t * x0 + sigma_t * eps` with `alpha_t^2 + sigma_t^2 = 1` (VEnhancer, eq. 1). The
    log-SNR is a cosine schedule (Hoogeboom et al. 2023, "simple diffusion") whose shift moves from the clean end to
    the noisy one; sigma_t is then stretched to end at exactly 1 (`venhancer.diffusion.timetable.noise_share`).

    >>> schedule = Schedule()
    >>> round(schedule.sigma_at(899), 3)
    23.472
    >>> schedule.timesteps(3, 899)
    (899.0, 599.0, 299.0)
    """

    @cached_property
    @torch.inference_mode(mode=False)  # a table first read while sampling must serve training too
    def sigma_t(self) -> Float[Tensor, "t"]:
        """Return the share of noise at each timestep, rising to exactly 1."""
        return load_file(SIGMA_T)["sigma_t"]

    @cached_property
    @torch.inference_mode(mode=False)
    def alpha_t(self) -> Float[Tensor, "t"]:
        """Return the share of picture at each timestep, falling to exactly 0."""
        return torch.sqrt(1 - self.sigma_t**2)

    @cached_property
    def _log_sigmas(self) -> Float64[np.ndarray, "t"]:
        """Return the logarithm of each timestep's noise level; the last is infinite."""
        variance = self.sigma_t**2
        return torch.sqrt(variance / (1 - variance)).double().log().numpy()

    # Timesteps and noise levels.

    def sigma_at(self, timestep: float) -> float:
        """Return the noise level sigma_t / alpha_t, log-linear between timesteps; infinite at pure noise."""
        return math.exp(np.interp(timestep, np.arange(LAST_TIMESTEP + 1), self._log_sigmas))

    def timestep_at(self, sigma: float) -> float:
        """Return the fractional timestep of a noise level above 0: the inverse of `sigma_at`.

        Levels below the table are timestep 0; finite levels beyond it are the last timestep that is not pure noise.
        """
        return float(np.interp(math.log(sigma), self._log_sigmas, np.arange(LAST_TIMESTEP + 1)))

    def nearest_timestep(self, sigma: float) -> int:
        """Return the whole timestep that a network gets for a noise level."""
        return whole_timestep(self.timestep_at(sigma))

    def timesteps(
        self,
        steps: int,
        start_timestep: int,
        *,
        timetable: Timetable = "trailing",
        drop_penultimate: bool = False,
    ) -> tuple[float, ...]:
        """Return the times at which a solver's steps begin; see `venhancer.diffusion.timetable.step_times`.

        Raises:
            ValueError: see there.
        """
        return step_times(steps, start_timestep, timetable=timetable, drop_penultimate=drop_penultimate)

    def sigmas(self, timesteps: Sequence[float]) -> tuple[float, ...]:
        """Return the noise levels of `timesteps` and a closing 0: what solvers walk along."""
        return (*(self.sigma_at(timestep) for timestep in timesteps), 0.0)

    # Noising, and one prediction from another.

    def add_noise(self, latents: Samples, noise: Samples, timestep: Timestep) -> Samples:
        """Return `latents` diffused to `timestep` with the given unit noise.

        Raises:
            IndexError: a timestep outside the table (a negative one does not wrap around to pure noise).
        """
        alpha_t, sigma_t = self._coefficients(timestep, latents)
        return alpha_t * latents + sigma_t * noise

    def velocity(self, latents: Samples, noise: Samples, timestep: Timestep) -> Samples:
        """Return v = alpha_t * eps - sigma_t * x0, what the network learns to predict (VEnhancer, sec. 3.1)."""
        alpha_t, sigma_t = self._coefficients(timestep, latents)
        return alpha_t * noise - sigma_t * latents

    def x0_from_v(self, v: Samples, x_t: Samples, timestep: Timestep) -> Samples:
        """Return the clean latents of a velocity."""
        alpha_t, sigma_t = self._coefficients(timestep, x_t)
        return alpha_t * x_t - sigma_t * v

    def eps_from_v(self, v: Samples, x_t: Samples, timestep: Timestep) -> Samples:
        """Return the noise of a velocity."""
        alpha_t, sigma_t = self._coefficients(timestep, x_t)
        return sigma_t * x_t + alpha_t * v

    def log_snr(self, timestep: Timestep) -> Float[Tensor, "b"]:
        """Return log(alpha_t^2 / sigma_t^2), one a sample, for weighting losses; minus infinity at pure noise."""
        timestep = torch.as_tensor(timestep).reshape(-1)
        alpha_t, sigma_t = self._coefficients(timestep, timestep)
        return 2 * torch.log(torch.as_tensor(alpha_t / sigma_t))

    def _coefficients(self, timestep: Timestep, like: Shaped[Tensor, "b ..."]) -> tuple[Coefficients, Coefficients]:
        """Return alpha_t and sigma_t on the device of `like`, shaped to multiply it sample by sample.

        One timestep for all samples gives numbers: nothing is copied to the device, so nothing waits for it.
        """
        if isinstance(timestep, int):
            if not 0 <= timestep <= LAST_TIMESTEP:
                raise IndexError(f"timestep is {timestep}; allowed are 0 to {LAST_TIMESTEP}")
            return float(self.alpha_t[timestep]), float(self.sigma_t[timestep])
        index = timestep.to(like.device).reshape(-1)
        shape = (-1, *(1 for _ in like.shape[1:]))
        alpha_t, sigma_t = self.alpha_t.to(like.device), self.sigma_t.to(like.device)
        return alpha_t.index_select(0, index).view(shape), sigma_t.index_select(0, index).view(shape)


def solver_from_noisy(noisy_latents: Samples, sigma: float) -> Samples:
    """Return x = x0 + sigma * eps, which solvers walk in, from x_t; at infinite sigma x is the noise itself."""
    return noisy_latents if math.isinf(sigma) else noisy_latents * math.sqrt(1 + sigma**2)


def noisy_from_solver(x: Samples, sigma: float) -> Samples:
    """Return x_t, which networks see, from the solver's x: the inverse of `solver_from_noisy`."""
    return x if math.isinf(sigma) else x / math.sqrt(1 + sigma**2)
