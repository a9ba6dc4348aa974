"""The times that a solver visits, in plain numbers: what plans count by. No torch."""

from itertools import pairwise

from venhancer.settings import Solver, Timetable

LAST_TIMESTEP = 999
FAST_KNEE = 500  # the fast timetable strides down to here and walks below
FAST_SHARE_ABOVE = 4 / 15


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


def whole_timestep(time: float) -> int:
    """Return the whole timestep that a network gets for a time; halves go to the even one."""
    return round(round(time, 3))  # first undo float32 noise, which would decide the halves


def _evenly(start: float, end: float, count: int) -> tuple[float, ...]:
    """Return `count` evenly spaced times from `start` on; one more would be `end`."""
    return tuple(start - i * (start - end) / count for i in range(count))
