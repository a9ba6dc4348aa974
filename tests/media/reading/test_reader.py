"""Frames as they come out: colours by the book, ranges by count, damage never passed over."""

import tracemalloc
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.clips import make_clip, number_of, picture
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames

LUMA = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}  # weights of red and blue
TAGS = {"bt601": 6, "bt709": 1, "bt2020": 9}


def by_the_book(y, u, v, matrix: str, full: bool) -> np.ndarray:
    """Y'CbCr of 8 bits to R'G'B', as ITU-R BT.601, 709 and 2020 define it."""
    red, blue = LUMA[matrix]
    y, u, v = (
        (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.rint(255 * np.stack([r, g, b], axis=-1)), 0, 255)


def write_flat_blocks(path, blocks: np.ndarray, *, pixel_format: str, matrix: str, full: bool) -> None:
    """Write one lossless frame of 16x16 blocks of exactly the given Y'CbCr values."""
    bits = 10 if "10" in pixel_format else 8
    with av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        height, width = 16 * blocks.shape[1], 16 * blocks.shape[2]
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.colorspace, stream.codec_context.color_range = TAGS[matrix], 2 if full else 1
        frame = av.VideoFrame(width, height, pixel_format)
        for plane, values in zip(frame.planes, blocks, strict=True):
            size = plane.width // blocks.shape[2]
            samples = np.kron(values << (bits - 8), np.ones((size, size), int)).astype(
                np.uint16 if bits > 8 else np.uint8
            )
            padded = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
            padded[:, : plane.width] = samples
            plane.update(padded.tobytes())
        frame.colorspace, frame.color_range = TAGS[matrix], 2 if full else 1
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
def test_colours_follow_the_matrix_and_range(tmp_path, matrix, full, pixel_format):
    random = np.random.default_rng(0)
    low, high = (0, 256) if full else (16, 236)
    blocks = np.stack([random.integers(low, high, (8, 8)), *random.integers(60, 196, (2, 8, 8))])
    path = tmp_path / "a.mkv"
    write_flat_blocks(path, blocks, pixel_format=pixel_format, matrix=matrix, full=full)
    clip = probe(path)
    assert (clip.color_matrix, clip.full_range) == (matrix, full)
    (frame,) = read_frames(clip)
    middles = frame.reshape(8, 16, 8, 16, 3)[:, 8, :, 8]
    white = 65535 if "10" in pixel_format else 255
    assert frame.dtype == (np.uint16 if "10" in pixel_format else np.uint8)
    assert np.abs(middles * (255 / white) - by_the_book(*blocks, matrix, full)).max() <= (1 if white == 255 else 1.3)


def test_lossless_rgb_comes_back_bit_for_bit(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", pixel_format="bgr0", frames=5))
    assert all(np.array_equal(frame, picture(n)) for n, frame in enumerate(read_frames(clip)))


def test_palette_pictures_are_read(tmp_path):
    clip = probe(make_clip(tmp_path / "a.gif", codec="gif", pixel_format="rgb8", frames=20))
    assert [number_of(frame) for frame in read_frames(clip)] == list(range(20))


@pytest.mark.parametrize("size", [(65, 49), (1, 1), (9, 64)])
def test_odd_sizes_are_read(tmp_path, size):
    width, height = size
    path = make_clip(tmp_path / "a.mkv", codec="ffv1", width=width, height=height, frames=2)
    clip = probe(path)
    assert (clip.width, clip.height) == size
    assert [frame.shape for frame in read_frames(clip)] == [(height, width, 3)] * 2


OPTIONS = {
    "closed.mp4": ("libx264", {}),
    "open.mp4": ("libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3"}),
    "open.mkv": ("libx264", {"x264-params": "open-gop=1:keyint=10:bframes=3"}),
    "refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=10"}),
    "cra.mp4": ("libx265", {"x265-params": "log-level=none:open-gop=1:keyint=10:bframes=3"}),
    "a.webm": ("libvpx-vp9", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "a.ts": ("libx264", {}),
    "a.avi": ("mpeg4", {"bf": "2"}),
    "a.mkv": ("ffv1", {}),
}


@pytest.fixture(scope="module", params=OPTIONS)
def whole(request, tmp_path_factory):
    codec, options = OPTIONS[request.param]
    clip = probe(make_clip(tmp_path_factory.mktemp("clips") / request.param, codec=codec, options=options, frames=50))
    return clip, list(read_frames(clip))


@settings(max_examples=20)
@given(bounds=st.lists(st.integers(0, 50), min_size=2, max_size=2).map(sorted))
def test_any_range_gives_exactly_those_frames(whole, bounds):
    clip, frames = whole
    start, stop = bounds
    part = list(read_frames(clip, start, stop))
    assert len(part) == stop - start
    assert all(np.array_equal(*pair) for pair in zip(part, frames[start:stop], strict=True))


@settings(max_examples=20)
@given(
    calls=st.lists(st.lists(st.integers(0, 49), max_size=12).map(sorted), max_size=5),
    keep=st.integers(0, 10),
)
def test_a_reader_gives_the_same_frames_however_they_are_come_by(whole, calls, keep):
    clip, frames = whole
    with FrameReader(clip, keep=keep) as reader:
        for numbers in calls:
            given_frames = list(reader.read(numbers))
            assert len(given_frames) == len(numbers)
            assert all(np.array_equal(frame, frames[n]) for frame, n in zip(given_frames, numbers, strict=True))


