"""Chroma lies where it lay: no pass through RGB and a codec moves it, and the output says where it is."""

from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from media.clips import QUIET, timed
from venhancer.media.clip import ClipInfo
from venhancer.media.colour import ChromaLocation, note_chroma_location, to_picture, to_rgb
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.writing.encoders import CODECS, told_chroma_location
from venhancer.media.writing.writer import write_video
from venhancer.media.writing.writing import Writing

WIDTH, HEIGHT = 96, 80
EDGE = 6  # chroma samples beside the border, where filters have nothing to stand on
LOCATIONS = get_args(ChromaLocation)
FINEST = {"h264": {"crf": 1}, "hevc": {"crf": 1}, "av1": {"crf": 4}, "vp9": {"crf": 2}}


def wave(pixel_format: str) -> VideoFrame:
    """Return a picture whose V plane is a wave in both directions, and the others are even."""
    frame = VideoFrame(WIDTH, HEIGHT, pixel_format)
    bits = frame.format.components[0].bits
    kind = np.dtype(np.uint16 if bits > 8 else np.uint8)
    for number, plane in enumerate(frame.planes):
        y, x = np.mgrid[0 : plane.height, 0 : plane.width]
        shown = (np.full(x.shape, 120.0), np.full(x.shape, 128.0), 128 + 35 * np.cos(x / 4) + 35 * np.cos(y / 4))
        rows = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
        rows[:, : plane.width] = np.round(shown[number] * (1 << bits - 8))
        plane.update(rows)
    return frame


def v_plane(frame: VideoFrame) -> np.ndarray:
    bits = frame.format.components[0].bits
    rows = np.frombuffer(frame.planes[2], np.uint16 if bits > 8 else np.uint8).reshape(frame.planes[2].height, -1)
    return rows[:, : frame.planes[2].width] / (1 << bits - 8)


