"""Single pictures: every bit of them, upright, as sRGB, and nothing that they hold dropped without a word."""

import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from media.clips import picture
from venhancer.errors import InputError
from venhancer.media.reading.isolation import inspect, search_clip
from venhancer.media.reading.probe import probe
from venhancer.media.reading.reader import FrameReader, read_frames
from venhancer.media.stills.picture_clip import PictureDecoder

PIXELS = picture(5)
KINDS = {".png": {}, ".tif": {}, ".bmp": {}, ".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}


def read(path: Path) -> np.ndarray:
    """Return the only frame of a picture, read the way it is enhanced."""
    (frame,) = read_frames(probe(path))
    return frame


def noise(channels: int) -> np.ndarray:
    shape = (48, 64) if channels == 1 else (48, 64, channels)
    return np.random.default_rng(channels).integers(0, 65536, shape, dtype=np.uint16)


def save(path: Path, mode: str = "RGB", **options) -> Path:
    Image.fromarray(PIXELS).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", KINDS)
def test_a_picture_is_a_clip_of_one_frame(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", **KINDS[suffix])
    clip = probe(path)
    assert (clip.kind, clip.frames, clip.width, clip.height, clip.depth) == ("still", 1, 64, 48, 8)
    assert (clip.rate, clip.duration, clip.has_audio, clip.tracks) == (24, Fraction(1, 24), False, ())
    assert not clip.has_alpha
    assert clip.not_kept == ()
    off = np.abs(read(path).astype(int) - PIXELS)
    assert off.mean() < 1.5 if suffix == ".jpg" else not off.any()


def test_the_child_that_looks_first_says_the_same(tmp_path):
    path = save(tmp_path / "a.png")
    clip = probe(path)
    assert inspect(path) == clip
    assert search_clip(clip).cuts == ()


def test_the_content_decides_and_not_the_name(tmp_path):
    save(tmp_path / "a.png").rename(tmp_path / "a.mp4")
    assert probe(tmp_path / "a.mp4").codec == "png"
    assert np.array_equal(read(tmp_path / "a.mp4"), PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_arrive_as_they_are(tmp_path, suffix, channels):
    pixels = noise(channels)
    stored = pixels if channels == 1 else pixels[..., ::-1]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.ascontiguousarray(stored))
    clip = probe(tmp_path / f"a{suffix}")
    assert (clip.depth, clip.pixel_format) == (16, "rgb48le")
    wanted = pixels if channels == 3 else np.stack([pixels] * 3, -1)
    assert np.array_equal(read(tmp_path / f"a{suffix}"), wanted)


@pytest.mark.parametrize("compression", [1, 5, 8, 32946])
@pytest.mark.parametrize("predictor", [1, 2])
def test_compressed_tiff_of_sixteen_bits_arrives_as_it_is(tmp_path, compression, predictor):
    pixels = noise(3)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    cv2.imwrite(str(tmp_path / "a.tif"), np.ascontiguousarray(pixels[..., ::-1]), options)
    assert np.array_equal(read(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_transparency_of_sixteen_bits_is_laid_over_the_background(tmp_path, suffix):
    pixels = noise(4)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    clip = probe(tmp_path / f"a{suffix}")
    assert clip.has_alpha
    (shown,) = read_frames(replace(clip, background=(255, 0, 0)))
    share = pixels[..., 3:] / 65535
    wanted = share * pixels[..., :3] + (1 - share) * np.array([65535, 0, 0])
    assert np.abs(shown - wanted).max() <= 1


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", ".png"), ("RGBA", ".webp"), ("LA", ".png"), ("RGBA", ".tif")])
def test_transparency_is_seen_only_where_there_is_some(tmp_path, mode, suffix):
    image = Image.fromarray(PIXELS).convert(mode)
    image.save(tmp_path / f"a{suffix}", **KINDS[suffix])
    assert not probe(tmp_path / f"a{suffix}").has_alpha
    image.putpixel((63, 47), (*image.getpixel((0, 0))[:-1], 254))
    image.save(tmp_path / f"a{suffix}", **KINDS[suffix])
    assert probe(tmp_path / f"a{suffix}").has_alpha


def test_one_transparent_colour_is_transparency(tmp_path):
    save(tmp_path / "a.png", transparency=tuple(int(part) for part in PIXELS[20, 20]))
    palette = Image.fromarray(PIXELS).quantize(16)
    palette.save(tmp_path / "b.png", transparency=palette.getpixel((3, 30)))
    assert probe(tmp_path / "a.png").has_alpha
    assert probe(tmp_path / "b.png").has_alpha


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_grey_and_palettes_become_rgb(tmp_path, mode, suffix):
    path = save(tmp_path / f"a{suffix}", mode)
    with Image.open(path) as opened:
        assert np.array_equal(read(path), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_pictures_are_turned_as_exif_says(tmp_path, tag, suffix):
    exif = Image.Exif()
    exif[274] = tag
    path = save(tmp_path / f"a{suffix}", exif=exif, **KINDS[suffix])
    clip = probe(path)
    with Image.open(path) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened))
    assert (clip.height, clip.width) == wanted.shape[:2]
    assert bool(clip.orientation.describe()) == (tag != 1)
    assert clip.not_kept == ()
    assert np.array_equal(read(path), wanted)


def test_deep_tiff_is_turned_as_its_tag_says(tmp_path):
    """Pillow turns TIFF by itself, and libav, which reads this one, does not."""
    pixels = noise(3)
    (tmp_path / "a.tif").write_bytes(deep_tiff(pixels, {274: 6}))
    clip = probe(tmp_path / "a.tif")
    assert (clip.width, clip.height, clip.orientation.rotation) == (48, 64, 270)
    assert np.array_equal(read(tmp_path / "a.tif"), np.rot90(pixels, -1))


def deep_tiff(pixels: np.ndarray, more: dict[int, int]) -> bytes:
    """Return an uncompressed TIFF of 16 bits with whatever other tags of one short value."""
    height, width, channels = pixels.shape
    data, begin, short, long = pixels.astype("<u2").tobytes(), 16, 3, 4
    bits = struct.pack("<8H", *[16] * 8)
    entries = {256: (short, 1, width), 257: (short, 1, height), 258: (short, channels, begin), 259: (short, 1, 1)}
    entries |= {262: (short, 1, 2), 273: (long, 1, begin + 16), 277: (short, 1, channels), 278: (short, 1, height)}
    entries |= {279: (long, 1, len(data))} | {tag: (short, 1, value) for tag, value in more.items()}
    if channels == 1:
        entries[258] = (short, 1, 16)
    table = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    head = struct.pack("<2sHI8x", b"II", 42, begin + 16 + len(data))
    return head + bits + data + struct.pack("<H", len(entries)) + table + bytes(4)


@pytest.mark.parametrize(("tags", "word"), [({262: 0}, "with white as 0"), ({338: 1}, "premultiplied colours")])
def test_deep_tiff_of_rare_kinds_is_refused(tmp_path, tags, word):
    (tmp_path / "a.tif").write_bytes(deep_tiff(noise(1)[..., None] if 262 in tags else noise(4), tags))
    with pytest.raises(InputError, match=word):
        probe(tmp_path / "a.tif")


def wide_profile() -> bytes:
    """Return a profile whose colours are those of sRGB but for the order of the three: easy to see and to undo."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"zXYZ").replace(b"gXYZ", b"rXYZ").replace(b"zXYZ", b"gXYZ")
    assert swapped != srgb
    return swapped


@pytest.mark.parametrize(("mode", "suffix"), [("RGB", ".jpg"), ("RGB", ".png"), ("RGBA", ".png"), ("P", ".png")])
def test_colours_of_a_profile_become_srgb(tmp_path, mode, suffix):
    path = save(tmp_path / f"a{suffix}", mode, icc_profile=wide_profile(), **KINDS[suffix])
    plain = save(tmp_path / f"b{suffix}", mode, **KINDS[suffix])
    (told,) = probe(path).not_kept
    assert told.startswith("the colour profile sRGB")
    assert told.endswith("(converted to sRGB)")
    off = np.abs(read(path).astype(int) - read(plain)[..., [1, 0, 2]])
    assert off.max() <= 3


def test_a_profile_of_srgb_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = save(tmp_path / "a.png", icc_profile=profile)
    assert probe(path).not_kept == ()
    assert np.array_equal(read(path), PIXELS)


def test_a_profile_of_no_use_is_named(tmp_path):
    for number, profile in enumerate(
        [b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
    ):
        path = save(tmp_path / f"{number}.png", icc_profile=profile)
        assert probe(path).not_kept == ("a colour profile that does not fit these pixels",)
        assert np.array_equal(read(path), PIXELS)


def test_deep_colours_of_a_profile_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), noise(3))
    with_profile(tmp_path / "a.png", wide_profile())
    with pytest.raises(InputError, match="converted in 8 bits only; convert it to sRGB first"):
        probe(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.png"), noise(3))
    with_profile(tmp_path / "a.png", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.array_equal(read(tmp_path / "a.png"), noise(3)[..., ::-1])


def with_profile(path: Path, profile: bytes) -> None:
    """Put a profile into a PNG."""
    add_chunk(path, b"iCCP", b"x\0\0" + zlib.compress(profile))


def add_chunk(path: Path, kind: bytes, data: bytes) -> None:
    content = path.read_bytes()
    chunk = len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    path.write_bytes(content[:33] + chunk + content[33:])


def test_colour_tags_of_a_png_are_read(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), noise(3))
    add_chunk(tmp_path / "a.png", b"cICP", bytes([9, 16, 0, 1]))
    clip = probe(tmp_path / "a.png")
    assert (clip.color_primaries, clip.color_transfer, clip.transfer) == (9, 16, "pq")


def test_what_is_no_pixel_is_named(tmp_path):
    exif = Image.Exif()
    exif[274] = 1
    exif.get_ifd(0x8769)[0x829A] = 0.01
    exif[315] = "somebody"
    path = save(tmp_path / "a.jpg", exif=exif, xmp=b"<x/>", comment=b"hello")
    assert probe(path).not_kept == ("EXIF data", "XMP data", "text")
    said = PngInfo()
    said.add_text("Title", "a picture")
    assert probe(save(tmp_path / "a.png", pnginfo=said)).not_kept == ("text",)
    assert probe(save(tmp_path / "a.tif", exif=exif)).not_kept == ("text",)


def others() -> list[Image.Image]:
    return [Image.fromarray(picture(number)) for number in range(1, 3)]


def test_further_pictures_in_a_file_are_named_or_refused(tmp_path):
    film = save(tmp_path / "a.jpg")
    film.write_bytes(film.read_bytes() + film.read_bytes())
    assert probe(film).not_kept == ("further pictures in the file",)
    save(tmp_path / "b.jpg", format="MPO", save_all=True, append_images=others())
    assert probe(tmp_path / "b.jpg").not_kept == ("further pictures in the file (2)",)
    save(tmp_path / "a.tif", save_all=True, append_images=others())
    with pytest.raises(InputError, match="has 3 pages; save the page you want"):
        probe(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", ".jpg"), ("CMYK", ".tif"), ("LAB", ".tif"), ("F", ".tif"), ("I", ".tif")]
)
def test_other_kinds_of_pixels_are_refused_in_a_line(tmp_path, mode, suffix):
    image = Image.fromarray(PIXELS).convert("L" if mode in "FI" else "RGB")
    image = Image.new("LAB", (64, 48)) if mode == "LAB" else image.convert(mode)
    image.save(tmp_path / f"a{suffix}")
    with pytest.raises(InputError, match=f"is stored as {mode}; only grey and RGB with 8 or 16 bits are supported"):
        probe(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("is_deep", [False, True])
def test_a_picture_cut_short_is_refused_in_a_line(tmp_path, suffix, is_deep):
    path = tmp_path / f"a{suffix}"
    if is_deep and suffix in (".png", ".tif"):
        cv2.imwrite(str(path), noise(3))
    else:
        save(path, **KINDS[suffix])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError) as refused:
        probe(path)
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".bmp"])
def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(tmp_path, suffix, monkeypatch):
    Image.new("L", (4000, 3000)).convert("RGB").save(tmp_path / f"a{suffix}", **KINDS[suffix])
    monkeypatch.setenv("VENHANCER_LIMITS", "pixels=1000000")
    with pytest.raises(InputError, match="4000x3000; at most"):
        probe(tmp_path / f"a{suffix}")


def test_a_small_file_of_a_huge_picture_is_refused(tmp_path):
    path = save(tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(InputError, match="too large"):
        probe(path)


def test_a_picture_that_changes_is_noticed(tmp_path):
    path = save(tmp_path / "a.png")
    clip = probe(path)
    save(path, optimize=True, compress_level=1)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(InputError, match="has changed since it was inspected"):
        list(read_frames(clip))


def test_frames_come_again_after_closing(tmp_path):
    clip = probe(save(tmp_path / "a.png"))
    with FrameReader(clip) as reader:
        first = list(reader.read([0, 0]))
        reader.close()
        again = list(reader.read([0]))
    assert all(np.array_equal(frame, PIXELS) for frame in (*first, *again))
    decoder = PictureDecoder(clip)
    assert decoder.frame(0).format.name == "rgb24"
    decoder.close()
