"""What a file may ask for, declared or real."""

import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest
from PIL import Image

from media.clips import make_clip, picture
from venhancer.errors import InputError, SettingsError
from venhancer.media.limits import Limits, read_limits
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames
from venhancer.media.source import open_picture


def refusal(path: Path, look=probe) -> str:
    with pytest.raises(InputError) as refused:
        look(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def load(path: Path) -> tuple[int, int]:
    with open_picture(path) as opened:
        opened.load()
        return opened.size


def png(path: Path, width: int, height: int) -> Path:
    """Write a PNG that declares any size and holds no pixel."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def test_limits_are_changed_by_the_environment(monkeypatch):
    assert read_limits() == Limits()
    monkeypatch.setenv("VENHANCER_LIMITS", "frames=7, streams=3")
    assert read_limits() == Limits(frames=7, streams=3)


@pytest.mark.parametrize("text", ["frames", "frames=", "frames=-1", "frames=0", "frames=1.5", "frame=1", "frames=٣"])
def test_limits_that_mean_nothing_are_refused(monkeypatch, text):
    monkeypatch.setenv("VENHANCER_LIMITS", text)
    with pytest.raises(SettingsError, match="VENHANCER_LIMITS"):
        read_limits()


@pytest.mark.parametrize(
    ("limit", "words"), [("side=63", "64x48"), ("pixels=3000", "64x48"), ("frames=11", "11 frames")]
)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif", "a.ts"])
def test_clip_above_a_limit_is_refused_and_one_at_it_is_not(tmp_path, monkeypatch, name, limit, words):
    codec, kind = {".avi": ("mpeg4", "yuv420p"), ".gif": ("gif", "rgb8")}.get(Path(name).suffix, ("libx264", "yuv420p"))
    path = make_clip(tmp_path / name, codec=codec, pixel_format=kind, frames=12)
    monkeypatch.setenv("VENHANCER_LIMITS", limit)
    assert words in refusal(path)
    monkeypatch.setenv("VENHANCER_LIMITS", "side=64,pixels=3072,frames=12,seconds=1,streams=1")
    assert probe(path).frames == 12


def test_declared_length_is_believed_before_anything_is_read(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mkv", frames=48)
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3
    content[place : place + 8] = struct.pack(">d", 49 * 3600 * 1000)
    path.write_bytes(content)
    assert "claims to last more than 48 hours" in refusal(path)


def test_real_length_counts_where_none_is_declared(tmp_path):
    times = [0, 1, 2, 3 * 10**6]
    path = make_clip(tmp_path / "a.mkv", frames=4, times=times, time_base=Fraction(1))
    assert "claims to last more than 48 hours" in refusal(path)


def test_streams_are_counted(tmp_path, monkeypatch):
    path = make_clip(tmp_path / "a.mkv", frames=2, subtitles=9)
    monkeypatch.setenv("VENHANCER_LIMITS", "streams=9")
    assert "holds 10 streams" in refusal(path)


def test_more_streams_than_libav_lists_are_refused(tmp_path):
    path = make_clip(tmp_path / "a.mkv", frames=2, subtitles=1)
    content = path.read_bytes()
    tracks = content.rindex(b"\x16\x54\xae\x6b") + 4
    width = 9 - content[tracks].bit_length()
    length = int.from_bytes(content[tracks : tracks + width], "big") & ((1 << 7 * width) - 1)
    entry = content[tracks + width : tracks + width + length]
    many = b"".join(entry for _ in range(600))
    path.write_bytes(
        content[:tracks] + ((1 << 56) | len(many)).to_bytes(8, "big") + many + content[tracks + width + length :]
    )
    refusal(path)


def test_picture_larger_than_the_file_declares_is_not_decoded(tmp_path, monkeypatch):
    """The container says 64x48; the pictures inside it say something else."""
    large = make_clip(tmp_path / "large.mkv", width=512, height=512, frames=3, codec="mjpeg", pixel_format="yuvj420p")
    small = make_clip(tmp_path / "small.avi", frames=3, codec="mjpeg", pixel_format="yuvj420p")
    with av.open(str(large)) as container:
        jpeg = next(bytes(packet) for packet in container.demux(video=0))
    content = bytearray(small.read_bytes())
    place = content.index(b"\xff\xd8\xff")
    content[place : place + len(jpeg)] = jpeg  # over the rest of the first frame and what follows
    small.write_bytes(content)
    monkeypatch.setenv("VENHANCER_LIMITS", "pixels=10000,side=100")
    refusal(small)


def test_size_that_grows_on_the_way_is_stopped_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setenv("VENHANCER_LIMITS", "pixels=3072,side=64")
    names = []
    for size in (1, 8):
        name = tmp_path / f"{size}.mpg"
        pictures = [picture(n, 64 * size, 48 * size) for n in range(6)]
        make_clip(name, width=64 * size, height=48 * size, codec="mpeg2video", pictures=pictures)
        names.append(name)
    both = tmp_path / "both.mpg"
    both.write_bytes(b"".join(name.read_bytes() for name in names))
    with pytest.raises(InputError):
        list(read_frames(probe(both)))


@pytest.mark.parametrize(
    ("width", "height"), [(20000, 100), (16384, 16384), (100_000, 100_000), (2**31 - 1, 2**31 - 1)]
)
def test_picture_that_declares_too_much_is_refused(tmp_path, width, height):
    assert f"{width}x{height}" in refusal(png(tmp_path / "a.png", width, height), load) or width * height > 2**27


def test_large_but_allowed_picture_warns_nobody(tmp_path):
    with open_picture(png(tmp_path / "a.png", 16384, 8192)) as opened:
        assert opened.size == (16384, 8192)
    refusal(png(tmp_path / "a.png", 16384, 8192), load)  # it has no pixels


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "tiff", "bmp"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_damaged_picture_is_refused(tmp_path, kind, kept):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(picture(1)).save(path)
    assert load(path) == (64, 48)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept) - 16])
    refusal(path, load)


def test_limits_load_no_torch():
    code = (
        "import sys, venhancer.media.reading.isolation; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
