"""Space-time augmentation."""

import pytest
import torch
from torch.testing import assert_close

from venhancer.training.data import augment
from venhancer.training.settings import AugmentSettings

PLAIN = AugmentSettings(prompt_dropout=0)


def clip(frames: int = 7, height: int = 32, width: int = 48) -> torch.Tensor:
    coarse = torch.rand(frames, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_example_is_a_function_of_its_generator():
    settings = AugmentSettings(degraded_share=0.5, unstable_share=0.5, low_quality_share=0.5)
    first, again, other = (augment.make_example(clip(), "a dog", 3, settings, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first[:-2], again[:-2], strict=True))
    assert not torch.equal(first.key_frames, other.key_frames)


def test_key_frames_are_every_mth_frame():
    example = augment.make_example(clip(), "", 3, PLAIN, generator())
    assert example.key_frame_mask.tolist() == [True, False, False, True, False, False, True]
    assert example.key_frames.shape == (3, 3, 32, 48)
    assert_close(example.target, clip().movedim(0, 1) * 2 - 1)


def test_without_downscaling_key_frames_are_the_frames():
    settings = AugmentSettings(downscale_range=(1, 1), downscale_focus_share=0)
    example = augment.make_example(clip(), "", 1, settings, generator())
    assert_close(example.key_frames, example.target, atol=1 / 127, rtol=0)
    assert example.downscale_factor == 1


@pytest.mark.parametrize("kernel", ["area", "bicubic", "bilinear"])
@pytest.mark.parametrize("factor", [1.5, 2.0, 3.3, 8.0])
def test_downscaling_keeps_the_mean(factor, kernel):
    small = augment.downscale(clip(), factor, kernel)
    assert small.shape[-2:] == (round(32 / factor), round(48 / factor))
    assert abs(float(small.mean() - clip().mean())) < 0.02


def test_drawn_values_stay_in_their_ranges():
    settings = AugmentSettings(downscale_range=(2, 6), downscale_focus_share=0.5)
    drawn = generator()
    factors = [augment.draw_downscale_factor(settings, drawn) for _ in range(400)]
    assert min(factors) >= 2
    assert set(factors) & {8.0}
    assert 40 < factors.count(4.0) < 100
    assert 90 < factors.count(8.0) < 180  # twice as often as 4, as in the paper
    assert {augment.draw_temporal_factor(settings, drawn) for _ in range(400)} == set(range(1, 9))


@pytest.mark.parametrize(("law", "median"), [("uniform", 4.5), ("log", 8**0.5)])
def test_law_of_what_is_drawn(law, median):
    drawn = generator()
    below = [augment.draw_between(1, 8, law, drawn) < median for _ in range(600)]
    assert 250 < sum(below) < 350


def test_noise_augmentation_reaches_both_ends_of_its_range():
    settings = AugmentSettings(noise_augmentation_range=(5, 7), clean_key_frames=0.2)
    drawn = generator()
    assert {augment.draw_noise_augmentation(settings, drawn) for _ in range(200)} == {0, 5, 6, 7}


def test_damage_that_follows_the_noise_spares_clean_clips():
    settings = AugmentSettings(
        damage_follows_noise=True,
        degraded_share=1,
        unstable_share=1,
        clean_key_frames=1,
        downscale_range=(1, 1),
        downscale_focus_share=0,
    )
    example = augment.make_example(clip(), "", 1, settings, generator())
    assert_close(example.key_frames, example.target, atol=1 / 127, rtol=0)


def test_share_of_clean_key_frames():
    all_clean = AugmentSettings(clean_key_frames=1)
    assert augment.make_example(clip(), "", 2, all_clean, generator()).noise_augmentation == 0
    levels = [int(augment.make_example(clip(), "", 7, PLAIN, generator(seed)).noise_augmentation) for seed in range(30)]
    assert min(levels) >= 1
    assert max(levels) <= 300


def test_low_quality_targets_say_so():
    worst = AugmentSettings(low_quality_share=1, prompt_dropout=0)
    example = augment.make_example(clip(), "a dog", 2, worst, generator())
    assert example.caption == "a dog, blurry, low quality, jpeg artifacts"
    assert (example.target - (clip().movedim(0, 1) * 2 - 1)).abs().mean() > 0.02
    best = AugmentSettings(high_quality_suffix="sharp", prompt_dropout=0)
    assert augment.make_example(clip(), "", 2, best, generator()).caption == "sharp"


def test_prompts_are_dropped_at_their_share():
    dropped = [augment.make_example(clip(), "dog", 7, AugmentSettings(), generator(seed)).caption for seed in range(60)]
    assert 1 <= dropped.count("") <= 20
