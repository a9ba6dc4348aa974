"""Muon's updates."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from venhancer.training.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 144), (144, 16)])
def test_singular_values_come_near_to_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.3
    assert values.max() < 1.3


@pytest.mark.parametrize("shape", [(8, 40), (40, 8)])
def test_products_alone_give_what_the_published_iteration_gives(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    x = matrix.double() / matrix.double().norm()
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    assert_close(orthogonalised(matrix), x.float(), atol=1e-3, rtol=0)


def test_hidden_matrices_move_by_an_orthogonal_step_and_others_by_adam():
    torch.manual_seed(0)
    hidden, other = nn.Parameter(torch.zeros(4, 9)), nn.Parameter(torch.zeros(5))
    optimizer = Muon([hidden], [other], lr=0.1, weight_decay=0.0, eps=1e-15)
    hidden.grad, other.grad = torch.randn(4, 9) * 1e-6, torch.tensor([1e-6, -1.0, 2.0, -3.0, 1e3])
    optimizer.step()
    assert torch.linalg.svdvals(hidden.data).min() > 0.3 * 0.1 * 0.2 * 3
    assert_close(other.data, -0.04 * other.grad.sign(), atol=1e-6, rtol=0)
