"""The times that a solver visits and what is done at each, in plain numbers: what plans count by. No torch."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from venhancer.settings import Solver, Timetable

LAST_TIMESTEP = 999
LOG_SNR_RANGE = (-15.0, 15.0)
SHIFTS = (2.0, 4.0)  # of the log-SNR, at the clean and at the noisy end
MOST_REUSES = 2  # running
RENEWS_NOISE = ("dpmpp_2m_sde",)  # solvers whose steps replace noise
FAST_KNEE = 500  # the fast timetable strides down to here and walks below
FAST_SHARE_ABOVE = 4 / 15


class Evaluation(NamedTuple):
    """One time that a solver asks for x0.

    Args:
        timestep: that the networks are told.
        is_guided: whether it takes two prompts.
        reuses: whether it takes the features that an evaluation before it kept, so that only the way up runs.
        keeps: whether it keeps features for the next.
    """

    timestep: int
    is_guided: bool = False
    reuses: bool = False
    keeps: bool = False


def step_times(
    steps: int, start_timestep: int, *, timetable: Timetable = "trailing", drop_penultimate: bool = False
) -> tuple[float, ...]:
    """Return the `steps` falling, fractional times at which a solver's steps begin.

    Args:
        steps: Solver steps, each from one time to the next, the last from the last time to clean.
        start_timestep: The first time.
        timetable: "trailing" spaces the times evenly; "fast" strides to t = 500 with 4 of 15 steps and spends the
            others below it.
        drop_penultimate: Lay out one time more and leave out the last, so that the last jump is twice as long: what
            the published program does with DPM-Solver++(2M) SDE. Its fast mode is this with 14 steps.

    Raises:
        ValueError: `steps` or `start_timestep` out of range, or a fast timetable starting near t = 500 or below.

    >>> step_times(3, 899)
    (899.0, 599.0, 299.0)
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be at least 1")
    if not 0 <= start_timestep <= LAST_TIMESTEP:
        raise ValueError(f"start_timestep is {start_timestep}; pass 0 to {LAST_TIMESTEP}")
    count = steps + drop_penultimate
    if timetable == "trailing":
        times = _evenly(start_timestep, -1, count)
    elif timetable == "fast":
        above = max(1, round(count * FAST_SHARE_ABOVE))
        if start_timestep < FAST_KNEE + above:
            raise ValueError(
                f"start_timestep is {start_timestep}; a fast timetable of {steps} steps starts at "
                f"{FAST_KNEE + above} or later: use trailing"
            )
        times = _evenly(start_timestep, FAST_KNEE - 1, above) + _evenly(FAST_KNEE, -1, count - above)
    else:
        raise ValueError(f"timetable is {timetable!r}; pass 'trailing' or 'fast'")
    return times[:steps]


def evaluation_times(times: tuple[float, ...], solver: Solver) -> tuple[float, ...]:
    """Return the time of every evaluation of a solver whose steps begin at `times`.

    Heun's steps evaluate twice, at both ends, but for the last and for one from pure noise.

    >>> evaluation_times((899.0, 599.0, 299.0), "heun")
    (899.0, 599.0, 599.0, 299.0, 299.0)
    """
    if solver != "heun":
        return times
    visited = list(times[:1])
    for time, following in pairwise(times):
        visited += [following] if time == LAST_TIMESTEP else [following, following]
    return tuple(visited)


def evaluations(
    times: Sequence[float], solver: Solver, *, guided: range = range(0), feature_reuse: float = 0.0
) -> tuple[Evaluation, ...]:
    """Return every evaluation of a solver whose steps begin at `times`.

    Features are reused while the input has moved little since they were computed: by up to `feature_reuse` of its
    size, as far as the noise levels tell (see `input_distance`), at most twice running, and as long as the prompts are
    the same. Nothing here depends on pictures, windows or devices, so all parts of a clip are treated alike.

    Args:
        times: of steps.
        solver: that takes them.
        guided: timesteps at which guidance acts.
        feature_reuse: farthest relative distance; 0 for no reuse.
    """
    timesteps = [whole_timestep(time) for time in evaluation_times(tuple(times), solver)]
    origin, running, reuses = timesteps[0], 0, [False]
    for timestep in timesteps[1:]:
        distance = input_distance(origin, timestep, renews_noise=solver in RENEWS_NOISE)
        same_prompts = (origin in guided) == (timestep in guided)
        reuses.append(0 < feature_reuse >= distance and same_prompts and running < MOST_REUSES)
        origin, running = (origin, running + 1) if reuses[-1] else (timestep, 0)
    keeps = [*reuses[1:], False]
    return tuple(
        Evaluation(timestep, timestep in guided, *how) for timestep, *how in zip(timesteps, reuses, keeps, strict=True)
    )


def input_distance(before: int, after: int, *, renews_noise: bool) -> float:
    """Return how far the networks' input moves between two timesteps, relative to its size.

    Its clean part is taken to have unit variance and to stay; noise stays too, or is replaced as by a solver of the
    SDE.

    >>> [round(input_distance(800, after, renews_noise=False), 2) for after in (800, 700, 600)]
    [0.0, 0.12, 0.29]
    """
    shares = [noise_share(timestep) for timestep in (before, after)]
    (clean, noise), (clean_after, noise_after) = ((math.sqrt(1 - share**2), share) for share in shares)
    if not clean:
        return math.inf
    kept = (noise_after * clean) / (noise * clean_after) if renews_noise else 1.0
    change = (clean - clean_after) ** 2 + noise**2 + noise_after**2 - 2 * kept * noise * noise_after
    return math.sqrt(max(0.0, change))


def noise_share(timestep: float) -> float:
    """Return sigma_t, as `venhancer.diffusion.schedule.Schedule` has it for the networks."""
    first, last, share = (_unscaled_share(time) for time in (0, LAST_TIMESTEP, timestep))
    return first + (share - first) / (last - first) * (1 - first)


def _unscaled_share(timestep: float) -> float:
    """Return sigma_t before it is stretched to end at 1."""
    noisy_angle, clean_angle = (math.atan(math.exp(-log_snr / 2)) for log_snr in LOG_SNR_RANGE)
    cleanness = 1 - timestep / LAST_TIMESTEP
    log_snr = -2 * math.log(math.tan(noisy_angle + cleanness * (clean_angle - noisy_angle)))
    shift = cleanness * math.log(SHIFTS[0]) + (1 - cleanness) * math.log(SHIFTS[1])
    return math.sqrt(1 / (1 + math.exp(log_snr - 2 * shift)))


def whole_timestep(time: float) -> int:
    """Return the whole timestep that a network gets for a time; halves go to the even one."""
    return round(round(time, 3))  # first undo float32 noise, which would decide the halves


def _evenly(start: float, end: float, count: int) -> tuple[float, ...]:
    """Return `count` evenly spaced times from `start` on; one more would be `end`."""
    return tuple(start - i * (start - end) / count for i in range(count))
