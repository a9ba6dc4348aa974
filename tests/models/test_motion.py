"""A network for the motion between two pictures."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from moving import drifting
from tiny_model import randomised
from venhancer.frames.motion import clearer, frames_between, warp
from venhancer.models import MotionNetwork
from venhancer.models.motion import Motion, MotionByNetwork, enlarged_motion

INNER = slice(24, -24)


def by_network(
    network: MotionNetwork, before: torch.Tensor, after: torch.Tensor, times: list[float]
) -> list[torch.Tensor]:
    """Return frames that the network makes alone."""
    return [pair.blended() for pair in MotionByNetwork(network)(before, after, times)]


@pytest.fixture(scope="module")
def learned() -> MotionNetwork:
    """A network that has seen one texture drift at several speeds."""
    torch.manual_seed(0)
    network = MotionNetwork(channels=(16, 16, 16))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    clips = torch.stack([drifting(5, speed=speed, side=96) for speed in (-2.0, -1.0, 0.0, 1.0, 2.0)])
    before, after = clips[:, 0], clips[:, 4]
    for step in range(90):
        number = 1 + step % 3
        times = torch.full((len(clips),), number / 4)
        motion = network(*(network.features(F.avg_pool2d(one, 4)) for one in (before, after)), times)
        large = enlarged_motion(motion[-1])
        made = torch.lerp(warp(before, large.before), warp(after, large.after), large.share)
        loss = (made - clips[:, number]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def test_a_new_network_blends():
    before, after = drifting(2)
    made = by_network(MotionNetwork(channels=(8, 8)), before, after, [0.25, 0.5])
    for frame, time in zip(made, (0.25, 0.5), strict=True):
        assert_close(frame, torch.lerp(before, after, time), atol=1e-5, rtol=0)


def test_it_learns_where_things_move(learned):
    """Also at a speed and a size that it has not seen."""
    clip = drifting(5, speed=1.5, side=112)
    made = by_network(learned, clip[0], clip[4], [0.25, 0.5, 0.75])
    for frame, truth, time in zip(made, clip[1:4], (0.25, 0.5, 0.75), strict=True):
        blend = torch.lerp(clip[0], clip[4], time)
        error, blend_error = ((one - truth)[:, INNER, INNER].abs().mean() for one in (frame, blend))
        assert error < 0.4 * blend_error


def test_offsets_shrink_towards_either_picture(learned):
    pictures = drifting(5, speed=2.0, side=96)[::4]
    features = [learned.features(F.avg_pool2d(picture[None], 4)) for picture in pictures]
    early, late = (learned(*features, torch.tensor([time]))[-1] for time in (0.05, 0.95))
    assert early.before.abs().mean() < 0.2 * late.before.abs().mean()
    assert late.after.abs().mean() < 0.2 * early.after.abs().mean()
    assert early.share.mean() < 0.2
    assert late.share.mean() > 0.8


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (64, 33)])
def test_any_size(size):
    """Pictures are continued at the right and bottom; what is made of them has their size."""
    network = randomised(MotionNetwork(channels=(8, 8, 8)))
    before, after = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    (frame,) = frames_between(before, after, [0.4], MotionByNetwork(network))
    assert frame.shape == before.shape
    assert frame.isfinite().all()


def test_pictures_too_small_for_motion_are_blended():
    before, after = torch.rand(2, 3, 16, 40)
    (frame,) = frames_between(before, after, [0.5], MotionByNetwork(randomised(MotionNetwork(channels=(8, 8)))))
    assert_close(frame, (before + after) / 2)


def test_what_does_not_move_stays():
    """However wrong the network: the flow is clearer there."""
    picture = drifting(1, side=96)[0]
    network = randomised(MotionNetwork(channels=(8, 8)))
    (alone,) = by_network(network, picture, picture, [0.5])
    assert (alone - picture).abs().mean() > 0.05
    (frame,) = frames_between(picture, picture, [0.5], MotionByNetwork(network))
    assert_close(frame, picture, atol=1e-4, rtol=0)


def test_the_network_is_followed_where_the_flow_is_not_clearer(learned):
    """Ways that agree are not mixed: the network's alone is seen."""
    clip = drifting(5, speed=1.5, side=96)
    (pair,) = MotionByNetwork(learned)(clip[0], clip[4], [0.5])
    assert torch.equal(clearer(pair, pair), pair.blended())
    worse = pair._replace(after=pair.after.flip(-1))
    assert torch.equal(clearer(pair, worse), pair.blended())
    assert_close(clearer(worse, pair), pair.blended())


def test_one_thread_or_two_make_the_same_frames():
    network = randomised(MotionNetwork(channels=(8, 8)))
    before, after = drifting(2)
    threads = torch.get_num_threads()
    made = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            made.append(by_network(network, before, after, [0.3])[0])
    finally:
        torch.set_num_threads(threads)
    assert_close(made[0], made[1], atol=1e-5, rtol=0)


def test_levels_agree_on_what_an_enlarged_motion_is():
    motion = Motion(torch.full((1, 2, 4, 4), 1.5), torch.full((1, 2, 4, 4), -0.5), torch.full((1, 1, 4, 4), 0.3))
    large = enlarged_motion(motion)
    assert_close(large.before, torch.full((1, 2, 16, 16), 6.0))
    assert_close(large.after, torch.full((1, 2, 16, 16), -2.0))
    assert_close(large.share, torch.full((1, 1, 16, 16), 0.3))


def test_frames_in_a_row_are_looked_at_once():
    """And what is made of them is the same."""
    network = randomised(MotionNetwork(channels=(8, 8)))
    clip = list(drifting(3))
    looks = []
    network.encoder[0].register_forward_hook(lambda *_: looks.append(1))
    row = MotionByNetwork(network)
    together = [next(row(clip[number], clip[number + 1], [0.5])).blended() for number in range(2)]
    assert len(looks) == 3
    apart = [by_network(network, clip[number], clip[number + 1], [0.5])[0] for number in range(2)]
    for one, other in zip(together, apart, strict=True):
        assert torch.equal(one, other)
