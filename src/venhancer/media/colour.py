"""Colours between decoded pictures and RGB, in both directions and without a shift.

`to_rgb` and `to_picture` are each other's inverse: the reader and the writer come through here, so that a matrix, a
range or a curve means the same on the way in and on the way out. Clips of more than 8 bits are arrays of 16.

High dynamic range is enhanced in a reversible proxy. A curve made for 10,000 nits (PQ, SMPTE ST 2084) looks grey and
flat to a network that has seen ordinary video; so its light goes through a curve like a display's up to 100 nits and a
logarithm above, which no brightness leaves, and comes back by the inverse. Hybrid log-gamma is such a curve by itself
and passes as it is. Primaries are never converted: their tags go along.

Chroma of fewer samples than luma is interpolated, and averaged again, where it lies. libswscale takes that from the
frame, on either side of a conversion; PyAV has no name for it, so a filter notes it there.
"""

from fractions import Fraction
from functools import cache
from typing import Literal

import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from jaxtyping import Float64, UInt8, UInt16

Transfer = Literal["sdr", "pq", "hlg"]
ChromaLocation = Literal["left", "center", "topleft", "top", "bottomleft", "bottom"]  # ITU-T H.273, ChromaLocType
Pixels = UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w c"]

UNSPECIFIED = 2  # the same number in all of ITU-T H.273's tables
MATRICES = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020"}  # ITU-T H.273, table 4
MATRIX_TAGS = {"bt601": 6, "bt709": 1, "bt2020": 9}
PRIMARIES = {"bt601": ColorPrimaries.SMPTE170M, "bt709": ColorPrimaries.BT709, "bt2020": ColorPrimaries.BT2020}
TRANSFERS = {"bt601": ColorTrc.SMPTE170M, "bt709": ColorTrc.BT709, "bt2020": ColorTrc.BT2020_10}
CURVES: dict[int, Transfer] = {16: "pq", 18: "hlg"}  # ITU-T H.273, table 3
COLORSPACES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709, "bt2020": Colorspace.BT2020}
EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
)  # within one level of the formula
FROM_EVERY_PIXEL = EXACT | Interpolation.FULL_CHR_H_INP  # chroma too; libswscale otherwise takes the mean of two

HD_LINES = 720  # untagged video of at least so many lines is bt709, below it is bt601
LEVELS = 65536
SCALER_WHITE = 255 << 8  # what libswscale takes for white in 16 bits, wherever it converts from or to Y'CbCr
PQ_PEAK = 10_000.0  # nits
KNEE_NITS, KNEE, DISPLAY_GAMMA, SPREAD = 100.0, 0.75, 2.4, 12.0
"""Of the proxy: up to `KNEE_NITS` a display's gamma, reaching `KNEE`; above, a logarithm whose slope carries on."""
UNSET_OPACITY = (
    "bmp ffv1 ffvhuff huffyuv hymt lagarith magicyuv mszh qtrle rawvideo sheervideo targa tscc tscc2 utvideo zlib"
)
"""Codecs of 32 bits a pixel, 8 of which many programs never set."""

OPAQUE = 253 / 255  # from here on; codecs with loss, such as VP9, move what is opaque by a level or two


def matrix_of_size(height: int) -> str:
    """Return the matrix that untagged pictures of so many lines have or get."""
    return "bt709" if height >= HD_LINES else "bt601"


def transfer_of(tag: int) -> Transfer:
    """Return how a transfer tag of H.273 is treated: pq and hlg have curves of their own, all others pass as they are.

    >>> transfer_of(16), transfer_of(1)
    ('pq', 'sdr')
    """
    return CURVES.get(tag, "sdr")


