"""Whether anything behind a picture would show through it."""

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

UNUSED = "bmp ffv1 ffvhuff huffyuv hymt lagarith magicyuv mszh qtrle rawvideo sheervideo targa tscc tscc2 utvideo zlib"
"""Codecs of 32 bits a pixel, 8 of which many programs never set."""

OPAQUE = 253 / 255  # from here on; codecs with loss, such as VP9, move what is opaque by a level or two


def may_show_through(format_: VideoFormat) -> bool:
    """Return whether pictures of a format can be transparent; of those with a palette, each colour can."""
    return format_.name == "pal8" or any(part.is_alpha for part in format_.components)


def shows_through(picture: VideoFrame) -> bool:
    """Return whether some pixel of a picture is not opaque."""
    return may_show_through(picture.format) and _extremes(picture)[0] < OPAQUE


def is_clear(picture: VideoFrame) -> bool:
    """Return whether no pixel of a picture is opaque in the least."""
    return may_show_through(picture.format) and _extremes(picture)[1] == 0


def _extremes(picture: VideoFrame) -> tuple[float, float]:
    """Return the least and the most opacity, 0 to 1; nothing is converted if it has a plane of its own."""
    format_ = picture.format
    bits = format_.components[-1].bits
    if not (format_.is_planar and len(picture.planes) == 4 and bits <= 16):
        opacity = picture.reformat(format="rgba").to_ndarray()[..., 3]
        return float(opacity.min()) / 255, float(opacity.max()) / 255
    plane = picture.planes[3]
    kind = np.dtype(np.uint16 if bits > 8 else np.uint8).newbyteorder(">" if format_.is_big_endian else "<")
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    opacity, white = rows[:, : plane.width], (1 << bits) - 1
    return float(opacity.min()) / white, float(opacity.max()) / white