def first_v_plane(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return v_plane(next(file.decode(video=0)))


def moved(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return how many samples to the right and down a wave was moved, to first order: how its slope explains it."""
    inside = np.s_[EDGE:-EDGE, EDGE:-EDGE]
    slopes = np.stack([np.gradient(before, axis=axis)[inside].ravel() for axis in (1, 0)], axis=-1)
    shift, *_ = np.linalg.lstsq(slopes, (before - after)[inside].ravel(), rcond=None)
    return float(shift[0]), float(shift[1])


def make(path: Path, encoder: str, pixel_format: str, location: str | None, frames: int = 2) -> Path:
    with av.open(str(path), "w") as output:
        options = {**QUIET.get(encoder, {}), "crf": "1"} if encoder.startswith("lib") else {"qmin": "1", "qmax": "1"}
        if location:
            options["chroma_sample_location"] = location
        stream = output.add_stream(encoder, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        for number in range(frames):
            frame = wave(pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(map(timed, stream.encode(frame)))
        output.mux(map(timed, stream.encode(None)))
    return path


def passed(clip: ClipInfo, target: Path, codec: str, pixel_format: str) -> ClipInfo:
    """Write a clip as it was read, and return what is known of the result."""
    writing = Writing(
        width=clip.width,
        height=clip.height,
        rate=clip.rate,
        codec=codec,
        pixel_format=pixel_format,
        color_matrix=clip.color_matrix,
        full_range=clip.full_range,
        **FINEST.get(codec, {}),
    )
    told = told_chroma_location(writing.encoding, target.suffix, clip.chroma_location)
    written = write_video(target, read_frames(clip), Writing(**{**fields_of(writing), "chroma_location": told}), clip)
    return probe(written)


def fields_of(writing: Writing) -> dict[str, object]:
    return {name: getattr(writing, name) for name in Writing.__dataclass_fields__}


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv420p12le", "yuv420p16le"])
@pytest.mark.parametrize("location", LOCATIONS)
def test_ten_conversions_move_nothing(location, pixel_format):
    before = frame = wave(pixel_format)
    how = {"matrix": "bt709", "full_range": False, "chroma_location": location}
    for _ in range(10):
        rgb = to_rgb(frame, depth=frame.format.components[0].bits, **how)
        frame = to_picture(rgb, pixel_format, **how)
    assert np.abs(moved(v_plane(before), v_plane(frame))).max() <= 0.05
    assert np.abs(v_plane(before) - v_plane(frame))[EDGE:-EDGE, EDGE:-EDGE].mean() <= 0.5  # of 8 bits


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv422p10le", "yuv411p"])
@pytest.mark.parametrize("location", ["left", "center"])
def test_ten_conversions_of_whole_columns_move_nothing(location, pixel_format):
    test_ten_conversions_move_nothing(location, pixel_format)


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize(
    ("target", "codec", "pixel_format"), [("b.mp4", "h264", "yuv420p"), ("b.mkv", "hevc", "yuv420p10le")]
)
def test_every_location_comes_back(tmp_path, location, target, codec, pixel_format):
    source = make(tmp_path / "a.mp4", CODECS[codec].encoder, pixel_format, location)
    clip = probe(source)
    assert clip.chroma_location == location
    result = passed(clip, tmp_path / target, codec, pixel_format)
    assert result.chroma_location == location
    assert np.abs(moved(first_v_plane(source), first_v_plane(result.path))).max() <= 0.05


@pytest.mark.parametrize(
    ("source", "encoder", "pixel_format", "location"),
    [
        ("a.mpg", "mpeg1video", "yuv420p", "center"),
        ("a.mpg", "mpeg2video", "yuv420p", "left"),
        ("a.ts", "mpeg2video", "yuv422p", "left"),
        ("a.avi", "mpeg4", "yuv420p", "left"),
        ("a.mov", "mjpeg", "yuvj420p", "center"),
        ("a.mov", "mjpeg", "yuvj422p", "center"),
        ("a.mov", "prores_ks", "yuv422p10le", "left"),
        ("a.avi", "ffvhuff", "yuv420p", "left"),
        ("a.mkv", "ffv1", "yuv411p", "left"),
        ("a.mkv", "libx264", "yuv422p", "left"),
        ("a.mp4", "libx265", "yuv422p10le", "left"),
        ("a.webm", "libvpx-vp9", "yuv420p", "left"),
    ],
)
def test_formats_that_say_nothing_have_their_own_convention(tmp_path, source, encoder, pixel_format, location):
    clip = probe(make(tmp_path / source, encoder, pixel_format, None))
    assert clip.chroma_location == location
    vertically = "420" in pixel_format
    kept = {False: "yuv422p", True: "yuv420p"}[vertically] + ("10le" if clip.depth > 8 else "")
    result = passed(clip, tmp_path / "b.mkv", "ffv1", kept)
    assert result.chroma_location == (location if vertically else "left")


@pytest.mark.parametrize(
    ("target", "codec", "pixel_format", "wanted", "told"),
    [
        ("b.webm", "vp9", "yuv420p", "topleft", "topleft"),
        ("b.mkv", "vp9", "yuv420p", "center", "center"),
        ("b.mp4", "vp9", "yuv420p", "center", "left"),
        ("b.webm", "vp9", "yuv420p", "bottom", "left"),
        ("b.mp4", "av1", "yuv420p10le", "topleft", "topleft"),
        ("b.mp4", "av1", "yuv420p", "center", "left"),
        ("b.mkv", "ffv1", "yuv420p", "top", "top"),
        ("b.mov", "prores", "yuv422p10le", "topleft", "left"),
        ("b.mov", "hevc", "yuv420p", "bottomleft", "bottomleft"),
        ("b.mp4", "h264", "yuv422p", "center", "left"),
    ],
)
def test_result_says_where_its_chroma_lies(tmp_path, target, codec, pixel_format, wanted, told):
    """Where it cannot say so, chroma lies where the codec's readers take it to be."""
    source = make(tmp_path / "a.mkv", "libx264", "yuv420p", wanted)
    result = passed(probe(source), tmp_path / target, codec, pixel_format)
    assert result.chroma_location == told
    shown, again = (next(iter(read_frames(clip))) for clip in (probe(source), result))
    red, other = (frame[..., 0].astype(float) / np.iinfo(frame.dtype).max * 255 for frame in (shown, again))
    edge = 2 * EDGE
    red, other = red[edge:-edge, edge:-edge], other[edge:-edge, edge:-edge]
    assert np.abs(moved(red, other)).max() <= 0.05


def test_noting_the_location_changes_no_pixel():
    frame = wave("yuv420p10le")
    noted = note_chroma_location(frame, "bottom")
    assert [bytes(plane) for plane in noted.planes] == [bytes(plane) for plane in frame.planes]
