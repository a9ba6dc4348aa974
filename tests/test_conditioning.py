"""What the networks are told of the input."""

import pytest
import torch
from torch.testing import assert_close

from venhancer.conditioning import (
    augment_noise,
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
