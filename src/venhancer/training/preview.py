"""Pictures of a run at work: input, output and target side by side, and how one row of pixels moves."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

Clip = UInt8[np.ndarray, "_ _ _ 3"]
Picture = UInt8[np.ndarray, "_ _ 3"]

FRAMES_SHOWN = 4
ROWS_A_FRAME = 8
LINE, HEAD = 2, 14
WHITE = 255


def sample_picture(clips: Mapping[str, Clip]) -> Picture:
    """Return a few frames of each clip, a frame a row and a clip a column, under the clips' names."""
    frames = min(len(clip) for clip in clips.values())
    chosen = np.unique(np.linspace(0, frames - 1, FRAMES_SHOWN).round().astype(int))
    return _side_by_side({name: _join([clip[index] for index in chosen], axis=0) for name, clip in clips.items()})


def motion_picture(clips: Mapping[str, Clip]) -> Picture:
    """Return the middle row of pixels of each clip over time, downwards, side by side under the clips' names."""
    middles = {name: clip[:, clip.shape[1] // 2] for name, clip in clips.items()}
    return _side_by_side({name: np.repeat(rows, ROWS_A_FRAME, axis=0) for name, rows in middles.items()})


def as_png(picture: Picture) -> bytes:
    """Return a picture as the content of a PNG file."""
    content = BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def _side_by_side(columns: Mapping[str, Picture]) -> Picture:
    heads = [_name(name, column.shape[1]) for name, column in columns.items()]
    return _join([_join(heads, axis=1), _join(list(columns.values()), axis=1)], axis=0)


def _name(name: str, width: int) -> Picture:
    head = Image.new("RGB", (width, HEAD), "white")
    ImageDraw.Draw(head).text((2, 1), name, fill="black")
    return np.asarray(head)


def _join(parts: Sequence[Picture], axis: int) -> Picture:
    """Return pictures one after the other with a white line between."""
    shape = list(parts[0].shape)
    shape[axis] = LINE
    line = np.full(shape, WHITE, dtype=np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, line)][:-1], axis=axis)
