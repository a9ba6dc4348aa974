"""Pixels out of videos, arrays and shards."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from media.boxes import with_aperture, with_matrix
from media.clips import make_clip, number_of
from venhancer.errors import InputError
from venhancer.media.orientation import NO_BORDER, Border
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import in_eight_bits, read_frames
from venhancer.training.data.clips import open_member, read_draw
from venhancer.training.data.draws import Draw
from venhancer.training.data.manifest import ClipEntry
from venhancer.training.data.shards import pack, read_members
from venhancer.training.data.stretches import find_stretches
from venhancer.training.settings import IndexSettings

LENIENT = IndexSettings(smallest=1, shortest=1)


def draw_of(entry: ClipEntry, numbers: list[int], **changes) -> Draw:
    fields = {"top": 0, "left": 0, "height": entry.height, "width": entry.width, "mirrored": False, "reversed": False}
    return Draw(**({"entry": entry, "numbers": numbers, "size": (entry.height, entry.width)} | fields | changes))


@pytest.fixture
def video(tmp_path) -> ClipEntry:
    return find_stretches(make_clip(tmp_path / "a.mp4", frames=40), LENIENT).clips[0]


@pytest.fixture
def array(tmp_path) -> ClipEntry:
    frames = np.random.default_rng(0).integers(0, 255, (40, 12, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", frames)
    return ClipEntry(path="a.npy", start=5, frames=30, rate=24, width=16, height=12)


def test_frames_of_a_video_are_counted_from_the_clip(video, tmp_path):
    later = video.model_copy(update={"start": 10, "frames": 20})
    assert [number_of(frame) for frame in read_draw(draw_of(later, [3, 5]), tmp_path)] == [13, 15]


@pytest.mark.parametrize("border", [NO_BORDER, Border(3, 5, 7, 1)])
@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, 1), (0, -1, -1, 0)])
@pytest.mark.parametrize(
    ("codec", "pixels", "siting"),
    [("libx264", "yuv420p", "left"), ("libx264", "yuv420p", "topleft"), ("libx265", "yuv420p10le", "center")],
)
def test_footage_is_trained_on_as_it_is_enhanced(tmp_path, border, matrix, codec, pixels, siting):
    """Without its hidden border, upright, and with chroma where the file says that it lies."""
    options = {"chroma_sample_location": siting, "crf": "1"}
    given = {"codec": codec, "pixel_format": pixels, "options": options, "rotation": 90, "matrix": 1}
    path = with_matrix(make_clip(tmp_path / "a.mp4", frames=6, **given), *matrix)
    if border != NO_BORDER and codec == "libx264":
        with_aperture(path, border)
    (entry,) = find_stretches(path, LENIENT).clips
    clip = probe(path)
    shown = np.stack(list(read_frames(in_eight_bits(clip))))
    assert (entry.width, entry.height) == (clip.width, clip.height) == (shown.shape[2], shown.shape[1])
    assert np.array_equal(read_draw(draw_of(entry, [1, 4]), tmp_path), shown[[1, 4]])
    half = (clip.height // 2, clip.width // 2)
    small = read_draw(draw_of(entry, [4], size=half, height=half[0], width=half[1]), tmp_path)[0]
    coarse = shown[4, : 2 * half[0], : 2 * half[1]].reshape(half[0], 2, half[1], 2, 3).mean((1, 3))
    assert np.abs(small - coarse).mean() < 6


@pytest.mark.parametrize("numbers", [[0, 1, 2], [4, 6, 8], [0, 1, 3], [7]])
def test_frames_of_an_array_are_counted_from_the_clip(array, tmp_path, numbers):
    stored = np.load(tmp_path / "a.npy")
    assert np.array_equal(read_draw(draw_of(array, numbers), tmp_path), stored[[5 + number for number in numbers]])


def test_crops_mirrors_and_reverses(array, tmp_path):
    stored = np.load(tmp_path / "a.npy")[5:8]
    draw = draw_of(array, [0, 1, 2], top=2, left=3, height=8, width=10, mirrored=True, reversed=True)
    assert np.array_equal(read_draw(draw, tmp_path), stored[::-1, 2:10, 3:13][:, :, ::-1])


def test_a_video_and_its_array_are_reduced_alike(video, tmp_path):
    whole = read_draw(draw_of(video, [4, 5]), tmp_path)
    np.save(tmp_path / "b.npy", whole)
    prepared = ClipEntry(path="b.npy", frames=2, rate=24, width=64, height=48)
    small = {"size": (24, 32), "height": 20, "width": 30, "top": 2, "left": 1}
    one, other = (
        read_draw(draw_of(video, [4, 5], **small), tmp_path),
        read_draw(draw_of(prepared, [0, 1], **small), tmp_path),
    )
    assert one.shape == other.shape == (2, 20, 30, 3)
    assert np.abs(one.astype(int) - other).mean() < 3


def test_shards_hold_the_same_pixels(video, array, tmp_path):
    make_clip(tmp_path / "b.mp4", frames=9)
    other = find_stretches(tmp_path / "b.mp4", LENIENT).clips[0]
    entries = [video, array, array.model_copy(update={"start": 0}), other.model_copy(update={"caption": "b"})]
    packed = list(pack(entries, tmp_path, "packed", 1000))
    assert {entry.shard for entry in packed} == {"packed/shard_000000.tar"}
    for plain, inside in zip(entries, packed, strict=True):
        numbers = [1, 2, 5]
        assert np.array_equal(
            read_draw(draw_of(plain, numbers), tmp_path), read_draw(draw_of(inside, numbers), tmp_path)
        )


def test_shards_are_closed_when_full_and_the_same_each_time(array, tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.zeros((1, 400, 600, 3), np.uint8))
    entries = [ClipEntry(path=f"{n}.npy", frames=1, rate=24, width=600, height=400) for n in range(3)]
    first = list(pack(entries, tmp_path, "one", 1))
    list(pack(entries, tmp_path, "two", 1))
    assert [entry.shard for entry in first] == ["one/shard_000000.tar", "one/shard_000000.tar", "one/shard_000001.tar"]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["shard_000000.tar", "shard_000001.tar"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


def test_sidecars_lie_beside_the_clip_in_a_shard(array, tmp_path):
    list(pack([array.model_copy(update={"caption": "waves"})], tmp_path, ".", 1))
    (member,) = read_members(tmp_path / "shard_000000.tar", [".npy"])
    assert member.name == "000000000.npy"
    assert member.sidecars[".txt"] == b"waves"
    assert b'"caption":"waves"' in member.sidecars[".json"]


def test_a_member_is_a_file_of_its_own(tmp_path):
    (tmp_path / "b").write_bytes(b"0123456789")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "b", "b")
    with tarfile.open(tmp_path / "a.tar") as tar:
        offset = tar.getmember("b").offset_data
    with open_member(tmp_path / "a.tar", offset + 2, 5) as member:
        assert member.read() == b"23456"
        assert member.seek(-2, io.SEEK_END) == 3
        assert member.read(10) == b"56"
        member.seek(9)
        assert member.read(1) == b""
    os.truncate(tmp_path / "a.tar", offset + 4)
    with (
        pytest.raises(InputError, match=r"a\.tar cannot be read"),
        open_member(tmp_path / "a.tar", offset, 10) as member,
    ):
        member.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
        (np.zeros((2, 3, 4), np.uint8), "must be uint8 with the shape"),
        (np.zeros((40, 12, 16, 3), np.float32), "must be uint8 with the shape"),
        (np.zeros((9, 12, 16, 3), np.uint8), "is 16x12 with 9 frames, not what the manifest says"),
        (np.zeros((40, 12, 17, 3), np.uint8), "is 17x12 with 40 frames, not what the manifest says"),
    ],
)
def test_damaged_arrays_are_said_in_one_line(array, tmp_path, content, message):
    if isinstance(content, bytes):
        (tmp_path / "a.npy").write_bytes(content)
    else:
        np.save(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match=message) as raised:
        read_draw(draw_of(array, [8]), tmp_path)
    assert "\n" not in str(raised.value)


def test_other_damage_is_said_in_one_line(video, tmp_path):
    wrong = video.model_copy(update={"width": 60})
    with pytest.raises(InputError, match="is 64x48, not 60x48 as the manifest says"):
        read_draw(draw_of(wrong, [0]), tmp_path)
    with pytest.raises(InputError, match=r"shard .*gone\.tar cannot be read"):
        read_draw(draw_of(video.model_copy(update={"shard": "gone.tar"}), [0]), tmp_path)
    Path(video.path).write_bytes(Path(video.path).read_bytes()[:700])
    with pytest.raises(InputError, match="damaged"):
        read_draw(draw_of(video, [0]), tmp_path)
