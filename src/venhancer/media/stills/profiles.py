"""Colours of pictures that bring a profile, as sRGB: the one meaning that pixels have here.

Phones write Display P3 and editors Adobe RGB; taken for sRGB they would come out dull. Conversion is by LittleCMS
through Pillow, in 8 bits. A profile that means sRGB anyway is left alone, and one of another kind of pixels is no use.
"""

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

GREY = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N")
CLOSE = 2  # levels of 255 by which a profile may be off sRGB and still mean it
STEPS = 9


def has_foreign_colours(profile: bytes, mode: str) -> bool:
    """Tell whether a picture of this mode has colours that are not sRGB's."""
    return _transform(profile, is_grey=mode in GREY) is not None


def describe_profile(profile: bytes, mode: str) -> Iterator[str]:
    """Yield what becomes of a profile, in words; nothing where it is sRGB's."""
    if has_foreign_colours(profile, mode):
        yield f"the colour profile {name_of(profile)} (converted to sRGB)"
    elif not _fits(profile, mode):
        yield "a colour profile that does not fit these pixels"


def name_of(profile: bytes) -> str:
    """Return what a profile calls itself, in printable letters."""
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return "no name"
    return "".join(letter for letter in description.strip() if letter.isprintable())[:60] or "no name"


def to_srgb(picture: Image.Image, profile: bytes | None, *, with_alpha: bool) -> Image.Image:
    """Return a decoded picture as RGB, or as RGBA, with the colours that its profile means."""
    transform = _transform(profile, is_grey=picture.mode in GREY) if profile else None
    straight = picture.convert("RGBA" if with_alpha else "RGB")
    if transform is None:
        return straight
    colours = straight.convert("RGB")
    if picture.mode in GREY:
        colours = colours.getchannel(0)
    converted = transform.apply(colours)
    if with_alpha:
        converted.putalpha(straight.getchannel("A"))
    return converted


def _fits(profile: bytes, mode: str) -> bool:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return False
    space = source.profile.xcolor_space  # pyright: ignore[reportAttributeAccessIssue] - a CmsProfile
    return space.strip() == ("GRAY" if mode in GREY else "RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, *, is_grey: bool) -> ImageCms.ImageCmsTransform | None:
    """Return what makes sRGB of colours; None if they are sRGB, or if the profile is of no use."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        intent, srgb = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.ImageCmsTransform(source, srgb, "L" if is_grey else "RGB", "RGB", intent)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    ramp = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    grid = ramp[None] if is_grey else np.stack(np.meshgrid(ramp, ramp, ramp), -1).reshape(1, -1, 3)
    converted_grid = np.asarray(transform.apply(Image.fromarray(grid)), np.int16)
    meant = np.repeat(grid[..., None], 3, -1) if is_grey else grid
    return transform if np.abs(converted_grid - meant).max() > CLOSE else None
