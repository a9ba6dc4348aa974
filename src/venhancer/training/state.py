"""What a training run carries from step to step.

Everything random is a function of the seed and the step, so the weights that learn, their average, the optimiser's
moments and the step number are all that later weights depend on; frozen weights come from where the run began. What the
log remembers is kept beside them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.tensor import DTensor

from venhancer.training.learner import Learner
from venhancer.training.log import RunLog


@dataclass(slots=True)
class TrainState:
    """Networks in training, their averaged weights, and the optimiser.

    Args:
        learner: the networks, not wrapped; their weights may be shared out over processes.
        optimizer: over the parameters that learn.
        average: their exponential moving average, by name.
        log: what is told of the run; later lines depend on earlier steps.
        step: optimiser steps done.
    """

    learner: Learner
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    log: RunLog
    step: int

    @classmethod
    def begin(cls, learner: Learner, optimizer: torch.optim.Optimizer, log: RunLog) -> "TrainState":
        """Return the state before the first step."""
        average = {name: parameter.detach().clone() for name, parameter in learner.trained().items()}
        return cls(learner, optimizer, average, log, 0)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the averaged weights towards the current ones; young averages move faster."""
        weight = 1 - min(decay, (1 + self.step) / (10 + self.step))
        for name, parameter in self.learner.trained().items():
            self.average[name].lerp_(parameter, weight)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the networks have their averaged weights; afterwards, bit for bit, those of before."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the weights and their average, one at a time: no second copy of a large network is held."""
        for name, parameter in self.learner.trained().items():
            current = parameter.detach().clone()
            parameter.copy_(self.average[name])
            self.average[name].copy_(current)

    def content(self) -> dict[str, Any]:
        """Return everything that a checkpoint keeps; its tensors are those in use, not copies."""
        return {
            "weights": {name: parameter.detach() for name, parameter in self.learner.trained().items()},
            "average": self.average,
            "optimizer": get_optimizer_state_dict(self.learner, self.optimizer),
            "step": self.step,
            "log": json.dumps(self.log.state()),
        }

    def adopt(self, content: Mapping[str, Any]) -> None:
        """Go on from a content whose tensors were filled from a checkpoint."""
        set_optimizer_state_dict(self.learner, self.optimizer, content["optimizer"])
        self.step = content["step"]
        self.log.restore(json.loads(content["log"]))

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights, whole; every process must call it where they are shared out."""
        return {name: v.full_tensor() if isinstance(v, DTensor) else v for name, v in self.average.items()}
