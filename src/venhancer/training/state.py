"""What a training run carries from step to step, and how it is kept on disk.

A checkpoint is a folder that appears whole (written beside, then renamed). Everything random is a function of the seed
and the step, so weights, their average, the optimiser's moments and the step number are the whole state.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from venhancer.errors import JobFailed

_PREFIX = "step_"


@dataclass(slots=True)
class TrainState:
    """Networks in training, their averaged weights, and the optimiser.

    Args:
        networks: by component name; only parameters that require gradients are trained.
        optimizer: over those parameters.
        average: their exponential moving average, by component and parameter name.
        step: optimiser steps done.
    """

    networks: dict[str, nn.Module]
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int

    @classmethod
    def begin(cls, networks: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> "TrainState":
        """Return the state before the first step."""
        average = {name: parameter.detach().clone() for name, parameter in _trained(networks)}
        return cls(networks, optimizer, average, 0)

    def update_average(self, decay: float) -> None:
        """Move the averaged weights towards the current ones; young averages move faster."""
        weight = 1 - min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in _trained(self.networks):
                self.average[name].lerp_(parameter, weight)

    def load_average(self) -> None:
        """Put the averaged weights into the networks."""
        with torch.no_grad():
            for name, parameter in _trained(self.networks):
                parameter.copy_(self.average[name])

    def save(self, folder: Path, keep: int) -> Path:
        """Write a checkpoint and return its folder; older ones beyond `keep` are removed."""
        target = folder / f"{_PREFIX}{self.step:08d}"
        partial = folder / f".{target.name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        state = {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "step": self.step,
        }
        with (partial / "state.pt").open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
        return target

    def resume(self, folder: Path) -> bool:
        """Load the newest checkpoint, if there is one; tell whether there was.

        Raises:
            JobFailed: the newest checkpoint does not fit these networks.
        """
        found = checkpoints(folder)
        if not found:
            return False
        state = torch.load(found[-1] / "state.pt", map_location="cpu", weights_only=True)
        try:
            for name, network in self.networks.items():
                network.load_state_dict(state["networks"][name])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise JobFailed(
                f"{found[-1]} was made with other settings; remove it to start anew, or restore them"
            ) from error
        self.average = {name: value.to(self.average[name].device) for name, value in state["average"].items()}
        self.step = state["step"]
        return True


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints of a run, oldest first."""
    return sorted(folder.glob(f"{_PREFIX}*"))


def _trained(networks: dict[str, nn.Module]) -> list[tuple[str, nn.Parameter]]:
    return [
        (f"{name}.{key}", parameter)
        for name, network in networks.items()
        for key, parameter in network.named_parameters()
        if parameter.requires_grad
    ]
