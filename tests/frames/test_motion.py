"""Frames between two others, along the flow."""

import cv2
import pytest
import torch
from torch.testing import assert_close

from moving import drifting
from venhancer.frames import motion

INNER = slice(12, -12)


def test_flow_finds_a_known_motion():
    first, second = drifting(2, speed=3.0)
    flows = motion.estimate_flows(first[None], second[None])
    for flow, expected in zip(flows, (3.0, -3.0), strict=True):
        assert abs(float(flow[0, 0, INNER, INNER].median()) - expected) < 0.25
        assert abs(float(flow[0, 1, INNER, INNER].median())) < 0.25


def test_frames_between_are_where_the_motion_puts_them():
    clip = drifting(5, speed=1.0)
    between = list(motion.frames_between(clip[0], clip[4], [0.25, 0.5, 0.75]))
    for made, truth, time in zip(between, clip[1:4], (0.25, 0.5, 0.75), strict=True):
        blend = torch.lerp(clip[0], clip[4], time)
        error, blend_error = ((each - truth)[:, INNER, INNER].abs().mean() for each in (made, blend))
        assert error < 0.15 * blend_error


def test_what_passes_in_front_of_a_still_background():
    """Several guesses at the motion come nearer than a mean of both flows alone."""

    background, thing = torch.nn.functional.interpolate(
        torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1, scale_factor=8, mode="bicubic"
    ).clamp(-1, 1)

    def trust(flow: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        return torch.exp(-(flow + motion.warp(back, flow)).norm(dim=1, keepdim=True)) + 1e-3

    def frame(at: int) -> torch.Tensor:
        picture = background.clone()
        picture[:, 85:181, at : at + 96] = thing[:, :96, :96]
        return picture

    before, truth, after = frame(85), frame(95), frame(105)
    (made,) = motion.frames_between(before, after, [0.5])
    flows = motion.estimate_flows(before[None], after[None])
    halfway = (flows.forward - flows.backward) / 4
    sides = [
        motion.warp(torch.cat([picture[None], trust(*there_and_back)], dim=1), way * halfway)
        for picture, there_and_back, way in ((before, flows, -1), (after, flows[::-1], 1))
    ]
    alone = sum(side[0, :3] * side[0, 3:] for side in sides) / sum(side[0, 3:] for side in sides)
    errors = [float((one - truth).abs().mean()) for one in (made, alone, torch.lerp(before, after, 0.5))]
    assert errors[0] < 0.9 * errors[1]
    assert errors[0] < 0.5 * errors[2]


def test_what_does_not_move_stays():
    still = drifting(1)[0]
    for made in motion.frames_between(still, still, [1 / 3, 2 / 3]):
        assert_close(made, still, atol=1e-5, rtol=0)


def test_unrelated_pictures_are_mixed_and_stay_in_range():
    first, second = drifting(1)[0], drifting(1, speed=0)[0].flip(1).roll(17, dims=2)
    (made,) = motion.frames_between(first, second, [0.5])
    assert made.isfinite().all()
    assert made.abs().max() <= 1


def test_small_pictures_are_blended():
    first, second = torch.zeros(3, 16, 16), torch.ones(3, 16, 16)
    assert [float(made.mean()) for made in motion.frames_between(first, second, [0.25, 0.5])] == [0.25, 0.5]


@pytest.mark.parametrize("threads", [1, 3])
def test_flow_does_not_depend_on_threads_and_leaves_their_number(threads):
    first, second = drifting(2, speed=2.5, side=160)
    cv2.setNumThreads(1)
    expected = motion.estimate_flows(first[None], second[None])
    cv2.setNumThreads(threads)
    flows = motion.estimate_flows(first[None], second[None])
    assert cv2.getNumThreads() == threads
    for flow, other in zip(flows, expected, strict=True):
        assert torch.equal(flow, other)


def test_warp_reads_where_the_flow_points():
    picture = torch.arange(20.0).view(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = 1.0
    assert_close(motion.warp(picture, flow)[0, 0, :, :4], picture[0, 0, :, 1:])
    assert_close(motion.warp(picture, flow)[0, 0, :, 4], picture[0, 0, :, 4])