def to_rgb(
    picture: VideoFrame,
    *,
    matrix: str,
    full_range: bool,
    depth: int = 8,
    transfer: Transfer = "sdr",
    background: tuple[int, int, int] | None = None,
    chroma_location: ChromaLocation = "left",
    reformatter: VideoReformatter | None = None,
) -> Pixels:
    """Return a decoded picture as RGB: uint8 up to a depth of 8, else uint16 with white at 65535.

    Args:
        picture: any format that libswscale reads.
        matrix: bt601, bt709 or bt2020.
        full_range: whether Y'CbCr uses all levels.
        depth: bits of the clip's colours.
        transfer: the clip's; pq becomes the proxy.
        background: what transparent pixels are laid over, 0 to 255; None leaves opacity out.
        chroma_location: where chroma lies, if it has fewer samples than luma.
        reformatter: kept from frame to frame it saves setting up.
    """
    if not may_show_through(picture.format):
        background = None
    converted = (reformatter or VideoReformatter()).reformat(
        note_chroma_location(picture, chroma_location) if is_subsampled(picture.format) else picture,
        format=_array_format(3 if background is None else 4, is_deep=depth > 8),
        src_colorspace=COLORSPACES[matrix],
        dst_colorspace=COLORSPACES[matrix],
        src_color_range=ColorRange.JPEG if full_range else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=EXACT,
    )
    pixels: Pixels = converted.to_ndarray()  # pyright: ignore[reportAssignmentType] - of these formats
    rgb = pixels[..., :3]
    if depth > 8:
        rgb = _reading_table(_white_of(picture.format, depth, full_range=full_range), transfer)[rgb]
    return rgb if background is None else _lay_over(rgb, pixels[..., 3], background)


def to_picture(
    rgb: Pixels,
    pixel_format: str,
    *,
    matrix: str,
    full_range: bool,
    transfer: Transfer = "sdr",
    chroma_location: ChromaLocation = "left",
    reformatter: VideoReformatter | None = None,
) -> VideoFrame:
    """Return RGB, or RGB and opacity, as a picture for an encoder: the inverse of `to_rgb`.

    Args:
        rgb: uint8 or uint16, three or four channels.
        pixel_format: the encoder's.
        matrix: bt601, bt709 or bt2020.
        full_range: whether Y'CbCr shall use all levels; RGB always does.
        transfer: pq takes the proxy back to PQ.
        chroma_location: where chroma shall lie, if it has fewer samples than luma.
        reformatter: kept from frame to frame it saves setting up.
    """
    format_ = VideoFormat(pixel_format)
    is_rgb = format_.is_rgb
    is_deep = rgb.dtype == np.uint16
    pixels = rgb
    if is_deep:
        white = LEVELS - 1 if is_rgb else SCALER_WHITE
        pixels = rgb.copy()
        pixels[..., :3] = _writing_table(white, transfer)[rgb[..., :3]]
        if is_rgb and max(part.bits for part in format_.components) == 8:
            pixels, is_deep = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8), False
    name = _array_format(rgb.shape[-1], is_deep=is_deep)
    picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), name)
    is_averaged = is_subsampled(format_)
    if is_averaged:
        picture = note_chroma_location(picture, chroma_location)
    return (reformatter or VideoReformatter()).reformat(
        picture,
        format=pixel_format,
        src_colorspace=COLORSPACES[matrix],
        dst_colorspace=COLORSPACES[matrix],
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.JPEG if full_range or is_rgb else ColorRange.MPEG,
        interpolation=FROM_EVERY_PIXEL if is_averaged else EXACT,
    )


def is_subsampled(format_: VideoFormat) -> bool:
    """Return whether chroma has fewer samples than luma.

    >>> is_subsampled(VideoFormat("yuv422p")), is_subsampled(VideoFormat("yuv444p"))
    (True, False)
    """
    return (format_.chroma_width(2), format_.chroma_height(2)) != (2, 2)


