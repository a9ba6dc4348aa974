"""What a training run carries from step to step.

Everything random is a function of the seed and the step, so the weights that learn, their average, the optimiser's
moments and the step number are the whole state; frozen weights come from where the run began.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.tensor import DTensor

from venhancer.training.learner import Learner


@dataclass(slots=True)
class TrainState:
    """Networks in training, their averaged weights, and the optimiser.

    Args:
        learner: the networks, not wrapped; their weights may be shared out over processes.
        optimizer: over the parameters that learn.
        average: their exponential moving average, by name.
        step: optimiser steps done.
    """

    learner: Learner
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int

    @classmethod
    def begin(cls, learner: Learner, optimizer: torch.optim.Optimizer) -> "TrainState":
        """Return the state before the first step."""
        average = {name: parameter.detach().clone() for name, parameter in learner.trained().items()}
        return cls(learner, optimizer, average, 0)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """Move the averaged weights towards the current ones; young averages move faster."""
        weight = 1 - min(decay, (1 + self.step) / (10 + self.step))
        for name, parameter in self.learner.trained().items():
            self.average[name].lerp_(parameter, weight)

    def content(self) -> dict[str, Any]:
        """Return everything that a checkpoint keeps; its tensors are those in use, not copies."""
        return {
            "weights": {name: parameter.detach() for name, parameter in self.learner.trained().items()},
            "average": self.average,
            "optimizer": get_optimizer_state_dict(self.learner, self.optimizer),
            "step": self.step,
        }

    def adopt(self, content: Mapping[str, Any]) -> None:
        """Go on from a content whose tensors were filled from a checkpoint."""
        set_optimizer_state_dict(self.learner, self.optimizer, content["optimizer"])
        self.step = content["step"]

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights, whole; every process must call it where they are shared out."""
        return {name: v.full_tensor() if isinstance(v, DTensor) else v for name, v in self.average.items()}
