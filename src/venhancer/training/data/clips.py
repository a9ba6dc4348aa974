"""The pixels of a draw, from wherever the clip is kept: a video file, a prepared array, or either in a tar shard.

Arrays are mapped into memory, so that only what is cropped is read; videos are decoded from the key frame before. Of a
shard, only the member's own bytes are touched.
"""

import io
from pathlib import Path

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from numpy.lib import format as npy

from venhancer.errors import InputError
from venhancer.media.reading.seeking import SMALLER, Timeline, read_numbered
from venhancer.training.data.draws import Draw
from venhancer.training.data.manifest import ClipEntry

Frames = UInt8[np.ndarray, "f h w 3"]


def read_draw(draw: Draw, folder: Path) -> Frames:
    """Return the frames of a draw, cropped, mirrored and reversed as it says.

    Args:
        draw: which pixels.
        folder: of the manifest, which its paths are relative to.

    Raises:
        InputError: the clip is missing, damaged or not what its entry says.
    """
    entry = draw.entry
    size = draw.size if draw.size != (entry.height, entry.width) else None
    frames = _of_array(draw, folder, size) if is_array(entry) else _of_video(draw, folder, size)
    if draw.mirrored:
        frames = frames[:, :, ::-1]
    if draw.reversed:
        frames = frames[::-1]
    return np.ascontiguousarray(frames)


def is_array(entry: ClipEntry) -> bool:
    """Tell whether a clip is a prepared array."""
    return entry.path.endswith(".npy")


def timeline(entry: ClipEntry) -> Timeline:
    """Return what the frames of a video clip are found by."""
    return Timeline(
        begin=entry.begin,
        rate=entry.rate,
        color_matrix=entry.color_matrix,
        full_range=entry.full_range,
        rotation=entry.rotation,
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
        raise InputError(f"{path}: {entry.path} is {dtype} of shape {shape}; an array must be uint8 of frames, h, w, 3")
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
    chosen = array[first : last + 1 : step or 1] if numbers == even else array[numbers]
    if size is None:
        return chosen[:, draw.top : draw.top + draw.height, draw.left : draw.left + draw.width]
    return np.stack([_crop(_resized(picture, size), draw) for picture in chosen])


def _of_video(draw: Draw, folder: Path, size: tuple[int, int] | None) -> Frames:
    entry = draw.entry
    numbers = [entry.start + number for number in draw.numbers]
    if entry.shard is None:
        pictures = read_numbered(folder / entry.path, timeline(entry), numbers, size=size)
        return np.stack([_crop(picture, draw) for picture in pictures])
    with ShardMember(folder / entry.shard, entry.offset, entry.bytes) as content:
        name = folder / entry.shard / entry.path
        pictures = read_numbered(name, timeline(entry), numbers, content=io.BufferedReader(content), size=size)
        return np.stack([_crop(picture, draw) for picture in pictures])


def _crop(picture: UInt8[np.ndarray, "h w 3"], draw: Draw) -> UInt8[np.ndarray, "h2 w2 3"]:
    if picture.shape[:2] != draw.size:
        size, told = (f"{shape[1]}x{shape[0]}" for shape in (picture.shape, draw.size))
        raise InputError(f"{draw.entry.name} is {size}, not {told} as the manifest says; index it again")
    return picture[draw.top : draw.top + draw.height, draw.left : draw.left + draw.width]


def _resized(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return VideoReformatter().reformat(frame, width=size[1], height=size[0], interpolation=SMALLER).to_ndarray()


class ShardMember(io.RawIOBase):
    """The bytes of one member of a tar file, as a file of their own that can be searched."""

    def __init__(self, shard: Path, offset: int, size: int) -> None:
        super().__init__()
        try:
            self.file = shard.open("rb", buffering=0)
        except OSError as error:
            raise InputError(f"shard {shard} cannot be read ({error.strerror}); check the path") from error
        self.offset, self.size, self.position = offset, size, 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be searched."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position and return it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        self.position = max(0, origin + offset)
        return self.position

    def tell(self) -> int:
        """Return the position."""
        return self.position

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Fill a buffer as far as the member goes and return how many bytes that was."""
        room = memoryview(buffer)[: max(0, self.size - self.position)]
        self.file.seek(self.offset + self.position)
        count = self.file.readinto(room) if len(room) else 0
        self.position += count
        return count

    def close(self) -> None:
        """Close the tar file."""
        self.file.close()
        super().close()
