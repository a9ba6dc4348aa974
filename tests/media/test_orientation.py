"""Pictures that are stored turned come out upright."""

from fractions import Fraction

import numpy as np
import pytest

from media.boxes import with_matrix
from media.clips import make_clip, number_of
from venhancer.errors import InputError
from venhancer.media.orientation import Orientation, turn_upright
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The stored frames, as they are without a note."""
    return list(read_frames(probe(make_clip(tmp_path_factory.mktemp("plain") / "a.mp4", frames=3))))


@pytest.mark.parametrize("rotation", [90, 180, 270, -90])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_rotated_clips_are_read_upright(tmp_path, stored, rotation, name):
    clip = probe(make_clip(tmp_path / name, frames=3, rotation=rotation))
    frames = list(read_frames(clip))
    assert all(
        np.array_equal(frame, np.rot90(plain, rotation // 90)) for frame, plain in zip(frames, stored, strict=True)
    )
    assert all(frame.shape == (clip.height, clip.width, 3) for frame in frames)
    assert clip.orientation.rotation == rotation % 360
    assert not clip.orientation.is_mirrored


@pytest.mark.parametrize(
    ("matrix", "expected", "words"),
    [
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1], "mirrored"),
        ((1, 0, 0, -1), lambda picture: picture[::-1], "mirrored and rotated by 180 degrees anticlockwise"),
        ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1), "mirrored and rotated by 90 degrees anticlockwise"),
        (
            (0, -1, -1, 0),
            lambda picture: picture.swapaxes(0, 1)[::-1, ::-1],
            "mirrored and rotated by 270 degrees anticlockwise",
        ),
    ],
)
def test_mirrored_clips_are_read_as_they_are_shown(tmp_path, stored, matrix, expected, words):
    path = with_matrix(make_clip(tmp_path / "a.mp4", frames=3, rotation=90), *matrix)
    clip = probe(path)
    frames = list(read_frames(clip))
    assert all(np.array_equal(frame, expected(plain)) for frame, plain in zip(frames, stored, strict=True))
    assert clip.orientation.describe() == words


def test_words_say_what_is_done():
    """Mirroring first and rotating then gives what the three steps give."""
    picture = np.arange(24).reshape(4, 2, 3)
    for number in range(8):
        orientation = Orientation(*(bool(number >> bit & 1) for bit in range(3)))
        mirrored = picture[:, ::-1] if orientation.is_mirrored else picture
        assert np.array_equal(turn_upright(picture, orientation), np.rot90(mirrored, orientation.rotation // 90))


def test_pixel_shape_turns_too(tmp_path):
    assert probe(
        make_clip(tmp_path / "a.mp4", frames=1, rotation=90, aspect=Fraction(4, 3))
    ).sample_aspect_ratio == Fraction(3, 4)


def test_any_other_angle_is_refused(tmp_path):
    with pytest.raises(InputError, match="rotated by 45 degrees; only quarter turns"):
        probe(make_clip(tmp_path / "a.mp4", frames=1, rotation=45))


def test_upright_clips_are_left_alone(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", frames=2))
    assert clip.orientation == Orientation()
    assert clip.orientation.describe() == ""
    assert [number_of(frame) for frame in read_frames(clip)] == [0, 1]
