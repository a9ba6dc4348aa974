"""Transparency wherever it begins: seen in every frame, refused or laid over a colour, never dropped."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from media.clips import picture
from venhancer.errors import InputError
from venhancer.media.opacity import may_show_through, shows_through
from venhancer.media.reading.isolation import inspect, search_shots
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.media.reading.shot_search import find_shots
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

LATE = 7  # the first frame that is transparent, at 0.875 s
KINDS = {
    "a.webm": ("vp9", "yuva420p"),
    "a.mov": ("prores", "yuva444p10le"),
    "a.mkv": ("ffv1", "bgra"),
    "deep.mkv": ("ffv1", "gbrap16le"),
    "png.mov": ("png", "rgba"),
    "palette.mov": ("png", "pal8"),
    "a.gif": ("gif", "pal8"),
}


def make(path: Path, *, late: int | None, frames: int = 10) -> Path:
    """Write a clip of 8 frames a second, a corner of which is clear from frame `late` on."""
    codec, pixel_format = KINDS[path.name]
    shown = []
    for number in range(frames):
        opacity = np.full((48, 64, 1), 255, np.uint8)
        if late is not None and number >= late:
            opacity[30:, :16] = 0
        shown.append(np.concatenate([picture(number), opacity], axis=-1))
    if codec in ("png", "gif"):
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
            for number, pixels in enumerate(shown):
                frame = in_palette(pixels) if pixel_format == "pal8" else VideoFrame.from_ndarray(pixels, "rgba")
                frame.pts, frame.time_base = number, Fraction(1, 8)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    else:
        writing = Writing(width=64, height=48, rate=Fraction(8), codec=codec, pixel_format=pixel_format)
        write_video(path, shown, writing, None)
    return path


def in_palette(pixels: np.ndarray) -> VideoFrame:
    """Return pixels in 16 greys, and clear ones in a colour that is clear."""
    grey, colours = pixels[..., 0] // 16, np.zeros((256, 4), np.uint8)
    colours[:, 0] = 255
    colours[:16, 1:] = np.arange(16)[:, None] * 17
    colours[16, 0] = 0
    return VideoFrame.from_ndarray((np.where(pixels[..., 3] > 0, grey, 16).astype(np.uint8), colours), "pal8")


@pytest.mark.parametrize("name", KINDS)
def test_transparency_that_begins_late_is_refused(tmp_path, name):
    clip = probe(make(tmp_path / name, late=LATE))
    begins = LATE + (name == "a.gif")  # whose frames are drawn over the one before until one is cleared away
    assert not clip.has_alpha
    asked = replace(clip, must_be_opaque=True)
    moment = "1" if name == "a.gif" else "0.875"
    refusal = f"{name} is transparent at {moment} s, which is not kept; pass --background black, or another colour"
    with FrameReader(asked) as reader:
        frames = reader.read(range(10))
        for _ in range(begins):
            next(frames)
        with pytest.raises(InputError, match=refusal):
            next(frames)
    with pytest.raises(InputError, match=refusal):
        find_shots(asked)
    assert find_shots(asked, range(LATE)) == ()
    with FrameReader(replace(clip, background=(0, 255, 0))) as reader:
        shown = [frame[40, 8] / np.iinfo(frame.dtype).max for frame in reader.read(range(10))]
    green = [number for number, colour in enumerate(shown) if np.abs(colour - (0, 1, 0)).max() < 0.06]
    assert green == list(range(begins, 10))


@pytest.mark.parametrize("name", KINDS)
def test_opaque_pictures_of_a_kind_that_could_be_transparent_pass(tmp_path, name):
    clip = probe(make(tmp_path / name, late=None))
    asked = replace(clip, must_be_opaque=True)
    assert not clip.has_alpha
    assert find_shots(asked) == ()
    with FrameReader(asked) as reader:
        assert sum(1 for _ in reader.read(range(10))) == 10


def test_transparency_from_the_first_frame_on_is_known_at_once(tmp_path):
    for name in KINDS:
        assert probe(make(tmp_path / name, late=0, frames=2)).has_alpha, name


def test_process_that_looks_first_refuses_too(tmp_path):
    clip = replace(inspect(make(tmp_path / "a.mov", late=LATE)), must_be_opaque=True)
    with pytest.raises(InputError, match=r"transparent at 0\.875 s"):
        search_shots(clip)
    assert search_shots(clip, range(LATE)) == ()


@pytest.mark.parametrize(
    "pixel_format",
    ["rgba", "bgra", "argb", "abgr", "rgba64be", "ya8", "ya16le", "gbrap", "gbrap12be", "yuva420p", "yuva444p12le"],
)
def test_one_clear_pixel_is_enough(pixel_format):
    opaque = np.full((17, 33, 4), 255, np.uint8)
    clear = opaque.copy()
    clear[16, 32, 3] = 200
    kept, lost = (VideoFrame.from_ndarray(one, "rgba").reformat(format=pixel_format) for one in (opaque, clear))
    assert not shows_through(kept)
    assert shows_through(lost)
    assert may_show_through(lost.format)


def test_pictures_without_opacity_are_opaque():
    for pixel_format in ("rgb24", "yuv420p", "gray", "bgr0", "gbrp16le"):
        frame = VideoFrame.from_ndarray(picture(0), "rgb24").reformat(format=pixel_format)
        assert not may_show_through(frame.format)
        assert not shows_through(frame)
