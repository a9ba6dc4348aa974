"""Which part of a stored picture is shown, and how it is turned.

Cameras store what the sensor saw and write beside it which way up that was. Networks know the world upright and some
targets cannot carry such a note, so frames are turned as they are read, and results need no note.
"""

import struct
from typing import Literal, NamedTuple

import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import Shaped

from venhancer.errors import InputError

ONE = 1 << 16  # of the display matrix: 16.16 fixed point (ISO/IEC 14496-12, 6.2.2)


class Orientation(NamedTuple):
    """Rows and columns exchanged first, and then reversed."""

    is_transposed: bool = False
    rows_reversed: bool = False
    columns_reversed: bool = False

    @property
    def rotation(self) -> Literal[0, 90, 180, 270]:
        """Degrees anticlockwise, after mirroring left and right if it is mirrored."""
        if self.is_transposed:
            return 90 if self.rows_reversed != self.is_mirrored else 270
        return 180 if self.rows_reversed else 0

    @property
    def is_mirrored(self) -> bool:
        """Whether it is more than a rotation."""
        return self.is_transposed ^ self.rows_reversed ^ self.columns_reversed

    @property
    def inverse(self) -> "Orientation":
        """What makes the stored picture of the upright one."""
        if self.is_transposed:
            return self._replace(rows_reversed=self.columns_reversed, columns_reversed=self.rows_reversed)
        return self

    def describe(self) -> str:
        """Return it in words, empty if nothing is turned."""
        turned = [f"rotated by {self.rotation} degrees anticlockwise"] if self.rotation else []
        return " and ".join([*(["mirrored"] if self.is_mirrored else []), *turned])


class Border(NamedTuple):
    """Pixels of a stored picture that are not shown, before it is turned."""

    above: int = 0
    below: int = 0
    left: int = 0
    right: int = 0


UPRIGHT, NO_BORDER = Orientation(), Border()
EXIF = {  # by the tag's value: where the first row and the first column of what is stored belong (CIPA DC-008, 4.6.4)
    1: UPRIGHT,
    2: Orientation(columns_reversed=True),
    3: Orientation(rows_reversed=True, columns_reversed=True),
    4: Orientation(rows_reversed=True),
    5: Orientation(is_transposed=True),
    6: Orientation(is_transposed=True, columns_reversed=True),
    7: Orientation(is_transposed=True, rows_reversed=True, columns_reversed=True),
    8: Orientation(is_transposed=True, rows_reversed=True),
}


def orientation_of(frame: VideoFrame, name: object) -> Orientation:
    """Return how a player turns `frame`.

    Args:
        frame: as decoded.
        name: of the file, for the error.

    Raises:
        InputError: by no multiple of a quarter turn.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return UPRIGHT
    a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])  # (x, y) is shown at (a x + c y, b x + d y)
    match [round(value / ONE, 2) for value in (a, b, c, d)]:
        case [1 | -1, 0, 0, 1 | -1]:
            return Orientation(is_transposed=False, rows_reversed=d < 0, columns_reversed=a < 0)
        case [0, 1 | -1, 1 | -1, 0]:
            return Orientation(is_transposed=True, rows_reversed=b < 0, columns_reversed=c < 0)
    turned = f"{name} must be shown rotated by {frame.rotation} degrees"
    raise InputError(f"{turned}; only quarter turns are possible: rotate it upright first")


def cut_off(picture: Shaped[np.ndarray, "h w channels"], border: Border) -> Shaped[np.ndarray, "h2 w2 channels"]:
    """Return the visible part of a picture, without copying it."""
    height, width = picture.shape[:2]
    return picture[border.above : height - border.below, border.left : width - border.right]


def turn_upright(
    picture: Shaped[np.ndarray, "h w channels"], orientation: Orientation
) -> Shaped[np.ndarray, "h2 w2 channels"]:
    """Return the picture as it is shown, in its own memory if it had to be turned."""
    turned = picture.swapaxes(0, 1) if orientation.is_transposed else picture
    turned = turned[::-1] if orientation.rows_reversed else turned
    return np.ascontiguousarray(turned[:, ::-1] if orientation.columns_reversed else turned)
