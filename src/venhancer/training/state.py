"""What a training run carries from step to step.

Everything random is a function of the seed and the step, so the weights that learn, their average, the optimiser's
moments and the step number are all that later weights depend on; frozen weights come from where the run began. What the
log remembers is kept beside them.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TensorWithFlatten, is_traceable_wrapper_subclass

from venhancer.training.learner import Learner
from venhancer.training.log.log import RunLog


@dataclass(slots=True)
class TrainState:
    """Networks in training, their averaged weights, and the optimiser.

    Args:
        learner: the networks, not wrapped; their weights may be shared out over processes.
        optimizer: over the parameters that learn.
        average: their exponential moving average, by name.
        log: state of the run's log; later lines depend on earlier steps.
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
            "optimizer": _flattened(get_optimizer_state_dict(self.learner, self.optimizer)),
            "step": self.step,
            "log": json.dumps(self.log.state()),
        }

    def adopt(self, content: Mapping[str, Any]) -> None:
        """Go on from a content whose tensors were filled from a checkpoint."""
        like = get_optimizer_state_dict(self.learner, self.optimizer)
        restored = cast("dict[str, Any]", _restored(content["optimizer"], like))
        set_optimizer_state_dict(self.learner, self.optimizer, restored)
        self.step = content["step"]
        self.log.restore(json.loads(content["log"]))

    def averaged_weights(self) -> dict[str, Tensor]:
        """Return the averaged weights, whole; every process must call it where they are shared out."""
        return {name: v.full_tensor() if isinstance(v, DTensor) else v for name, v in self.average.items()}


def _flattened(content: object) -> object:
    """Return nested dictionaries with every quantised tensor as the plain tensors it consists of, the same memory."""
    if isinstance(content, Mapping):
        return {name: _flattened(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_flattened(value) for value in content]
    if _is_quantised(content):
        return {name: getattr(content, name) for name in content.__tensor_flatten__()[0]}
    return content


def _restored(content: Any, like: object) -> object:  # noqa: ANN401
    """Return what `_flattened` was made from, each quantised tensor of the kind that it is in `like`."""
    if isinstance(like, Mapping):
        return {name: _restored(value, like[name]) for name, value in content.items()}
    if isinstance(like, list):
        return [_restored(*pair) for pair in zip(content, like, strict=True)]
    if _is_quantised(like):
        return type(like).__tensor_unflatten__(content, like.__tensor_flatten__()[1], like.shape, like.stride())
    return content


def _is_quantised(content: object) -> TypeGuard[TensorWithFlatten]:
    return is_traceable_wrapper_subclass(content) and not isinstance(content, DTensor)
