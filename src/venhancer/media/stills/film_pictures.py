"""Pictures of film and effects, OpenEXR and DPX, decoded by libav: their colours as sRGB in 16 bits.

EXR holds linear light, which goes through sRGB's curve; what is brighter than white is cut off. DPX holds levels that
are shown as they are, unless its header marks them as film densities.
"""

import struct
from io import FileIO
from pathlib import Path

import av
import numpy as np
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from jaxtyping import Shaped

from venhancer.errors import InputError
from venhancer.media.colour import Pixels
from venhancer.media.limits import read_limits

SIGNATURES = {b"v/1\x01": "exr", b"SDPX": "dpx", b"XPDS": "dpx"}
TRANSFER, DENSITIES = 801, (1, 3)  # of DPX: where its header stores the curve, and the two of film (SMPTE ST 268)
TILES_OR_PARTS = 0x1A  # flags of EXR, one byte on, of files without one table of lines
LINES_OF_BLOCKS = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256)  # by compression
MOST = 1 << 30  # bytes of one file
WHITE = 65535


def film_codec(file: FileIO) -> str:
    """Return exr or dpx if an open file is one, else nothing; the file is at its beginning before and after."""
    head = file.read(4) or b""
    file.seek(0)
    return SIGNATURES.get(head, "")


def decode_film(file: FileIO, path: Path) -> VideoFrame:
    """Return the picture of an open EXR or DPX file.

    Raises:
        InputError: damaged, too large, or of levels that are densities of film.
    """
    codec = film_codec(file)
    content = file.read(MOST + 1) or b""
    file.seek(0)
    if len(content) > MOST:
        raise InputError(f"{path} is larger than {MOST >> 30} GiB; save it without unneeded layers")
    if codec == "dpx" and content[TRANSFER : TRANSFER + 1] and content[TRANSFER] in DENSITIES:
        raise InputError(f"{path} holds logarithmic film densities; convert it to video levels first")
    frame = decode_picture(codec, content, path)
    try:
        is_short = codec == "exr" and _lacks_lines(content)
    except (ValueError, LookupError, struct.error) as error:
        raise InputError(f"{path} is damaged ({error}); copy it again") from error
    if is_short:
        raise InputError(f"{path} is damaged or cut short; copy it again")
    read_limits().check_size(frame.width, frame.height, path)
    return frame


def decode_picture(codec: str, content: bytes, path: Path) -> VideoFrame:
    """Return the picture in the bytes of a file, decoded by libav, which is given nothing to open.

    Raises:
        InputError: damaged or too large.
    """
    context = CodecContext.create(codec, "r")
    assert isinstance(context, VideoCodecContext)
    context.options, context.thread_count = {"max_pixels": str(read_limits().pixels)}, 1
    try:
        frames = [*context.decode(av.Packet(content)), *context.decode(None)]
    except FFmpegError as failure:
        raise InputError(f"{path} cannot be decoded ({failure.strerror}); copy or save it again") from failure
    if not frames or frames[0].is_corrupt:
        raise InputError(f"{path} is damaged or cut short; copy it again")
    return frames[0]


def _lacks_lines(content: bytes) -> bool:
    """Tell whether an EXR ends before the lines that its table announces, which libav leaves black."""
    if int.from_bytes(content[5:8], "little") & TILES_OR_PARTS:
        return False
    place, header = 8, {}
    while content[place]:
        name_end = content.index(0, place)
        start = content.index(0, name_end + 1) + 5
        size = int.from_bytes(content[start - 4 : start], "little")
        header[content[place:name_end]] = content[start : start + size]
        place = start + size
    top, bottom = struct.unpack_from("<4xi4xi", header[b"dataWindow"])
    blocks = -(-(bottom - top + 1) // LINES_OF_BLOCKS[header[b"compression"][0]])
    last = int(np.frombuffer(content, "<u8", blocks, place + 1).max())
    return last + 8 + int.from_bytes(content[last + 4 : last + 8], "little") > len(content)


def film_pixels(frame: VideoFrame) -> tuple[Pixels, bool]:
    """Return the colours of a decoded picture, and opacity if it has some; and whether light beyond white was cut."""
    stored = stored_levels(frame)
    if stored.dtype.kind != "f":
        most = (1 << frame.format.components[0].bits) - 1
        kind = np.uint8 if most == 255 else np.uint16
        return ((stored.astype(np.uint32) * np.iinfo(kind).max + most // 2) // most).astype(kind), False
    light = np.nan_to_num(stored.astype(np.float32), posinf=1, neginf=0)
    if light.shape[-1] == 4:  # colours are stored multiplied by opacity
        light[..., :3] /= np.where(light[..., 3:] > 0, light[..., 3:], 1)
    is_cut, light = bool(light.max() > 1), np.clip(light, 0, 1)
    colours = light[..., :3]
    light[..., :3] = np.where(colours <= 0.0031308, 12.92 * colours, 1.055 * colours ** (1 / 2.4) - 0.055)
    return np.round(light * WHITE).astype(np.uint16), is_cut  # IEC 61966-2-1


def stored_levels(frame: VideoFrame) -> Shaped[np.ndarray, "h w channels"]:
    """Return the numbers of a picture as they are stored, red first; of grey ones, the same three times."""
    name, bits = frame.format.name, frame.format.components[0].bits
    letter = "f" if "f16" in name or "f32" in name else "u"
    kind = np.dtype(f"{'>' if name.endswith('be') else '<'}{letter}{(bits + 7) // 8}")
    planes = [np.frombuffer(memoryview(plane), kind).reshape(frame.height, -1) for plane in frame.planes]
    if len(planes) > 1:  # green, blue, red, opacity
        return np.stack([planes[place][:, : frame.width] for place in (2, 0, 1, 3)[: len(planes)]], -1)
    channels = len(frame.format.components)
    pixels = planes[0][:, : frame.width * channels].reshape(frame.height, frame.width, channels)
    if channels < 3:
        return np.concatenate([pixels[..., :1].repeat(3, -1), pixels[..., 1:]], -1)
    return pixels[..., ::-1] if name.startswith("abgr") else pixels
