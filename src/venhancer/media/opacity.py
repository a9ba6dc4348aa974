"""Whether anything behind a picture would show through it."""

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

OPAQUE = 253 / 255  # from here on; codecs with loss, such as VP9, move what is opaque by a level or two


def may_show_through(format_: VideoFormat) -> bool:
    """Return whether pictures of a format can be transparent; of those with a palette, each colour can."""
    return format_.name == "pal8" or any(part.is_alpha for part in format_.components)


def shows_through(picture: VideoFrame) -> bool:
    """Return whether some pixel of a picture is not opaque."""
    format_ = picture.format
    if not may_show_through(format_):
        return False
    bits = format_.components[-1].bits
    if format_.is_planar and len(picture.planes) == 4 and bits <= 16:
        return _lowest(picture, bits) < OPAQUE
    return bool(picture.reformat(format="rgba").to_ndarray()[..., 3].min() < OPAQUE * 255)


def _lowest(picture: VideoFrame, bits: int) -> float:
    """Return the least opacity, 0 to 1, of a picture that has a plane of its own for it; nothing is converted."""
    plane = picture.planes[3]
    kind = np.dtype(np.uint16 if bits > 8 else np.uint8).newbyteorder(">" if picture.format.is_big_endian else "<")
    rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)
    return float(rows[:, : plane.width].min()) / ((1 << bits) - 1)
