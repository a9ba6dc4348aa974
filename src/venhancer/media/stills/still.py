"""One picture file as pixels: what it is before it is decoded, and then its colours as sRGB in all their bits.

Pillow reads everything of 8 bits. It cuts 16 bits to 8, so those are decoded by libav, which is given the bytes of the
file and nothing to open. Pixels come as they are stored; the caller turns them (`Look.orientation`).
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt16
from PIL import Image

from venhancer.errors import InputError
from venhancer.media.colour import UNSET_OPACITY, UNSPECIFIED, Pixels
from venhancer.media.orientation import EXIF, UPRIGHT, Orientation, turn_upright
from venhancer.media.source import Identity, open_file, open_picture, open_unchanged
from venhancer.media.stills.film_pictures import SIGNATURES as FILM_SIGNATURES
from venhancer.media.stills.film_pictures import decode_film, decode_picture, film_codec, film_pixels, stored_levels
from venhancer.media.stills.profiles import describe_profile, has_foreign_colours, name_of, to_srgb

SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", *FILM_SIGNATURES)
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr", "I;16", "I;16B", "I;16L", "I;16N")
DEEP_FORMATS = ("gray16", "ya16", "rgb48", "rgba64")  # of either order of bytes
CHUNKS = 8  # where those of a PNG begin
BITS_OF_SAMPLES, PHOTOMETRIC, ORIENTATION, EXTRA_SAMPLES = 258, 262, 274, 338  # tags of TIFF 6.0
EXIF_IFD = 0x8769
WHITE_IS_ZERO, PREMULTIPLIED = 0, 1
CHROMATICITIES, HEADER = b"chromaticities\0", 1 << 16  # of EXR
FURTHER = "further pictures in the file"
SPARE = 64 << 20  # bytes that a picture file may have beside those of its pixels
WRITTEN_TAGS = {270, 271, 272, 305, 306, 315, 33432}  # of TIFF: what it shows, camera, program, day, author, rights
BROKEN = (struct.error, KeyError, IndexError, TypeError, ZeroDivisionError, OverflowError)
UNREADABLE = (*BROKEN, OSError, ValueError, SyntaxError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The facts of a picture file.

    Attributes:
        width: of the stored picture, in pixels; likewise `height`.
        codec: png, jpeg, tiff, webp or bmp.
        depth: bits of each colour: 8 or 16.
        may_be_transparent: whether there is opacity beside the colours.
        orientation: how stored pixels are turned to be upright.
        frames: pictures that are shown one after the other.
        color_primaries: tag of H.273, 2 if there is none; likewise `color_transfer`.
        not_kept: everything but pixels, in words.
    """

    width: int
    height: int
    codec: str
    depth: int = 8
    may_be_transparent: bool = False
    orientation: Orientation = UPRIGHT
    frames: int = 1
    color_primaries: int = UNSPECIFIED
    color_transfer: int = UNSPECIFIED
    not_kept: tuple[str, ...] = ()


