"""What of a picture is shown: what players hide is not enlarged, whoever says that it is hidden."""

import struct
from dataclasses import replace

import numpy as np
import pytest

from media.boxes import with_aperture
from media.clips import make_clip, remuxed
from venhancer.errors import InputError
from venhancer.media.orientation import NO_BORDER, Border
from venhancer.media.reading.isolation import inspect
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames
from venhancer.media.reading.shots import look_through
from venhancer.model_files.traits import load_traits
from venhancer.plan import make_plan
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import EnhanceSettings

WIDTH, HEIGHT, FRAMES = 64, 48, 4
EXACT = {"pixel_format": "yuv444p", "options": {"qp": "0"}}


def framed(border: Border) -> list[np.ndarray]:
    """Return pictures that are grey where they are shown and green around it."""
    shown = []
    for number in range(FRAMES):
        picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        picture[..., 1] = 255
        picture[border.above : HEIGHT - border.below, border.left : WIDTH - border.right] = 60 + 20 * number
        shown.append(picture)
    return shown


def is_grey(frame: np.ndarray, level: int) -> bool:
    return np.abs(frame.astype(int) - level).max() <= 2


@pytest.mark.parametrize("border", [Border(8, 8, 8, 8), Border(0, 6, 10, 0), Border(3, 5, 7, 1)])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_the_container_hides_is_cut_off(tmp_path, border, suffix):
    """Odd sides too: they are cut off whole pixels, after chroma was spread over them."""
    hidden = with_aperture(make_clip(tmp_path / "a.mp4", pictures=framed(border), **EXACT), border)
    clip = inspect(
        remuxed(hidden, tmp_path / f"b{suffix}") if suffix == ".mkv" else hidden.rename(tmp_path / f"b{suffix}")
    )
    size = (WIDTH - border.left - border.right, HEIGHT - border.above - border.below)
    assert (clip.border, clip.width, clip.height, clip.sample_aspect_ratio) == (border, *size, 1)
    with FrameReader(clip) as reader:
        for number, frame in enumerate(reader.read(range(FRAMES))):
            assert frame.shape == (size[1], size[0], 3)
            assert is_grey(frame, 60 + 20 * number)
    assert look_through(clip).cuts == ()
    rows = dict(describe_plan(make_plan(clip, EnhanceSettings(model="nano", scale=1), load_traits("nano"))))
    assert rows["cropped"].endswith(", ".join(f"{value} {side}" for side, value in border._asdict().items() if value))


def test_track_as_large_as_its_aperture_has_square_pixels(tmp_path):
    """As Apple's programs write it."""
    border = Border(8, 8, 8, 8)
    path = with_aperture(make_clip(tmp_path / "a.mov", pictures=framed(border)), border, track=(48, 32))
    assert probe(path).sample_aspect_ratio == 1


def test_what_is_hidden_is_cut_off_before_pictures_are_turned(tmp_path):
    border = Border(0, 6, 10, 0)
    path = with_aperture(make_clip(tmp_path / "a.mov", pictures=framed(border), rotation=90, **EXACT), border)
    clip = probe(path)
    assert (clip.width, clip.height) == (42, 54)
    assert all(is_grey(frame, 60 + 20 * number) for number, frame in enumerate(read_frames(clip)))


@pytest.mark.parametrize("crop", ["6,2,10,4", "34,0,0,0", "7,1,0,3"])
def test_what_the_codec_hides_is_cut_off_to_the_pixel(tmp_path, crop):
    """Decoders leave more on the left than they should where that keeps memory aligned, unless they are told not to."""
    left, above, right, below = map(int, crop.split(","))
    border = Border(above, below, left, right)
    options = {"qp": "0", "x264-params": f"crop-rect={crop}"}
    made = make_clip(tmp_path / "a.mkv", pixel_format="yuv444p", pictures=framed(border), options=options)
    clip = probe(made)
    assert (clip.width, clip.height) == (WIDTH - left - right, HEIGHT - above - below)
    assert clip.border == NO_BORDER
    assert all(is_grey(frame, 60 + 20 * number) for number, frame in enumerate(read_frames(clip)))


def test_pictures_of_which_nothing_is_shown_are_refused(tmp_path):
    """The movie says that pictures are larger than they are."""
    path = make_clip(tmp_path / "a.mp4", pictures=framed(NO_BORDER))
    data = bytearray(path.read_bytes())
    size = data.find(b"avc1", data.find(b"stsd")) + 28
    data[size : size + 4] = struct.pack(">2H", 4 * WIDTH, HEIGHT)
    path.write_bytes(data)
    with_aperture(path, Border(0, 0, 2 * WIDTH, WIDTH), stored=(4 * WIDTH, HEIGHT))
    with pytest.raises(InputError, match=r"a\.mp4 crops away its whole 64x48 picture; remove the cropping"):
        probe(path)


def test_stored_size_is_still_checked(tmp_path):
    border = Border(8, 8, 8, 8)
    clip = probe(with_aperture(make_clip(tmp_path / "a.mp4", pictures=framed(border)), border))
    with pytest.raises(InputError, match="changes size"), FrameReader(replace(clip, border=NO_BORDER)) as reader:
        next(reader.read([0]))