def note_chroma_location(picture: VideoFrame, location: ChromaLocation) -> VideoFrame:
    """Return the same picture, tagged with the place of its chroma now or after conversion."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1))
    graph.link_nodes(source, graph.add("setparams", f"chroma_location={location}"), graph.add("buffersink"))
    graph.configure()
    graph.push(picture)
    return graph.vpull()


def may_show_through(format_: VideoFormat) -> bool:
    """Return whether pictures of a format can be transparent; of those with a palette, each colour can."""
    return format_.name == "pal8" or any(part.is_alpha for part in format_.components)


def shows_through(picture: VideoFrame) -> bool:
    """Return whether some pixel of a picture is not opaque."""
    return may_show_through(picture.format) and _extremes(picture)[0] < OPAQUE


def is_clear(picture: VideoFrame) -> bool:
    """Return whether no pixel of a picture is opaque in the least."""
    return may_show_through(picture.format) and _extremes(picture)[1] == 0


def pq_to_nits(signal: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return the light of PQ signals 0..1 (SMPTE ST 2084, eq. 4.1)."""
    m1, m2, c1, c2, c3 = _PQ
    root = np.asarray(signal) ** (1 / m2)
    return PQ_PEAK * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def nits_to_pq(nits: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return the PQ signals 0..1 of light (SMPTE ST 2084, eq. 5.1)."""
    m1, m2, c1, c2, c3 = _PQ
    root = (np.asarray(nits) / PQ_PEAK) ** m1
    return ((c1 + c2 * root) / (1 + c3 * root)) ** m2


def nits_to_proxy(nits: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return the proxy, 0..1, in which light is enhanced."""
    nits = np.asarray(nits, np.float64)
    dark = KNEE * (np.minimum(nits, KNEE_NITS) / KNEE_NITS) ** (1 / DISPLAY_GAMMA)
    return dark + (1 - KNEE) * np.log1p(np.maximum(nits - KNEE_NITS, 0) / SPREAD) / _highest()


def proxy_to_nits(proxy: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return the light of the proxy, 0..1: the inverse of `nits_to_proxy`."""
    proxy = np.asarray(proxy, np.float64)
    dark = KNEE_NITS * (np.minimum(proxy, KNEE) / KNEE) ** DISPLAY_GAMMA
    return dark + SPREAD * np.expm1(np.maximum(proxy - KNEE, 0) / (1 - KNEE) * _highest())


_PQ = (2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32)


def _array_format(channels: int, *, is_deep: bool) -> str:
    """Return libav's name for arrays of so many channels."""
    return {3: ("rgb24", "rgb48le"), 4: ("rgba", "rgba64le")}[channels][is_deep]


def _lay_over(
    rgb: Pixels, opacity: UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"], background: tuple[int, int, int]
) -> Pixels:
    """Return pixels laid over a colour; opacity is straight, not premultiplied."""
    white = np.iinfo(rgb.dtype).max
    behind = np.array(background, np.float32) * (white / 255)
    share = opacity[..., None].astype(np.float32) / white
    return np.round(behind + share * (rgb - behind)).astype(rgb.dtype)


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


def _highest() -> float:
    return float(np.log1p((PQ_PEAK - KNEE_NITS) / SPREAD))


def _white_of(format_: VideoFormat, depth: int, *, full_range: bool) -> int:
    """Return which of 65,536 levels libswscale gives for white: it moves bits where exact scaling is requested."""
    if format_.is_rgb:
        return LEVELS - 1
    return ((1 << depth) - 1) << (16 - depth) if full_range else SCALER_WHITE


@cache
def _reading_table(white: int, transfer: Transfer) -> UInt16[np.ndarray, "levels"]:
    signal = np.minimum(np.arange(LEVELS) / white, 1)
    if transfer == "pq":
        signal = nits_to_proxy(pq_to_nits(signal))
    return np.round(signal * (LEVELS - 1)).astype(np.uint16)


@cache
def _writing_table(white: int, transfer: Transfer) -> UInt16[np.ndarray, "levels"]:
    signal = np.arange(LEVELS) / (LEVELS - 1)
    if transfer == "pq":
        signal = nits_to_pq(proxy_to_nits(signal))
    return np.round(signal * white).astype(np.uint16)
