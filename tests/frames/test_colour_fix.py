"""Enhanced frames take the input's colours and keep their own detail."""

import pytest
import torch
from torch.testing import assert_close

from venhancer.frames.colour_fix import Colours, coarse, coarse_size, fix_colours, reference_at

SIZE = (4, 6)


def picture(seed: int, height: int = 128, width: int = 192) -> torch.Tensor:
    """Return slow colours with fine detail on them."""
    generator = torch.Generator().manual_seed(seed)
    slow = torch.rand(1, 3, 3, 4, generator=generator) - 0.5
    fine = 0.1 * torch.randn(3, height, width, generator=generator)
    return torch.nn.functional.interpolate(slow, size=(height, width), mode="bicubic")[0] + fine


@pytest.mark.parametrize("how", ["wavelet", "adain"])
def test_a_frame_with_its_own_colours_is_left_as_it_is(how):
    own = picture(0)
    assert_close(fix_colours(own, coarse(own, SIZE), how), own)


@pytest.mark.parametrize("how", ["wavelet", "adain"])
def test_a_cast_is_taken_off_and_detail_stays(how):
    true = picture(0)
    cast = true + torch.tensor([0.2, -0.1, 0.05])[:, None, None]
    assert_close(fix_colours(cast, coarse(true, SIZE), how), true, atol=1e-5, rtol=0)


def test_adain_brings_back_contrast_and_wavelet_what_differs_from_place_to_place():
    true = picture(0)
    reference = coarse(true, SIZE)
    assert_close(fix_colours(0.5 * true + 0.1, reference, "adain"), true, atol=1e-5, rtol=0)
    uneven = true + torch.linspace(-0.3, 0.3, true.shape[2])
    fixed = {how: coarse(fix_colours(uneven, reference, how), SIZE) for how in ("wavelet", "adain")}
    assert (fixed["wavelet"] - reference).abs().mean() < 0.02
    assert (fixed["adain"] - reference).abs().mean() > 0.1


def test_none_and_flat_pictures_stay_as_they_are():
    own = picture(1)
    assert fix_colours(own, coarse(picture(2), SIZE), "none") is own
    flat = torch.zeros(3, 128, 192)
    assert torch.isfinite(fix_colours(flat, coarse(flat, SIZE), "adain")).all()


def test_detail_of_the_result_is_not_touched():
    """What wavelet adds is smooth: fine patterns of the difference are a hundredth of it."""
    own, other = picture(3), picture(4)
    added = fix_colours(own, coarse(other, SIZE), "wavelet") - own
    assert added.diff(dim=2).abs().mean() < 0.02 * added.abs().mean()


def test_frames_between_take_what_lies_between_and_the_ends_are_held():
    references = {4: torch.zeros(3, 1, 1), 8: torch.ones(3, 1, 1)}
    at = [float(reference_at(index, references)[0, 0, 0]) for index in (0, 4, 5, 6, 8, 11)]
    assert at == [0, 0, 0.25, 0.5, 1, 1]
    assert reference_at(3, {}) is None


def test_colours_handed_on_are_those_that_the_next_segment_needs():
    """A segment that begins between two key frames needs the one before it."""
    frames = {index: torch.full((3, 16, 16), float(index)) for index in (0, 3, 6, 9)}
    first = Colours("wavelet", (2, 2), {})
    assert list(first.note(list(frames), frames.values())) == list(frames.values())
    carried = first.carry(7)
    assert carried["colours_of"].tolist() == [6, 9]
    second = Colours("wavelet", (2, 2), carried)
    for index in (7, 8, 9):
        assert torch.equal(second.fix(index, picture(5)), first.fix(index, picture(5)))
    assert Colours("none", (2, 2), {}).carry(3) == {}


def test_coarse_pictures_are_small_and_no_finer_than_the_input():
    assert coarse_size(1080, 1920, 270, 480) == (33, 60)
    assert coarse_size(1440, 2560, 90, 160) == (11, 20)
    assert coarse_size(16, 16, 16, 16) == (1, 1)
