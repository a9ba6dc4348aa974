"""How much neighbouring pixels differ around."""

import torch
from torch.testing import assert_close

from venhancer.training.objective import TEXTURE_PATCHES, texture

PATCH = 4
SIDE = 2 * TEXTURE_PATCHES * PATCH


def steps(at: int) -> torch.Tensor:
    """Return columns that go up and down by 1 once a patch, before its column `at`."""
    columns = (torch.arange(SIDE) - at).div(PATCH, rounding_mode="floor") % 2
    return columns.float().expand(1, 1, 1, SIDE, SIDE)


def test_differences_at_the_borders_of_patches_are_not_those_inside():
    assert_close(texture(steps(1), PATCH).sum(), texture(steps(2), PATCH).sum())
    assert (texture(steps(0), PATCH) - texture(steps(2), PATCH)).abs().max() == 1


def test_where_in_a_square_and_with_which_sign_things_differ_does_not_matter():
    assert_close(texture(steps(1), PATCH), texture(1 - steps(1), PATCH))
    noise = torch.randn(1, 3, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    assert_close(texture(noise, PATCH), texture(-noise, PATCH))
    assert texture(noise / 2, PATCH).sum() == texture(noise, PATCH).sum() / 2


def test_rows_and_columns_that_fill_no_square_are_left_out():
    noise = torch.randn(1, 3, 2, SIDE + 5, SIDE + 3, generator=torch.Generator().manual_seed(0))
    assert_close(texture(noise, PATCH), texture(noise[..., :SIDE, :SIDE], PATCH))
