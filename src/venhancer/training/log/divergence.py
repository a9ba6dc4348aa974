"""When training must stop: a loss or a gradient that is no number, or a loss that jumped up and stays there.

Losses of single steps vary by an order of magnitude with the timesteps drawn, so a jump is measured against the running
median of the same objective, which no outlier moves, and believed only when it lasts.
"""

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from statistics import fmean, median
from typing import NamedTuple

from venhancer.training.settings import LogSettings

FEWEST_TO_JUDGE = 20
"""Steps with an objective that must have been seen before its next one is judged."""


class GroupLoss(NamedTuple):
    """The loss of one group of clips."""

    objective: str
    loss: float


class Watch:
    """Judges every step before its update is made.

    Args:
        settings: how high and how long a jump must be.

    Attributes:
        high_steps: for how many steps up to the last one the loss has been where it should not be.
    """

    def __init__(self, settings: LogSettings) -> None:
        self.settings = settings
        self.high_steps = 0
        self._losses: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=settings.spike_window))

    def judge(self, step: int, groups: Sequence[GroupLoss], gradient_norm: float) -> str | None:
        """Return the fault of a step, or None."""
        loss = fmean(group.loss for group in groups)
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            self.high_steps += 1
            what = f"the gradient's norm is {gradient_norm}" if math.isfinite(loss) else f"the loss is {loss}"
            return f"{what} at step {step}"
        by_objective: dict[str, list[float]] = defaultdict(list)
        for group in groups:
            by_objective[group.objective].append(group.loss)
        heights = [self._height(name, fmean(losses)) * len(losses) for name, losses in by_objective.items()]
        height = sum(heights) / len(groups)
        for name, losses in by_objective.items():
            self._losses[name].append(fmean(losses))
        self.high_steps = self.high_steps + 1 if height > self.settings.spike_factor else 0
        if self.high_steps < self.settings.spike_steps:
            return None
        return (
            f"the loss is {loss:.5g} at step {step}, {height:.3g} times its running median, "
            f"and has been above {self.settings.spike_factor:g} times for {self.high_steps} steps"
        )

    def state(self) -> dict[str, object]:
        """Return everything remembered, as JSON values."""
        return {"high_steps": self.high_steps, "losses": {name: list(losses) for name, losses in self._losses.items()}}

    def restore(self, high_steps: int, losses: dict[str, list[float]]) -> None:
        """Remember what `state` returned, and nothing else."""
        self.high_steps = high_steps
        self._losses.clear()
        for name, values in losses.items():
            self._losses[name].extend(values)

    def _height(self, objective: str, loss: float) -> float:
        """Return a step's loss as a multiple of its objective's running median; 1 while too few steps are known."""
        history = self._losses[objective]
        if len(history) < min(FEWEST_TO_JUDGE, self.settings.spike_window):
            return 1.0
        return loss / max(median(history), 1e-12)
