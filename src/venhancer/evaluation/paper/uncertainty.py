"""How sure a mean over clips is: bootstrap intervals, and differences of two systems clip by clip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over clips and the interval that holds it with 95 % certainty, as far as the clips are typical."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out: a difference that the clips agree on."""
        return self.low > 0 or self.high < 0


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """Return the mean of a score a clip, with the percentile bootstrap over clips (Efron 1979).

    Of fewer than two values there is no interval: it is the mean itself.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError("an estimate needs values")
    scores = np.asarray(values, float)
    if len(scores) < 2:
        return Estimate(float(scores[0]), float(scores[0]), float(scores[0]))
    picks = np.random.default_rng(seed).integers(0, len(scores), (DRAWS, len(scores)))
    low, high = np.quantile(scores[picks].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(scores.mean()), float(low), float(high))


def paired_difference(values: Sequence[float], others: Sequence[float], seed: int = 0) -> Estimate:
    """Return by how much values exceed others on the same clips: clips differ more than systems, pairs do not.

    Raises:
        ValueError: they are not as many, or none.
    """
    return estimate([value - other for value, other in zip(values, others, strict=True)], seed)
