"""Numbered pictures and animations: every frame, in order, exactly where it can be, whole or not at all."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from media.clips import number_of, picture
from venhancer.errors import InputError, JobFailed
from venhancer.media.writing.encoders import pixel_formats
from venhancer.media.writing.pictures_out import check_numbering
from venhancer.media.writing.writer import put_together, write_segment, write_video
from venhancer.media.writing.writing import Writing

COUNT = 7


def writing(codec: str, pixel_format: str = "", **changes) -> Writing:
    given = {"width": 64, "height": 48, "rate": Fraction(25), "codec": codec, "pixel_format": pixel_format}
    return Writing(**{**given, **changes})


def segments(folder: Path, plan: Writing, frames) -> list[Path]:
    """Write frames as two segments, the first of three."""
    frames = list(frames)
    parts = [(folder / "one.mkv", frames[:3]), (folder / "two.mkv", frames[3:])]
    return [write_segment(path, part, plan) for path, part in parts]


@pytest.mark.parametrize(("codec", "suffix"), [("png", ".png"), ("tiff", ".tif")])
def test_numbered_pictures_are_the_frames_bit_for_bit(tmp_path, codec, suffix):
    frames = [picture(number) for number in range(COUNT)]
    target = tmp_path / "frames" / f"%04d{suffix}"
    plan = writing(codec)
    put_together(tmp_path / "made", target, segments(tmp_path, plan, frames), plan, None)
    names = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert names == [f"{number:04d}{suffix}" for number in range(1, COUNT + 1)]
    for name, frame in zip(names, frames, strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "made" / name).convert("RGB")), frame)


def test_deep_and_transparent_pictures_keep_all_bits(tmp_path):
    import cv2

    random = np.random.default_rng(0)
    frames = [random.integers(0, 65536, (48, 64, 4), dtype=np.uint16) for _ in range(COUNT)]
    plan = writing("png", "rgba64be")
    put_together(tmp_path / "made", tmp_path / "f" / "a%d.png", segments(tmp_path, plan, frames), plan, None)
    for number, frame in enumerate(frames, start=1):
        read = cv2.imread(str(tmp_path / "made" / f"a{number}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA), frame)


@pytest.mark.parametrize(("codec", "suffix", "error"), [("gif", ".gif", 8), ("webp", ".webp", 5)])
def test_animations_show_every_frame_at_its_time(tmp_path, codec, suffix, error):
    frames = [picture(number) for number in range(COUNT)]
    target = write_video(tmp_path / f"a{suffix}", iter(frames), writing(codec), None)
    with Image.open(target) as animation:
        assert animation.n_frames == COUNT
        assert animation.info.get("loop") == 0
        for number, shown in enumerate(ImageSequence.Iterator(animation)):
            rgb = np.asarray(shown.convert("RGB"))
            assert number_of(rgb) == number
            assert np.abs(rgb.astype(int) - frames[number]).mean() < error
            assert shown.info["duration"] == pytest.approx(40, abs=1) or number == COUNT - 1


def test_lossless_webp_keeps_transparency_exactly(tmp_path):
    assert "bgra" in pixel_formats("webp")
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (48, 64, 4), dtype=np.uint8) for _ in range(3)]
    for frame in frames:
        frame[..., 3] = np.maximum(frame[..., 3], 1)
    target = write_video(tmp_path / "a.webp", iter(frames), writing("webp", "bgra"), None)
    with Image.open(target) as animation:
        found = [np.asarray(shown.convert("RGBA")) for shown in ImageSequence.Iterator(animation)]
    assert all(np.array_equal(*pair) for pair in zip(found, frames, strict=True))


def test_a_damaged_segment_leaves_no_target(tmp_path):
    plan = writing("gif")
    parts = segments(tmp_path, plan, map(picture, range(COUNT)))
    parts[1].write_bytes(b"no video")
    with pytest.raises(JobFailed, match=r"two\.mkv is damaged"):
        put_together(tmp_path / "a.gif", tmp_path / "a.gif", parts, plan, None)
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize("name", ["%d%d.png", "%s.png", "%5%d.png", "%1000000d.png"])
def test_a_name_must_have_place_for_one_number(tmp_path, name):
    with pytest.raises(InputError, match="has no number pattern"):
        check_numbering(tmp_path / "new" / name)


@pytest.mark.parametrize(("name", "pixel_format"), [("a.png", "rgb48be"), ("a.tif", "rgb48le"), ("a.png", "rgb24")])
def test_one_frame_makes_one_picture(tmp_path, name, pixel_format):
    import cv2

    kind = np.uint16 if "48" in pixel_format else np.uint8
    frame = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (48, 64, 3), dtype=kind)
    target = write_video(tmp_path / name, [frame], writing("png" if "png" in name else "tiff", pixel_format), None)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert np.array_equal(cv2.imread(str(target), cv2.IMREAD_UNCHANGED)[..., ::-1], frame)


def test_several_frames_make_no_single_picture(tmp_path):
    with pytest.raises(ValueError, match="too many values"):
        write_video(tmp_path / "a.png", map(picture, range(2)), writing("png"), None)
    assert not list(tmp_path.iterdir())


def test_numbered_pictures_go_into_a_folder_of_their_own(tmp_path):
    check_numbering(tmp_path / "new" / "%d.png")
    (tmp_path / "old.txt").touch()
    with pytest.raises(InputError, match="exists and is not empty"):
        check_numbering(tmp_path / "%d.png")
    with pytest.raises(InputError, match="needs a folder of its own"):
        check_numbering(Path("%d.png"))
