"""Targets that waver less."""

import pytest
import torch
from torch.testing import assert_close

from venhancer.training.damage import destabilise
from venhancer.training.steadying import steady


def still(frames: int = 5, side: int = 64) -> torch.Tensor:
    coarse = torch.rand(1, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return picture.expand(frames, -1, -1, -1).contiguous()


def wavering(frames: torch.Tensor) -> float:
    return float((frames[1:-1] - (frames[:-2] + frames[2:]) / 2).abs().mean())


def test_flicker_falls_the_more_the_stronger():
    unstable = destabilise(still(), 0.4, torch.Generator().manual_seed(0))
    found = [wavering(steady(unstable, strength)) for strength in (0.0, 0.5, 1.0)]
    assert found[0] == wavering(unstable)
    assert found[0] > 1.15 * found[1] > 1.15 * found[2]
    assert found[2] < 0.75 * found[0]


def test_what_does_not_flicker_stays():
    assert_close(steady(still(), 1.0), still(), atol=1e-5, rtol=0)
    cut = torch.cat([still(2), 1 - still(2)])
    assert (steady(cut, 1.0) - cut).abs().mean() < 0.02


def test_motion_is_followed():
    wide = still(1, 96)
    moving = torch.cat([wide[:, :, 8 : 8 + 64, 2 * shift : 2 * shift + 64] for shift in range(6)])
    assert (steady(moving, 1.0) - moving).abs().mean() < 0.01


@pytest.mark.parametrize(("frames", "side"), [(1, 64), (3, 16)])
def test_too_little_to_go_by_is_left_alone(frames, side):
    assert torch.equal(steady(still(frames, side), 1.0), still(frames, side))
