"""Numbered pictures as one clip: all of them, in order, alike, and each the one that was looked at."""

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from media.clips import make_clip, number_of, picture
from venhancer.errors import InputError
from venhancer.jobs.origin import fingerprint
from venhancer.media.reading.isolation import inspect, search_clip
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames
from venhancer.media.stills.numbering import Numbered, find_numbered, is_pattern, pattern_of
from venhancer.media.writing.writer import check_target


def save(folder: Path, name: str = "%04d.png", numbers=range(5), **options) -> Path:
    """Write pictures that tell their numbers, and return their pattern."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number)).save(folder / (name % number), **options)
    return folder / name


@pytest.mark.parametrize(
    "name", ["%04d.png", "%d.png", "a_%03d_b.tif", "shot 1.%06d.webp", "%2d.bmp", "100 [x]+%d.jpg"]
)
@pytest.mark.parametrize("first", [0, 1, 8])
def test_pictures_come_in_order_from_the_first_there_is(tmp_path, name, first):
    pattern = save(tmp_path / "f", name.replace("%2d", "%02d"), range(first, first + 5)).with_name(name)
    (tmp_path / "f" / "notes.txt").touch()
    clip = probe(pattern)
    assert (clip.kind, clip.frames, clip.rate, clip.duration) == ("numbered", 5, 24, Fraction(5, 24))
    assert [number_of(frame) for frame in read_frames(clip)] == [*range(first, first + 5)]


def test_numbers_may_outgrow_their_places(tmp_path):
    pattern = save(tmp_path / "f", "%02d.png", range(97, 103))
    assert find_numbered(pattern) == Numbered(pattern, 97, 6)
    assert [number_of(frame) for frame in read_frames(probe(pattern), 2, 5)] == [99, 100, 101]


def test_frames_come_by_number_and_again(tmp_path):
    clip = probe(save(tmp_path / "f"))
    with FrameReader(clip, keep=2) as reader:
        for numbers in ([0, 4], [1, 1, 2], [3], [0]):
            assert [number_of(frame) for frame in reader.read(numbers)] == numbers


def test_shots_are_found(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(12):
        light = 230 if number >= 7 else 20
        Image.fromarray(np.full((48, 64, 3), light + number, np.uint8)).save(folder / f"{number}.png")
    clip = inspect(folder / "%d.png")
    assert clip == probe(folder / "%d.png")
    assert search_clip(clip).cuts == (7,)


def test_deep_and_shallow_pictures_together_are_deep(tmp_path):
    pattern = save(tmp_path / "f", numbers=range(2))
    deep = np.random.default_rng(0).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "f" / "0002.png"), np.ascontiguousarray(deep[..., ::-1]))
    clip = probe(pattern)
    frames = list(read_frames(clip))
    assert clip.depth == 16
    assert np.array_equal(frames[1], picture(1).astype(np.uint16) * 257)
    assert np.array_equal(frames[2], deep)


def test_one_transparent_picture_makes_the_clip_transparent(tmp_path):
    pattern = save(tmp_path / "f", numbers=range(4))
    Image.fromarray(picture(4)).convert("RGBA").save(tmp_path / "f" / "0004.png")
    assert not probe(pattern).has_alpha
    glass = np.dstack([picture(5), np.full((48, 64), 255, np.uint8)])
    glass[30, 30, 3] = 100
    Image.fromarray(glass).save(tmp_path / "f" / "0005.png")
    clip = probe(pattern)
    assert clip.has_alpha
    frames = list(read_frames(replace(clip, background=(0, 0, 0))))
    assert np.array_equal(frames[0], picture(0))
    assert np.array_equal(frames[5][30, 30], np.round(picture(5)[30, 30] * (100 / 255)).astype(np.uint8))


def refused(pattern: Path) -> str:
    """Return the one line that refuses a pattern."""
    with pytest.raises(InputError) as error:
        probe(pattern)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_gap_is_named(tmp_path):
    pattern = save(tmp_path / "f", numbers=[3, 4, 7, 8])
    assert f"{tmp_path}/f/0005.png is missing between 4 and 7" in refused(pattern)


def test_another_size_is_named(tmp_path):
    pattern = save(tmp_path / "f")
    Image.new("RGB", (64, 50)).save(tmp_path / "f" / "0005.png")
    assert "f/0005.png is 64x50, and 0000.png is 64x48; convert all pictures to one size" in refused(pattern)


def test_another_turn_is_named(tmp_path):
    pattern = save(tmp_path / "f", "%d.jpg")
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(picture(5)).save(tmp_path / "f" / "5.jpg", exif=exif)
    assert "f/5.jpg has another rotation than 0.jpg" in refused(pattern)


def test_what_is_no_still_is_named(tmp_path):
    pattern = save(tmp_path / "f", "%d.webp", range(2))
    Image.fromarray(picture(2)).save(
        tmp_path / "f" / "2.webp", save_all=True, append_images=[Image.fromarray(picture(3))]
    )
    assert "f/2.webp is an animation" in refused(pattern)
    (tmp_path / "f" / "2.webp").write_bytes(b"nothing")
    assert "f/2.webp is damaged" in refused(pattern)
    (tmp_path / "f" / "2.webp").unlink()
    (tmp_path / "f" / "2.webp").mkdir()
    assert "f/2.webp is a folder" in refused(pattern)
    (tmp_path / "f" / "2.webp").rmdir()
    os.mkfifo(tmp_path / "f" / "2.webp")
    assert "f/2.webp is not a file" in refused(pattern)


@pytest.mark.parametrize(
    "name", ["%s.png", "%n.png", "%1000000d.png", "%.png", "%d%d.png", "%%d.png", "%-4d.png", "%x.png"]
)
def test_hostile_patterns_are_refused_in_a_line(tmp_path, name):
    save(tmp_path / "f")
    assert "has no number pattern; name numbered pictures like frames/%05d.png" in refused(tmp_path / "f" / name)


def test_a_pattern_of_nothing_is_refused(tmp_path):
    save(tmp_path / "f")
    assert "is not a picture name" in refused(tmp_path / "f" / "b%d.png")
    assert "cannot be read; check the path" in refused(tmp_path / "g" / "%d.png")


def test_names_that_fit_only_nearly_are_refused(tmp_path):
    pattern = save(tmp_path / "f")
    hint = refused(pattern.with_name("%d.png"))
    assert "f/0000.png does not match %d.png; use a pattern that fits all, such as " in hint
    assert hint.endswith("f/%04d.png")
    (tmp_path / "f" / f"{'9' * 200}.png").touch()
    assert "shorten its number" in refused(pattern)


def test_a_file_that_is_called_so_is_that_file(tmp_path):
    Image.fromarray(picture(9)).save(tmp_path / "%04d.png")
    save(tmp_path, numbers=range(3))
    assert not is_pattern(tmp_path / "%04d.png")
    (frame,) = read_frames(probe(tmp_path / "%04d.png"))
    assert number_of(frame) == 9
    make_clip(tmp_path / "%d.mp4", frames=2)
    assert probe(tmp_path / "%d.mp4").kind == "video"


def test_links_are_followed(tmp_path):
    save(tmp_path / "f", numbers=range(3))
    (tmp_path / "g").mkdir()
    for number in range(3):
        (tmp_path / "g" / f"{number}.png").symlink_to(tmp_path / "f" / f"{2 - number:04d}.png")
    assert [number_of(frame) for frame in read_frames(probe(tmp_path / "g" / "%d.png"))] == [2, 1, 0]


def test_too_many_pictures_are_refused(tmp_path, monkeypatch):
    pattern = save(tmp_path / "f")
    monkeypatch.setenv("VENHANCER_LIMITS", "frames=4")
    assert "has more than 4 frames" in refused(pattern)


def changes(folder: Path):
    """Yield what can happen to pictures while they are worked on, one after the other."""
    path = folder / "0002.png"
    before = path.read_bytes()
    path.write_bytes(before + b"more")
    yield "changed"
    path.write_bytes(before)
    os.utime(path, ns=(1, 1))
    yield "touched"
    Image.fromarray(picture(5)).save(folder / "0005.png")
    yield "added"
    (folder / "0005.png").unlink()
    (folder / "0004.png").unlink()
    yield "removed"


def test_whatever_changes_is_noticed(tmp_path):
    pattern = save(tmp_path / "f")
    clip = probe(pattern)
    with FrameReader(clip) as reader:
        assert len(list(reader.read([0]))) == 1
        for number, what in enumerate(changes(tmp_path / "f")):
            with pytest.raises(InputError, match="changed since"):
                list(read_frames(clip))
            if not number:  # also by one who has looked at all of them before
                assert what == "changed"
                with pytest.raises(InputError, match=r"0002\.png has changed since it was inspected"):
                    list(reader.read([2]))


def test_the_fingerprint_covers_every_picture(tmp_path):
    pattern = save(tmp_path / "f")
    found = [fingerprint(pattern)]
    copied = save(tmp_path / "g")
    assert fingerprint(copied) == found[0]
    for what in changes(tmp_path / "f"):
        if what != "touched":  # the content is what counts, as of files
            found.append(fingerprint(pattern))
    assert len(set(found)) == len(found) == 4


def test_the_fingerprint_of_many_looks_at_size_time_and_middle(tmp_path, monkeypatch):
    monkeypatch.setattr("venhancer.jobs.origin.WHOLE_BYTES", 100)
    pattern = save(tmp_path / "f")
    found = [fingerprint(pattern)]
    for _ in changes(tmp_path / "f"):
        found.append(fingerprint(pattern))
    state = (tmp_path / "f" / "0001.png").stat()
    content = bytearray((tmp_path / "f" / "0001.png").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "f" / "0001.png").write_bytes(content)
    os.utime(tmp_path / "f" / "0001.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    found.append(fingerprint(pattern))
    assert len(set(found)) == 6


def test_a_target_among_the_pictures_is_refused(tmp_path):
    pattern = save(tmp_path / "f")
    for name in ("0002.png", "0099.png", "5.png"):
        with pytest.raises(InputError, match="matches the pictures of"):
            check_target(tmp_path / "f" / name, pattern, overwrite=True)
    check_target(tmp_path / "f" / "out.png", pattern, overwrite=False)
    check_target(tmp_path / "0099.png", pattern, overwrite=False)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("0007.png", "%04d.png"),
        ("7.png", "%d.png"),
        ("0.png", "%d.png"),
        ("a2_070.b.jpg", "a2_%03d.b.jpg"),
        ("a.png", None),
        ("1%2.png", None),
    ],
)
def test_patterns_are_told_from_names(name, pattern):
    assert pattern_of(Path("f") / name) == (pattern and Path("f") / pattern)


@pytest.mark.parametrize("suffix", [".jxl", ".heic", ".tga", ".avif", ".TGA"])
def test_pictures_of_other_kinds_are_there_and_not_read(tmp_path, suffix):
    for number in (1, 2):
        (tmp_path / f"a{number}{suffix}").write_bytes(b"of a program")
    hint = f"{suffix} is not supported; convert it to PNG or TIFF, with 16 bits if it has more than 8"
    assert hint in refused(tmp_path / f"a%d{suffix}")
    assert hint in refused(tmp_path / f"a1{suffix}")
    (tmp_path / f"a4{suffix}").touch()
    assert f"a3{suffix} is missing" in refused(tmp_path / f"a%d{suffix}")
    assert "cannot be read; check the path" in refused(tmp_path / f"b{suffix}")
