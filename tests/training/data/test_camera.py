"""Camera moves over still pictures."""

import numpy as np
import pytest
from PIL import Image

from venhancer.training.data.camera import Move, draw_outline, look, move_camera


def a_picture(seed: int = 0, width: int = 200, height: int = 150) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def still(frames: int, centre: tuple[float, float], width: float) -> Move:
    return Move(
        centres=np.tile(np.array(centre, float), (frames, 1)),
        widths=np.full(frames, float(width)),
        angles=np.zeros(frames),
    )


@pytest.mark.parametrize("front", [None, a_picture(1)])
def test_a_move_is_a_function_of_its_generator(front):
    moves = [
        move_camera(a_picture(), np.random.default_rng(seed), size=(64, 36), frames=5, front=front)
        for seed in (3, 3, 4)
    ]
    assert moves[0].shape == (5, 36, 64, 3)
    assert np.array_equal(moves[0], moves[1])
    assert not np.array_equal(moves[0], moves[2])


def test_every_frame_moves_and_none_leaves_the_picture():
    picture = Image.new("RGB", (300, 200), (255, 255, 255))
    for seed in range(12):
        frames = move_camera(picture, np.random.default_rng(seed), size=(64, 36), frames=5)
        assert frames.min() > 250  # outside of the picture it is black
    frames = move_camera(a_picture(), np.random.default_rng(0), size=(64, 36), frames=9).astype(int)
    assert np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).min() > 0.1


def test_a_still_camera_sees_the_picture_reduced():
    picture = a_picture(width=128, height=72)
    seen = np.asarray(look(picture, still(1, (64, 36), 128), 0, (64, 36))).astype(int)
    assert np.abs(seen - np.asarray(picture.reduce(2))).mean() < 3


def test_what_is_nearer_goes_the_same_way_faster():
    move = Move(
        centres=np.array([[10.0, 20], [12, 21], [14, 22]]),
        widths=np.array([40.0, 44, 48.4]),
        angles=np.array([0, 0.1, 0.2]),
    )
    near = move.nearer(2, np.array([5.0, 5]), 0.5)
    assert near.centres == pytest.approx(np.array([[3.0, 4], [5, 5], [7, 6]]))
    assert near.widths[1:] / near.widths[:-1] == pytest.approx([1.21, 1.21])
    assert near.angles.tolist() == [0, 0.1, 0.2]


def test_a_piece_in_front_covers_and_uncovers():
    """White passes over black: both are there, and where it is changes."""
    black, white = Image.new("RGB", (200, 120), (0, 0, 0)), Image.new("RGB", (200, 120), (255, 255, 255))
    covered = []
    for seed in range(12):
        frames = move_camera(black, np.random.default_rng(seed), size=(64, 36), frames=9, front=white)
        is_white = frames[..., 0] > 128
        assert frames.min() == 0
        covered.append((is_white.mean(), (is_white[0] != is_white[-1]).mean()))
    shares, changes = np.array(covered).T
    assert 0.02 < shares.mean() < 0.4
    assert (changes > 0.005).mean() > 0.8


def test_an_outline_is_one_opaque_piece_with_a_soft_edge():
    for seed in range(8):
        outline = draw_outline(np.random.default_rng(seed), (160, 90))
        assert outline[45, 80] == 255
        assert outline[0].max() == outline[:, 0].max() == 0
        assert 0.04 < (outline > 128).mean() < 0.4
        assert ((outline > 0) & (outline < 255)).mean() > 0.005
