"""What the networks are told of the input."""

import pytest
import torch
from torch.testing import assert_close

from moving import drifting
from venhancer.conditioning import (
    LatentSpace,
    augment_noise,
    encode_clip,
    make_conditions,
    spread_key_frames,
)
from venhancer.diffusion.schedule import Schedule

SCHEDULE = Schedule()


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_no_noise_augmentation_leaves_key_frames_clean():
    """The published program turns 0 into pure noise."""
    latents = random(2, 4, 3, 2, 2)
    noisy, told = augment_noise(latents, random(2, 4, 3, 2, 2, seed=1), torch.tensor([0, 1]), SCHEDULE)
    assert torch.equal(noisy[0], latents[0])
    assert not torch.equal(noisy[1], latents[1])
    assert told.tolist() == [0, 0]


@pytest.mark.parametrize("level", [1, 100, 300])
def test_noise_augmentation_is_the_noise_of_the_timestep_before(level):
    latents, noise = random(1, 4, 2, 2, 2), random(1, 4, 2, 2, 2, seed=1)
    noisy, told = augment_noise(latents, noise, torch.tensor([level]), SCHEDULE)
    assert told.item() == level - 1
    assert_close(noisy, SCHEDULE.alpha_t[level - 1] * latents + SCHEDULE.sigma_t[level - 1] * noise)


def test_frames_between_start_as_the_key_frame_before():
    keys = torch.tensor([1.0, 4.0])[None, None, :, None, None]
    mask = torch.tensor([[False, True, False, False, True, False]])
    assert spread_key_frames(keys, mask, "repeat").flatten().tolist() == [1, 1, 1, 1, 4, 4]


def test_frames_between_start_as_a_blend_of_both_neighbours():
    keys = torch.tensor([1.0, 4.0])[None, None, :, None, None]
    mask = torch.tensor([[False, True, False, False, True, False]])
    assert_close(spread_key_frames(keys, mask, "blend").flatten(), torch.tensor([1.0, 1, 2, 3, 4, 4]))


def test_masks_of_a_batch_differ():
    keys = torch.tensor([[1.0, 3.0], [5.0, 9.0]])[:, None, :, None, None]
    mask = torch.tensor([[True, False, True], [True, True, False]])
    assert_close(spread_key_frames(keys, mask, "blend").flatten(1), torch.tensor([[1.0, 2.0, 3.0], [5.0, 9.0, 9.0]]))


def conditions(level: int = 0, between="repeat"):
    keys = random(1, 4, 3, 2, 2)
    mask = torch.tensor([[True, False, True, False, False, True]])
    return make_conditions(
        keys,
        mask,
        spread_key_frames(keys, mask, between),
        noise=random(1, 4, 3, 2, 2, seed=1),
        noise_augmentation=torch.tensor([level]),
        downscale_factor=torch.tensor([4.0]),
        schedule=SCHEDULE,
    )


def patches(frames: torch.Tensor) -> torch.Tensor:
    """Encode without loss: the pixels of each 4 x 4 patch become channels."""
    pictures = frames[0].movedim(1, 0)
    return torch.nn.functional.pixel_unshuffle(pictures, 4).movedim(0, 1)[None]


def test_frames_that_the_flow_moves_start_nearest_to_the_truth():
    moving = drifting(7, speed=1.0)
    mask = torch.tensor([True, False, False, True, False, False, True])
    truth = patches(moving.movedim(0, 1)[None])
    errors = {}
    for between in ("repeat", "blend", "flow"):
        latents, starts = encode_clip(iter(moving[mask]), mask, between, patches)
        assert_close(latents, truth[:, :, mask])
        assert_close(starts[:, :, mask], latents)
        errors[between] = float((starts - truth).abs().mean())
    assert errors["flow"] < 0.3 * errors["blend"] < 0.3 * errors["repeat"]


def test_frames_outside_all_key_frames_hold_the_nearest():
    mask = torch.tensor([False, True, False, True, False])
    _, starts = encode_clip(iter(drifting(2)), mask, "flow", patches)
    assert torch.equal(starts[:, :, 0], starts[:, :, 1])
    assert torch.equal(starts[:, :, 4], starts[:, :, 3])


def test_a_window_takes_its_own_key_frames():
    whole = conditions()
    window = whole.frames(range(1, 5))
    assert window.key_frames.mask.tolist() == [[False, True, False, False]]
    assert_close(window.key_frames.latents, whole.key_frames.latents[:, :, 1:2])
    assert_close(window.start_latents, whole.start_latents[:, :, 1:5])


def test_a_window_without_key_frames_is_refused():
    with pytest.raises(ValueError, match="frames 3 to 4 hold no key frame"):
        conditions().frames(range(3, 5))


def test_noise_is_on_the_key_frames_but_not_on_the_start():
    clean, noisy = conditions(0), conditions(200)
    assert_close(clean.start_latents, noisy.start_latents)
    assert (clean.key_frames.latents - noisy.key_frames.latents).abs().min() > 0


def test_latent_space_comes_back():
    told = conditions()
    latents = random(1, 4, 6, 2, 2, seed=5)
    for space in (LatentSpace(None), LatentSpace((0.5, 1.0, 2.0, 4.0))):
        assert_close(space.leave(space.enter(latents, told), told), latents)


def test_start_is_the_origin_of_a_relative_space():
    told = conditions()
    assert not LatentSpace((0.5, 1.0, 2.0, 4.0)).enter(told.start_latents, told).any()
