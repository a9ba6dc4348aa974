"""Muon: momentum whose matrices are made orthogonal, and AdamW for everything that is no hidden layer's matrix.

Of an ill-conditioned layer, as those of networks that see pictures are, every direction then learns at one pace (Jordan
et al. 2024; the five-step iteration and its coefficients are theirs). Updates have AdamW's typical size (Liu et al.
2025, sec. 2.2), so both kinds of parameters share one learning rate, of which AdamW takes a part.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
MOMENTUM, ADAM_BETAS = 0.95, (0.9, 0.99)
ADAM_SIZE = 0.2  # root mean square of AdamW's usual update, in learning rates
ADAM_SHARE = 0.4  # of the learning rate: its steps are as long in every single direction


class Muon(torch.optim.Optimizer):
    """Muon for some parameters, AdamW for the others.

    Args:
        matrices: of hidden layers; convolutions count as matrices with one row an output channel.
        others: first and last layers, biases, embeddings.
        lr: learning rate of both.
        weight_decay: of both.
        eps: of AdamW.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        eps: float,
    ) -> None:
        groups = [{"params": list(matrices), "orthogonal": True}, {"params": list(others), "orthogonal": False}]
        super().__init__(
            [group for group in groups if group["params"]], {"lr": lr, "weight_decay": weight_decay, "eps": eps}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    update = self._orthogonal if group["orthogonal"] else self._adaptive
                    parameter.add_(update(parameter, self.state[parameter], group["eps"]), alpha=-group["lr"])
        return loss

    def _orthogonal(self, parameter: Tensor, state: dict[str, Any], _: float) -> Tensor:
        assert parameter.grad is not None
        momentum = state.setdefault("momentum", torch.zeros_like(parameter))
        momentum.lerp_(parameter.grad, 1 - MOMENTUM)
        matrix = parameter.grad.lerp(momentum, MOMENTUM).flatten(1)
        return ADAM_SIZE * max(matrix.shape) ** 0.5 * orthogonalised(matrix).view_as(parameter)

    def _adaptive(self, parameter: Tensor, state: dict[str, Any], eps: float) -> Tensor:
        assert parameter.grad is not None
        mean = state.setdefault("mean", torch.zeros_like(parameter))
        square = state.setdefault("square", torch.zeros_like(parameter))
        steps = state.setdefault("steps", torch.zeros((), dtype=torch.float32))
        steps += 1
        mean.lerp_(parameter.grad, 1 - ADAM_BETAS[0])
        square.lerp_(parameter.grad.square(), 1 - ADAM_BETAS[1])
        corrections = [1 - beta ** float(steps) for beta in ADAM_BETAS]
        return ADAM_SHARE * (mean / corrections[0]) / ((square / corrections[1]).sqrt() + eps)


def orthogonalised(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """Return about the nearest matrix whose singular values are all 1.

    The iteration multiplies by polynomials of the matrix' products with itself. Those commute, so it works on them
    alone, which are small where one side is short.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if is_tall else matrix
    x = x / (x.norm() + 1e-30)
    gram = x @ x.mT
    unit = torch.eye(len(gram), dtype=x.dtype, device=x.device)
    factor = unit
    for _ in range(ITERATIONS):
        polynomial = a * unit + b * gram + c * gram @ gram
        factor = polynomial @ factor
        gram = polynomial @ gram @ polynomial
    x = factor @ x
    return x.mT if is_tall else x