def test_all_frames_come_in_order(whole):
    _, frames = whole
    assert [number_of(frame) for frame in frames] == list(range(50))


def test_late_range_is_not_decoded_from_the_start(tmp_path):
    """With a broken first frame, a range after the second key frame still reads."""
    path = make_clip(tmp_path / "a.mp4", width=320, height=240, frames=40)
    clip = replace(probe(path), identity=None)  # that it changed would be said first
    good = list(read_frames(clip))
    damage(path, number=0)
    assert np.array_equal(next(read_frames(clip, 30)), good[30])
    with pytest.raises(InputError, match="frame 0"):
        next(read_frames(clip))


def damage(path, number: int) -> None:
    """Overwrite the end of the packet that holds frame `number` of a one-reference-per-frame file."""
    with av.open(str(path)) as container:
        packets = sorted((p.pts, p.pos, p.size) for p in container.demux(video=0) if p.size)
    _, place, size = packets[number]
    data = bytearray(path.read_bytes())
    data[place + size * 3 // 4 : place + size] = bytes(size - size * 3 // 4)
    path.write_bytes(data)


@pytest.mark.parametrize("number", [7, 18, 39])
def test_damaged_frame_is_named(tmp_path, number):
    options = {"x264-params": "bframes=0:keyint=100:threads=1"}
    path = make_clip(tmp_path / "a.mp4", width=160, height=128, frames=40, options=options)
    clip = replace(probe(path), identity=None)
    damage(path, number)
    given_frames = []
    with pytest.raises(InputError, match=f"frame {number} ") as refused:
        given_frames.extend(read_frames(clip))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_dropped_frame_is_named(tmp_path, codec):
    """A packet that a decoder passes over, some without a word, must not shift the frames behind it."""
    options = (
        {"x264-params": "bframes=0:keyint=100"}
        if codec == "libx264"
        else {"x265-params": "log-level=none:bframes=0:keyint=8"}
    )
    path = make_clip(tmp_path / "a.mp4", frames=40, codec=codec, options=options)
    clip = replace(probe(path), identity=None)
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][20]
    data = bytearray(path.read_bytes())
    data[packet.pos + 4] = 12 if codec == "libx264" else 38 << 1  # the type of a unit of filler
    path.write_bytes(data)
    for bounds in [(0, 40), (21, 40)]:
        with pytest.raises(InputError, match="frame 20 "):
            list(read_frames(clip, *bounds))


def test_a_file_with_fewer_frames_than_counted_is_refused(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=20)
    clip = replace(probe(path), identity=None)
    make_clip(path, frames=12)
    with pytest.raises(InputError, match="ends before frame 12 of 20"):
        list(read_frames(clip))
    with pytest.raises(InputError, match="ends before frame 12"):
        list(read_frames(clip, 15, 18))


def test_size_that_changes_is_refused(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4"))
    with pytest.raises(InputError, match="frame 0 changes size"):
        next(read_frames(replace(clip, width=32)))


@pytest.mark.parametrize("bounds", [(-1, 5), (0, 13), (7, 3), (13, None)])
def test_range_outside_the_clip_is_a_wrong_call(tmp_path, bounds):
    clip = probe(make_clip(tmp_path / "a.mp4", frames=12))
    with pytest.raises(ValueError, match=r"within 0\.\.12"):
        read_frames(clip, *bounds)


def test_reading_streams(tmp_path):
    """The first frame of a long clip is there long before the last could be."""
    clip = probe(make_clip(tmp_path / "a.mp4", frames=200, rate=Fraction(25)))
    frames = read_frames(clip)
    assert number_of(next(frames)) == 0
    frames.close()


def test_frames_that_were_kept_are_not_decoded_again(tmp_path):
    """Without its file a reader goes on in the one it has open, but cannot begin again."""
    clip = probe(make_clip(tmp_path / "a.mp4", frames=40))
    with FrameReader(clip, keep=8) as enough, FrameReader(clip, keep=7) as too_few:
        for reader in (enough, too_few):
            assert [number_of(frame) for frame in reader.read(range(20))] == list(range(20))
        clip.path.unlink()
        assert [number_of(frame) for frame in enough.read(range(12, 40))] == list(range(12, 40))
        with pytest.raises(InputError, match="cannot be read"):
            next(too_few.read([12]))


def test_a_call_that_is_not_drained_costs_nothing(tmp_path):
    clip = probe(make_clip(tmp_path / "a.mp4", frames=40))
    with FrameReader(clip) as reader:
        assert number_of(next(reader.read(range(20)))) == 0
        clip.path.unlink()
        assert [number_of(frame) for frame in reader.read([5, 5, 12])] == [5, 5, 12]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_memory_is_that_of_the_frames_kept(tmp_path, name):
    clip = probe(make_clip(tmp_path / name, width=160, height=128, frames=100))
    frame = 160 * 128 * 3
    with FrameReader(clip, keep=4) as reader:
        next(reader.read([0]))
        tracemalloc.start()
        for _ in reader.read(range(1, 100)):
            pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * frame


@pytest.mark.parametrize("numbers", [[3, 2], [-1], [0, 40]])
def test_wrong_numbers_are_a_wrong_call(tmp_path, numbers):
    reader = FrameReader(probe(make_clip(tmp_path / "a.mp4", frames=40)))
    with pytest.raises(ValueError, match=r"must ascend|within 0\.\.39"):
        reader.read(numbers)
