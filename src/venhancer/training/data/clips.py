"""The pixels of a draw, from wherever the clip is kept: a video file, a prepared array, or either in a tar shard.

Arrays are mapped into memory, so that only what is cropped is read; videos are decoded from the key frame before. Of a
shard, only the member's own bytes are touched.
"""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import UInt8
from numpy.lib import format as npy

from venhancer.errors import InputError
from venhancer.frames.levels import Frames
from venhancer.media.reading.seeking import FrameAccess, read_numbered, resized
from venhancer.training.data.draws import Draw
from venhancer.training.data.manifest import ClipEntry


def read_draw(draw: Draw, folder: Path) -> Frames:
    """Return the frames of a draw, cropped, mirrored and reversed accordingly; paths are relative to `folder`.

    Raises:
        InputError: the clip is missing, damaged or differs from its entry.
    """
    entry = draw.entry
    size = draw.size if draw.size != (entry.height, entry.width) else None
    frames = _of_array(draw, folder, size) if is_array(entry) else _of_video(draw, folder, size)
    times, columns = (slice(None, None, -1 if is_turned else 1) for is_turned in (draw.reversed, draw.mirrored))
    return np.ascontiguousarray(frames[times, :, columns])


def is_array(entry: ClipEntry) -> bool:
    """Tell whether a clip is a prepared array."""
    return entry.path.endswith(".npy")


def access(entry: ClipEntry) -> FrameAccess:
    """Return what the frames of a video clip are found by."""
    return FrameAccess(
        begin=entry.begin,
        rate=entry.rate,
        color_matrix=entry.color_matrix,
        full_range=entry.full_range,
        orientation=entry.orientation,
        border=entry.border,
        chroma_location=entry.chroma_location,
    )


def open_array(entry: ClipEntry, folder: Path) -> Frames:
    """Return the whole array that an entry's clip is part of, mapped and not read.

    Raises:
        InputError: missing, damaged, or not `f h w 3` of eight bits.
    """
    path = folder / (entry.shard or entry.path)
    try:
        with path.open("rb") as file:
            file.seek(entry.offset)
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, is_fortran, dtype = read_header(file)
            array = np.memmap(file, dtype=dtype, mode="r", offset=file.tell(), shape=shape)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {entry.path} cannot be read ({error}); prepare it again") from error
    if is_fortran or dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise InputError(
            f"{path}: {entry.path} is {dtype} of shape {shape}; arrays must be uint8 with the shape (frames, height, "
            f"width, 3)"
        )
    return array


def _of_array(draw: Draw, folder: Path, size: tuple[int, int] | None) -> Frames:
    entry = draw.entry
    array = open_array(entry, folder)
    first, last = (entry.start + number for number in (draw.numbers[0], draw.numbers[-1]))
    if last >= len(array) or array.shape[1:3] != (entry.height, entry.width):
        shape = f"{array.shape[2]}x{array.shape[1]} with {len(array)} frames"
        raise InputError(f"{folder / entry.path} is {shape}, not what the manifest says; index it again")
    step = (last - first) // max(1, len(draw.numbers) - 1)
    even = list(range(first, last + 1, step or 1))
    numbers = [entry.start + number for number in draw.numbers]
    pictures = array[first : last + 1 : step or 1] if numbers == even else array[numbers]
    if size is None:
        return pictures[:, *draw.crop]
    return np.stack([_crop(resized(picture, size), draw) for picture in pictures])


def _of_video(draw: Draw, folder: Path, size: tuple[int, int] | None) -> Frames:
    entry = draw.entry
    numbers = [entry.start + number for number in draw.numbers]
    member = nullcontext() if entry.shard is None else open_member(folder / entry.shard, entry.offset, entry.bytes)
    with member as content:
        name = folder / (entry.shard or "") / entry.path
        pictures = read_numbered(name, access(entry), numbers, content=content, size=size)
        return np.stack([_crop(picture, draw) for picture in pictures])


@contextmanager
def open_member(shard: Path, offset: int, size: int) -> Iterator[io.BufferedReader]:
    """Give the bytes of one member of a tar file as a file of their own; nothing before them is read but one head.

    Raises:
        InputError: the shard cannot be read, or ends too early.
    """
    member = tarfile.TarInfo()
    member.offset_data, member.size = offset, size
    try:
        with tarfile.open(shard, "r:") as tar, cast("io.BufferedReader", tar.extractfile(member)) as content:
            yield content
    except (tarfile.TarError, OSError) as error:  # the first as well where the shard ends within the member
        raise InputError(f"shard {shard} cannot be read ({error}); check the path, or pack it again") from error


def _crop(picture: UInt8[np.ndarray, "h w 3"], draw: Draw) -> UInt8[np.ndarray, "h2 w2 3"]:
    if picture.shape[:2] != draw.size:
        size, stated = (f"{shape[1]}x{shape[0]}" for shape in (picture.shape, draw.size))
        raise InputError(f"{draw.entry.name} is {size}, not {stated} as the manifest says; index it again")
    return picture[draw.crop]
