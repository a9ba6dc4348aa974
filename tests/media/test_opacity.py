"""Transparency wherever it begins: seen in every frame, refused or laid over a colour, never dropped."""

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from media.clips import picture
from venhancer.errors import InputError
from venhancer.media.colour import is_clear, may_show_through, shows_through
from venhancer.media.reading.isolation import inspect, search_clip
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader
from venhancer.media.reading.shots import look_through
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing
from venhancer.model_files.traits import load_traits
from venhancer.plan import make_plan
from venhancer.reports.plan_rows import describe_plan
from venhancer.settings import EnhanceSettings

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
    refusal = (
        f"{name} is transparent at {moment} s; transparency cannot be kept; pass --background black or another colour"
    )
    with FrameReader(asked) as reader:
        frames = reader.read(range(10))
        for _ in range(begins):
            next(frames)
        with pytest.raises(InputError, match=refusal):
            next(frames)
    with pytest.raises(InputError, match=refusal):
        look_through(asked)
    assert look_through(asked, range(LATE)).cuts == ()
    with FrameReader(replace(clip, background=(0, 255, 0))) as reader:
        shown = [frame[40, 8] / np.iinfo(frame.dtype).max for frame in reader.read(range(10))]
    green = [number for number, colour in enumerate(shown) if np.abs(colour - (0, 1, 0)).max() < 0.06]
    assert green == list(range(begins, 10))


@pytest.mark.parametrize("name", KINDS)
def test_opaque_pictures_of_a_kind_that_could_be_transparent_pass(tmp_path, name):
    clip = probe(make(tmp_path / name, late=None))
    asked = replace(clip, must_be_opaque=True)
    assert not clip.has_alpha
    assert look_through(asked).cuts == ()
    with FrameReader(asked) as reader:
        assert sum(1 for _ in reader.read(range(10))) == 10


def test_transparency_from_the_first_frame_on_is_known_at_once(tmp_path):
    for name in KINDS:
        assert probe(make(tmp_path / name, late=0, frames=2)).has_alpha, name


def test_process_that_looks_first_refuses_too(tmp_path):
    clip = replace(inspect(make(tmp_path / "a.mov", late=LATE)), must_be_opaque=True)
    with pytest.raises(InputError, match=r"transparent at 0\.875 s"):
        search_clip(clip)
    assert search_clip(clip, range(LATE)).cuts == ()


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


def make_clear(path: Path, codec: str, pixel_format: str, opaque_from: int | None = None) -> Path:
    """Write a clip of coloured pictures whose opacity is 0, at least at first."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for number in range(4):
            opacity = np.full((48, 64, 1), 0 if opaque_from is None or number < opaque_from else 255, np.uint8)
            pixels = np.concatenate([picture(number), opacity], axis=-1)
            frame = VideoFrame.from_ndarray(pixels, "rgba").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 8)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.avi", "rawvideo", "bgra"),
        ("raw.mov", "rawvideo", "argb"),
        ("a.mov", "qtrle", "argb"),
        ("huffyuv.avi", "huffyuv", "bgra"),
        ("ut.avi", "utvideo", "gbrap"),
        ("magic.avi", "magicyuv", "gbrap"),
        ("a.mkv", "ffv1", "bgra"),
    ],
)
def test_byte_that_is_never_set_is_no_opacity(tmp_path, name, codec, pixel_format):
    clip = probe(make_clear(tmp_path / name, codec, pixel_format))
    assert (clip.has_alpha, clip.opacity_is_unused) == (False, True)
    for background in (None, "#00ff00"):
        plan = make_plan(clip, EnhanceSettings(model="nano", scale=1, background=background), load_traits("nano"))
        assert "opacity" in dict(describe_plan(plan))
        with FrameReader(plan.clip) as reader:
            for number, frame in enumerate(reader.read(range(4))):
                assert np.array_equal(frame, picture(number))


@pytest.mark.parametrize(("name", "codec", "pixel_format"), [("a.mov", "qtrle", "argb"), ("a.mkv", "ffv1", "bgra")])
def test_clip_that_begins_clear_and_shows_something_later_is_transparent(tmp_path, name, codec, pixel_format):
    clip = probe(make_clear(tmp_path / name, codec, pixel_format, opaque_from=3))
    assert (clip.has_alpha, clip.opacity_is_unused) == (True, False)


def test_formats_made_for_opacity_may_be_clear_throughout(tmp_path):
    clip = probe(make_clear(tmp_path / "a.mov", "png", "rgba"))
    assert (clip.has_alpha, clip.opacity_is_unused) == (True, False)


def test_picture_of_which_a_pixel_is_seen_is_not_clear():
    seen = np.zeros((17, 33, 4), np.uint8)
    assert is_clear(VideoFrame.from_ndarray(seen, "rgba"))
    assert not is_clear(VideoFrame.from_ndarray(seen[..., :3].copy(), "rgb24"))
    seen[16, 32, 3] = 1
    assert not is_clear(VideoFrame.from_ndarray(seen, "rgba"))


@pytest.mark.parametrize("opacity", [0, 128])
def test_byte_that_is_never_set_is_no_opacity_in_a_bmp(tmp_path, opacity):
    """A header of 124 bytes tells where opacity would be; Pillow writes none, so it is written here."""
    path = tmp_path / "a.bmp"
    pixels = np.concatenate([picture(1)[..., ::-1], np.full((48, 64, 1), opacity, np.uint8)], axis=-1)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 124, 64, -48, 1, 32, 3, pixels.size, 0, 0, 0, 0) + masks + b"sRGB"[::-1]
    header += bytes(124 - len(header))
    path.write_bytes(struct.pack("<2sIII", b"BM", 138 + pixels.size, 0, 138) + header + pixels.tobytes())
    clip = probe(path)
    assert clip.has_alpha == bool(opacity)
    with FrameReader(clip) as reader:
        assert np.array_equal(next(reader.read([0])), picture(1))
