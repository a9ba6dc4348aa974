"""Sizes that headers tell wrongly, and what follows the last whole frame: what is there counts."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from media.clips import make_clip, number_of, picture
from venhancer.errors import InputError
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import read_frames

FRAMES = 12
WRONG = [0, 100, 10**6, 0x7FFFFFFF, 0xFFFFFFFF]


def assert_whole(path: Path) -> None:
    clip = probe(path)
    assert (clip.frames, clip.timestamps) == (FRAMES, None)
    assert [number_of(frame) for frame in read_frames(clip)] == list(range(FRAMES))


def clip_of(path: Path, **options: object) -> bytes:
    codec = {".avi": "mpeg4", ".gif": "gif"}.get(path.suffix, "libx264")
    pixels = "rgb8" if codec == "gif" else "yuv420p"
    return make_clip(path, codec=codec, pixel_format=pixels, frames=FRAMES, rate=25, **options).read_bytes()


def with_size(content: bytes, place: int, value: int) -> bytes:
    return content[:place] + struct.pack("<I", value) + content[place + 4 :]


@pytest.mark.parametrize("value", WRONG)
def test_sizes_and_counts_of_avi_do_not_matter(tmp_path, value):
    """Written into a pipe they are unknown; some programs that repair files leave them wrong."""
    path = tmp_path / "a.avi"
    content = clip_of(path, sound="pcm_s16le")
    places = [4, content.index(b"avih") + 24, content.index(b"strh") + 40, content.index(b"movi") - 4]
    in_a_pipe = content[: content.index(b"idx1")]
    for place in places:
        path.write_bytes(with_size(content, place, value))
        assert_whole(path)
        in_a_pipe = with_size(in_a_pipe, place, value)
    path.write_bytes(in_a_pipe)
    assert_whole(path)


def test_avi_that_ends_within_a_chunk_is_cut_short(tmp_path):
    path = tmp_path / "a.avi"
    content = clip_of(path, sound="pcm_s16le")
    path.write_bytes(content[: content.index(b"idx1") - 300])
    with pytest.raises(InputError, match="cut short"):
        probe(path)
    path.write_bytes(content[: content.index(b"idx1") + 20])  # within the table after all frames
    assert_whole(path)


@pytest.mark.parametrize(
    "size", [b"\x01" + 7 * b"\xff", b"\x01" + (10**6).to_bytes(7, "big"), b"\x01" + bytes(6) + b"\x99"]
)
def test_size_of_a_matroska_segment_does_not_matter(tmp_path, size):
    content = clip_of(tmp_path / "a.mkv", sound="aac")
    place = content.index(b"\x18\x53\x80\x67") + 4
    (tmp_path / "a.mkv").write_bytes(content[:place] + size + content[place + 8 :])
    assert_whole(tmp_path / "a.mkv")
    cues = content.rindex(b"\x1c\x53\xbb\x6b")
    (tmp_path / "a.mkv").write_bytes(content[: cues + 3])  # within the table after all frames
    assert_whole(tmp_path / "a.mkv")


def test_live_matroska_and_open_boxes_are_whole(tmp_path):
    clip_of(tmp_path / "a.mkv", container_options={"live": "1"})
    assert_whole(tmp_path / "a.mkv")
    content = clip_of(tmp_path / "a.mp4", container_options={"movflags": "+faststart"})
    place = content.index(b"mdat") - 4
    (tmp_path / "a.mp4").write_bytes(content[:place] + bytes(4) + content[place + 4 :])
    assert_whole(tmp_path / "a.mp4")


@pytest.mark.parametrize("rest", [b"j", b"ju", b"junk that follows", bytes(40), b"\xff" * 40])
@pytest.mark.parametrize("name", ["a.mp4", "fragments.mp4", "open.mp4", "a.mkv", "a.avi", "a.gif"])
def test_what_follows_the_last_frame_is_no_damage(tmp_path, name, rest):
    flags = {"movflags": "+frag_keyframe+empty_moov"} if name in ("fragments.mp4", "open.mp4") else {}
    content = clip_of(tmp_path / name, container_options=flags)
    if name == "open.mp4":
        content = content[: content.rindex(b"mfra") - 4]
    (tmp_path / name).write_bytes(content + rest)
    clip = probe(tmp_path / name)
    assert (clip.frames, clip.timestamps) == (FRAMES, None)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_animations_without_an_end_or_with_more_after_it_are_whole(tmp_path, name):
    path = tmp_path / name
    pictures = [Image.fromarray(picture(number)) for number in range(FRAMES)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80)
    content = path.read_bytes()
    ends = {"a.gif": [content[:-1]], "a.png": [content[:-12]], "a.webp": []}[name]
    for changed in [*ends, content + b"junk that follows", content + bytes(9)]:
        path.write_bytes(changed)
        assert probe(path).frames == FRAMES


def test_gif_that_ends_within_a_picture_is_cut_short(tmp_path):
    content = clip_of(tmp_path / "a.gif")
    (tmp_path / "a.gif").write_bytes(content[:-9])
    with pytest.raises(InputError, match="cut short"):
        probe(tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.flv", "flv"), ("b.flv", "libx264"), ("a.wmv", "msmpeg4"), ("a.ogv", "libvpx"), ("a.y4m", "rawvideo"),
     ("a.h264", "libx264"), ("a.hevc", "libx265")],
)  # fmt: skip
@pytest.mark.parametrize("rate", [25, 30])
def test_whole_files_of_other_kinds_are_read(tmp_path, name, codec, rate):
    path = make_clip(tmp_path / name, codec=codec, rate=rate, frames=FRAMES)
    clip = probe(path)
    assert clip.rate == rate
    assert any("times" in lost for lost in clip.not_kept) == (name in ("a.h264", "a.hevc"))
    assert_whole(path)
