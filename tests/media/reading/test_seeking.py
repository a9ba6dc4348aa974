"""Frames out of the middle of a file, by number."""

import io
from fractions import Fraction

import numpy as np
import pytest

from media.clips import make_clip, number_of, picture
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.reading.seeking import FrameAccess, read_numbered

B_FRAMES = {"bf": "3", "g": "12"}


def access_of(path) -> FrameAccess:
    info = probe(path)
    return FrameAccess(
        begin=info.start,
        rate=info.rate,
        color_matrix=info.color_matrix,
        full_range=info.full_range,
        orientation=info.orientation,
        border=info.border,
        chroma_location=info.chroma_location,
    )


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mjpeg"),
        ("a.ts", "libx264"),
    ],
)
@pytest.mark.parametrize("rate", [24, Fraction(30000, 1001)])
def test_the_frames_of_these_numbers_come(tmp_path, name, codec, rate):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    options = B_FRAMES if codec == "libx264" else None
    path = make_clip(tmp_path / name, frames=60, rate=rate, codec=codec, pixel_format=pixels, options=options)
    for numbers in ([0], [59], [31, 32, 33], [5, 20, 47]):
        assert [number_of(frame) for frame in read_numbered(path, access_of(path), numbers)] == numbers


def test_pixels_are_those_the_reader_gives(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=30, matrix=1, options=B_FRAMES)
    expected = list(read_frames(probe(path), 17, 20))
    found = list(read_numbered(path, access_of(path), [17, 18, 19]))
    assert all(np.array_equal(*pair) for pair in zip(expected, found, strict=True))


def test_frames_come_from_bytes_as_from_a_file(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=30)
    from_bytes = read_numbered(path, access_of(path), [20, 22], content=io.BytesIO(path.read_bytes()))
    assert [number_of(frame) for frame in from_bytes] == [20, 22]


def test_only_the_frames_before_are_decoded(tmp_path):
    """A damaged beginning does not matter to what comes after the next key frame."""
    path = make_clip(tmp_path / "a.mkv", frames=60, options={"g": "6", "bf": "0"})
    access = access_of(path)
    content = bytearray(path.read_bytes())
    content[1500:2500] = bytes(1000)
    path.write_bytes(content)
    assert [number_of(frame) for frame in read_numbered(path, access, [50, 51])] == [50, 51]


def test_pictures_are_reduced_to_a_size(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=3)
    small = next(read_numbered(path, access_of(path), [1], size=(24, 32)))
    expected = picture(1).reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert small.shape == (24, 32, 3)
    assert np.abs(small - expected)[8:].mean() < 6


def test_pictures_are_upright(tmp_path):
    """A player shows rotated footage turned; so does training."""
    path = make_clip(tmp_path / "a.mp4", frames=3, rotation=90)
    plain = make_clip(tmp_path / "b.mp4", frames=3)
    turned = next(read_numbered(path, access_of(path), [1]))
    assert np.array_equal(turned, np.rot90(next(read_numbered(plain, access_of(plain), [1])), 1))
    assert next(read_numbered(path, access_of(path), [1], size=(32, 24))).shape == (32, 24, 3)


def test_a_frame_beyond_the_end_is_refused(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=12)
    with pytest.raises(InputError, match="ends before frame 12; it changed or is damaged: index it again"):
        list(read_numbered(path, access_of(path), [10, 12]))


def test_a_missing_frame_is_refused(tmp_path):
    path = make_clip(tmp_path / "a.mkv", frames=11, times=[n for n in range(12) if n != 7])
    access = FrameAccess(begin=Fraction(0), rate=Fraction(24), color_matrix="bt601", full_range=False)
    assert [number_of(frame) for frame in read_numbered(path, access, [6, 8])] == [6, 7]
    with pytest.raises(InputError, match="frame 7 is missing"):
        list(read_numbered(path, access, [6, 7]))
