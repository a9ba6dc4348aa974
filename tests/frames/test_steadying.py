"""Frames that waver less."""

from fractions import Fraction

import pytest
import torch
from torch.testing import assert_close

from venhancer.conditioning import steadiness_of
from venhancer.frames.steadying import steadied
from venhancer.media.clip import describe_frames
from venhancer.model_files.traits import load_traits
from venhancer.plan import make_plan
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import parse_settings
from venhancer.training.data.damage import destabilise
from venhancer.weights import load_pipeline


def still(frames: int = 5, side: int = 64) -> torch.Tensor:
    coarse = torch.rand(1, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)
    return picture.expand(frames, -1, -1, -1).contiguous()


def steady(frames: torch.Tensor, strength: float) -> torch.Tensor:
    return (torch.stack(list(steadied(frames * 2 - 1, strength))) + 1) / 2


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
    assert torch.equal(torch.stack(list(steadied(still(frames, side), 1.0))), still(frames, side))


def test_the_noise_a_user_asks_for_takes_flicker_out_of_a_clip():
    unstable = destabilise(still(), 0.4, torch.Generator().manual_seed(0))
    frames = (unstable * 255).round().byte().movedim(1, -1).numpy()
    nano = load_pipeline("nano", dtype="fp32")
    outputs = [nano(frames, source_fps=8, scale=1, noise_augmentation=level) for level in (0, 100, 300)]
    found = [wavering(torch.from_numpy(output).float()) for output in outputs]
    assert found[0] > 1.15 * found[1] > 1.05 * found[2]


def test_the_plan_says_so():
    clip = describe_frames(5, 64, 64, Fraction(8))

    def row(model: str, level: int) -> str:
        plan = make_plan(clip, parse_settings(model=model, noise_augmentation=level), load_traits(model))
        return dict(describe_plan(plan))["noise augmentation"]

    assert [row("nano", 100), row("nano", 0), row("v2", 100)] == [
        "100 of 300; key frames are averaged along their motion",
        "0 of 300",
        "100 of 300",
    ]


def test_strength_follows_the_noise():
    assert [steadiness_of(level, 1.5) for level in (0, 100, 300)] == [0, 0.5, 1.5]