def is_picture(path: Path) -> bool:
    """Tell by its first bytes whether a file is a picture, or an animation that Pillow reads.

    Raises:
        InputError: missing, not a regular file, or not readable.
    """
    with open_file(path) as file:
        head = file.read(16) or b""
    return head.startswith(SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


@contextmanager
def opened(path: Path, known: Identity | None = None) -> Iterator[tuple[Image.Image | None, FileIO]]:
    """Give a picture, none of whose pixels is decoded yet, and the file it is in; None for one that only libav decodes.

    Raises:
        InputError: no picture, damaged, too large, or another file than `known`.
    """
    with open_unchanged(path, known) as file:
        try:
            with nullcontext() if film_codec(file) else open_picture(path, file) as picture:
                yield picture, file
        except BROKEN as error:  # what Pillow meets in damaged headers
            raise InputError(f"{path} is damaged ({type(error).__name__}: {error}); copy it again") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow inside the block: it warns of damaged tags, and what matters raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def look(picture: Image.Image | None, file: FileIO, path: Path) -> Look:
    """Return the facts of an opened picture.

    Raises:
        InputError: its pixels are of a kind that is not read, or it holds several pages.
    """
    if picture is None:
        return _look_at_film(file, path)
    with quiet():
        return _look(picture, file, path)


def _look_at_film(file: FileIO, path: Path) -> Look:
    codec, frame = film_codec(file), decode_film(file, path)
    pixels, is_cut = film_pixels(frame)
    has_primaries = codec == "exr" and CHROMATICITIES in (file.read(HEADER) or b"")
    lost = {"light brighter than white": is_cut, "chromaticities (sRGB is assumed)": has_primaries}
    return Look(
        width=frame.width,
        height=frame.height,
        codec=codec,
        depth=8 * pixels.itemsize,
        may_be_transparent=pixels.shape[-1] == 4,
        not_kept=tuple(words for words, is_lost in lost.items() if is_lost),
    )


def _look(picture: Image.Image, file: FileIO, path: Path) -> Look:
    if picture.mode not in MODES:
        raise InputError(
            f"{path} is stored as {picture.mode}; only grey and RGB with 8 or 16 bits are supported: convert it"
        )
    tags = picture.tag_v2 if picture.format == "TIFF" else {}  # pyright: ignore[reportAttributeAccessIssue]
    frames = getattr(picture, "n_frames", 1) - bool(picture.info.get("default_image"))
    if picture.format == "TIFF" and frames > 1:
        raise InputError(f"{path} has {frames} pages; save the page you want, or each as a picture")
    chunks = _chunks(file) if picture.format == "PNG" else {}
    deepest = chunks.get(b"IHDR", bytes(9))[8] if chunks else max(tags.get(BITS_OF_SAMPLES, (8,)))
    depth = 16 if deepest > 8 else 8
    if depth == 16 and (tags.get(PHOTOMETRIC) == WHITE_IS_ZERO or PREMULTIPLIED in tags.get(EXTRA_SAMPLES, ())):
        kind = "with white as 0" if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else "with premultiplied colours"
        raise InputError(f"{path} is stored {kind}, which is not supported in 16 bits; save it without that")
    primaries, transfer = (*chunks.get(b"cICP", b"")[:2], UNSPECIFIED, UNSPECIFIED)[:2]
    is_film = picture.format in ("PNG", "WEBP") and frames > 1
    stored = (tags[256], tags[257]) if tags else picture.size  # Pillow tells those of a TIFF as they are shown
    return Look(
        width=stored[0],
        height=stored[1],
        codec={"MPO": "jpeg"}.get(picture.format or "", (picture.format or "").lower()),
        depth=8 if is_film else depth,
        may_be_transparent=may_be_transparent(picture),
        orientation=EXIF.get(orientation_tag(picture), UPRIGHT),
        frames=frames if is_film else 1,
        color_primaries=primaries,
        color_transfer=transfer,
        not_kept=tuple(_not_kept(picture, frames, is_cut=is_film and depth > 8)),
    )


def read_pixels(picture: Image.Image | None, file: FileIO, known: Look, path: Path) -> Pixels:
    """Return the pixels of an opened picture as they are stored: three channels, or four if some may be transparent.

    Opacity that is 0 throughout a BMP is none: many programs never set that byte.

    Raises:
        InputError: damaged, or in colours that cannot be converted.
    """
    if picture is None:
        file.seek(0)
        return film_pixels(decode_film(file, path))[0]
    profile = picture.info.get("icc_profile")
    if known.depth > 8:
        if profile and has_foreign_colours(profile, picture.mode):
            raise InputError(
                f"{path} has the colour profile {name_of(profile)}, converted in 8 bits only; convert it to sRGB first"
            )
        return _read_deep(file, known, path)
    with quiet():
        before = orientation_tag(picture)
        picture.load()
        pixels = np.asarray(to_srgb(picture, profile, with_alpha=known.may_be_transparent))
        if known.codec in UNSET_OPACITY.split() and not pixels[..., 3:].any():
            pixels = pixels[..., :3]
        was_turned = before != orientation_tag(picture)  # by Pillow, as it does with TIFF
    return turn_upright(pixels, EXIF[before].inverse) if was_turned else pixels


def may_be_transparent(picture: Image.Image) -> bool:
    """Tell whether there is opacity beside the colours."""
    return picture.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in picture.info


def is_transparent(pixels: Pixels) -> bool:
    """Tell whether some of a picture is not opaque."""
    return pixels.shape[-1] == 4 and bool(pixels[..., 3].min() < np.iinfo(pixels.dtype).max)


def orientation_tag(picture: Image.Image) -> int:
    """Return how EXIF says a picture is turned, 1 if it does not or cannot be understood."""
    try:
        tag = picture.getexif().get(ORIENTATION, 1)
    except UNREADABLE:
        return 1
    return tag if tag in EXIF else 1


def _not_kept(picture: Image.Image, frames: int, *, is_cut: bool) -> Iterator[str]:
    """Yield what else a picture file holds, in words."""
    tags = _tags(picture)
    if tags - {ORIENTATION, *WRITTEN_TAGS} if picture.format != "TIFF" else EXIF_IFD in tags:
        yield "EXIF data"
    if picture.info.get("xmp"):
        yield "XMP data"
    texts = [value for name, value in picture.info.items() if isinstance(value, str) or name == "comment"]
    if tags & WRITTEN_TAGS or (picture.format != "TIFF" and any(texts)):
        yield "text"
    if profile := picture.info.get("icc_profile"):
        yield from describe_profile(profile, picture.mode)
    if picture.format == "MPO" and frames > 1:
        yield f"{FURTHER} ({frames - 1})"
    if picture.info.get("default_image"):
        yield "the picture for programs without animation"
    if is_cut:
        yield "16-bit depth (animated PNG is read in 8 bits)"


def _tags(picture: Image.Image) -> set[int]:
    """Return the tags of EXIF and TIFF that a picture has."""
    try:
        return set(picture.getexif())
    except UNREADABLE:
        return {EXIF_IFD}


def _chunks(file: FileIO) -> dict[bytes, bytes]:
    """Return the chunks of a PNG before its pixels, the first of each kind; none of more than 64 bytes."""
    chunks: dict[bytes, bytes] = {}
    file.seek(CHUNKS)
    while len(head := file.read(8) or b"") == 8 and head[4:] != b"IDAT":
        size = int.from_bytes(head[:4], "big")
        if size <= 64:
            chunks.setdefault(head[4:], file.read(size) or b"")
            file.seek(4, 1)
        else:
            file.seek(size + 4, 1)
    return chunks


def _read_deep(file: FileIO, known: Look, path: Path) -> UInt16[np.ndarray, "h w c"]:
    """Return the pixels of a PNG or TIFF of 16 bits."""
    most = 8 * known.width * known.height + SPARE
    file.seek(0)
    content = file.read(most + 1) or b""
    if len(content) > most:
        raise InputError(f"{path} is larger than its pixels allow; it is damaged: save it again")
    frame = decode_picture(known.codec, content, path)
    if (frame.width, frame.height) != (known.width, known.height):
        raise InputError(f"{path} is damaged or cut short; copy it again")
    name = frame.format.name
    if name[:-2] not in DEEP_FORMATS:
        raise InputError(f"{path} is stored as {name}; only grey and RGB with 8 or 16 bits are supported: convert it")
    return stored_levels(frame).astype(np.uint16)
