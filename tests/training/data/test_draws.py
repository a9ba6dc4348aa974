"""Which pixels are drawn."""

from fractions import Fraction

import pytest
import torch

from venhancer.errors import InputError
from venhancer.training.data.draws import ClipDraws, covering_size, frames_at_rate, skipped_frames
from venhancer.training.data.manifest import ClipEntry
from venhancer.training.settings import DataSettings


def entry(**changes) -> ClipEntry:
    return ClipEntry.model_validate({"path": "a.mp4", "frames": 50, "rate": 60, "width": 96, "height": 54} | changes)


def settings(**changes) -> DataSettings:
    return DataSettings.model_validate({"manifest": "clips"} | changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("rate", "skipping", "expected"),
    [
        (24, "nearest", [0, 1, 2, 3, 4]),
        (Fraction(24000, 1001), "nearest", [0, 1, 2, 3, 4]),
        (48, "nearest", [0, 2, 4, 6, 8]),
        (60, "nearest", [0, 3, 5, 8, 10]),
        (60, "even", [0, 3, 6, 9, 12]),
        (30, "nearest", [0, 1, 3, 4, 5]),
        (30, "even", [0, 1, 2, 3, 4]),
        (Fraction(60000, 1001), "nearest", [0, 2, 5, 7, 10]),
    ],
)
def test_frames_are_skipped_to_the_rate(rate, skipping, expected):
    clip = entry(rate=rate)
    wanted = settings(fps="24", skipping=skipping)
    assert skipped_frames(clip, wanted, 5) == expected
    frames = frames_at_rate(clip, wanted)
    assert skipped_frames(clip, wanted, frames)[-1] < clip.frames <= skipped_frames(clip, wanted, frames + 2)[-1]


def test_without_a_rate_every_frame_is_shown():
    assert skipped_frames(entry(), settings(), 3) == [0, 1, 2]
    assert frames_at_rate(entry(), settings()) == 50


def test_clips_slower_than_the_rate_are_not_used():
    slow, nearly = entry(rate=12), entry(rate=Fraction(24000, 1001))
    assert ClipDraws.fitting([slow, nearly], settings(fps="24"), (54, 96), 5).entries == [nearly]
    with pytest.raises(InputError, match=r"no clip of 24 frames a second; lower data\.fps"):
        ClipDraws.fitting([slow], settings(fps="24"), (54, 96), 5)


def test_draws_stay_inside_the_clip():
    draws = ClipDraws.fitting([entry(start=100), entry(frames=20)], settings(fps="24"), (32, 48), 8)
    drawn = [draws.draw(8, (), generator(seed)) for seed in range(60)]
    for _, draw in filter(None, drawn):
        assert draw.numbers[0] >= 0
        assert draw.numbers[-1] < draw.entry.frames
        assert 0 <= draw.top <= 54 - 32
        assert 0 <= draw.left <= 96 - 48
    assert {pair[0] for pair in drawn if pair} == {0, 1}
    assert len({draw.top for _, draw in filter(None, drawn)}) > 5
    assert {draw.mirrored for _, draw in filter(None, drawn)} == {True, False}


def test_centre_crops_are_in_the_middle():
    draws = ClipDraws.fitting([entry()], settings(crop_from="centre", mirrored_share=0), (32, 48), 8)
    _, draw = draws.draw(8, (), generator())
    assert (draw.top, draw.left, draw.height, draw.width, draw.mirrored) == (11, 24, 32, 48, False)


def test_a_picture_may_be_reduced_until_the_crop_covers_it():
    assert covering_size(entry(width=1920, height=1080), (720, 1280)) == (720, 1280)
    assert covering_size(entry(width=1440, height=1080), (720, 1280)) == (960, 1280)
    assert covering_size(entry(width=1281, height=720), (720, 1280)) == (720, 1281)
    draws = ClipDraws.fitting([entry(width=96, height=64)], settings(resize="cover", crop_from="centre"), (27, 48), 8)
    _, draw = draws.draw(8, (), generator())
    assert (draw.size, draw.top, draw.left) == ((32, 48), 2, 0)


def test_long_clips_are_drawn_more_often_but_not_by_their_length():
    draws = ClipDraws.fitting([entry(frames=9), entry(frames=900)], settings(), (54, 96), 8)
    chosen = [draws.draw(8, (), generator(seed))[0] for seed in range(400)]
    assert 0.85 < sum(chosen) / 400 < 0.97


def test_a_clip_that_is_too_short_or_ruled_out_is_not_drawn():
    draws = ClipDraws.fitting([entry(frames=9), entry(), entry()], settings(), (54, 96), 20)
    assert {draws.draw(20, {1}, generator(seed))[0] for seed in range(20)} == {2}
    assert draws.draw(20, {1, 2}, generator()) is None


def test_every_clip_has_its_turns_in_every_epoch():
    draws = ClipDraws.fitting([entry(frames=9), entry(frames=16), entry(frames=81)], settings(), (54, 96), 8)
    assert list(draws.visits) == [1, 1, 3]
    turns = [draws.turn(7, number) for number in range(5 * 40)]
    epochs = [turns[start : start + 5] for start in range(0, len(turns), 5)]
    assert all(sorted(epoch) == [0, 1, 2, 2, 2] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5
    assert [draws.turn(7, number) for number in reversed(range(200))] == turns[::-1]
    assert [draws.turn(8, number) for number in range(200)] != turns


def test_a_clip_whose_turn_it_is_stands_back_if_it_will_not_do():
    draws = ClipDraws.fitting([entry(frames=9), entry(), entry()], settings(), (54, 96), 20)
    assert {draws.draw(8, (), generator(seed), 0)[0] for seed in range(9)} == {0}
    assert {draws.draw(20, (), generator(seed), 0)[0] for seed in range(30)} == {1, 2}
    assert {draws.draw(8, {0, 1}, generator(seed), 0)[0] for seed in range(9)} == {2}
