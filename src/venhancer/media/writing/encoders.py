"""What a video can be compressed with: one table of codecs, and the choice among them.

`choose_encoding` turns what was asked for, the target's name and what the clip holds into an `Encoding` that is known
to work here, or refuses in one line. Every encoder is set to give the same bytes for the same frames, whatever the
number of cores and however often a job is taken up again; only encoders in hardware promise nothing of the kind.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import av
import numpy as np
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from venhancer.errors import InputError, SettingsError
from venhancer.media.colour import ChromaLocation
from venhancer.runtime.priority import ordinary_priority
from venhancer.settings import Codec

AVX512F = 13  # OpenCV's number of it, for which Python has no name
BELOW_AVX512 = "AVX2,BMI2,LZCNT,FMA3"
"""What x264 is held to where there is more: with AVX-512 it weighs blocks by memory that was never set, and the same
frames become other bytes each time; it is no slower so."""
NARROW = 256
"""Pixels below which x265 does without its tree of references between blocks, and with blocks of 16 pixels, not 64: the
tree counts 16 blocks of 16 at once, and where there are fewer it writes beyond its memory; and where a picture is one
block of 32 or 64 wide, the same frames become other bytes each time."""
TRIAL_SIZE = 320  # pixels a side; some hardware refuses less
TOLD_BY_MATROSKA: tuple[ChromaLocation, ...] = ("left", "center", "topleft", "top")
Maker = Literal["software", "nvenc", "qsv", "amf"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecTraits:
    """One row of the table.

    Attributes:
        encoder: FFmpeg's name of the encoder in software.
        suffixes: of the files that can hold it.
        formats: pixel formats chosen among, by depth and transparency: the first that holds both.
        more_formats: pixel formats that are used only on request.
        crf: quality numbers it takes, best first; None if it has none.
        usual_crf: the one that looks like the original.
        options: of the encoder; with them it is deterministic.
        chroma_locations: where files can say that chroma lies, if every second row and column has a sample.
        hardware: what makes of hardware compress it.
        stored_as: codec of the segments of a target that is not a stream of packets.
    """

    encoder: str
    suffixes: tuple[str, ...]
    formats: tuple[str, ...]
    more_formats: tuple[str, ...] = ()
    crf: range | None = None
    usual_crf: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    chroma_locations: tuple[ChromaLocation, ...] = ("left",)
    hardware: tuple[Maker, ...] = ()
    stored_as: Codec | None = None


CODECS: Mapping[Codec, CodecTraits] = {
    "h264": CodecTraits(
        encoder="libx264",
        suffixes=(".mp4", ".mov", ".mkv"),
        formats=("yuv420p",),  # few players take more than 8 bits or finer colour
        more_formats=("yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
        crf=range(52),
        usual_crf=17,
        chroma_locations=get_args(ChromaLocation),
        hardware=("nvenc", "qsv", "amf"),
    ),
    "hevc": CodecTraits(
        encoder="libx265",
        suffixes=(".mp4", ".mov", ".mkv"),
        formats=("yuv420p", "yuv420p10le", "yuv420p12le"),
        more_formats=("yuv422p", "yuv444p", "yuv422p10le", "yuv444p10le", "yuv422p12le", "yuv444p12le"),
        crf=range(52),
        usual_crf=18,
        chroma_locations=get_args(ChromaLocation),
        hardware=("nvenc", "qsv", "amf"),
    ),
    "av1": CodecTraits(
        encoder="libsvtav1",
        suffixes=(".mp4", ".mkv", ".webm"),
        formats=("yuv420p", "yuv420p10le"),
        crf=range(64),
        usual_crf=22,
        options={"preset": "6", "svtav1-params": "lp=1"},
        chroma_locations=("left", "topleft"),
        hardware=("nvenc",),  # the others count quality on a scale of their own
    ),
    "vp9": CodecTraits(
        encoder="libvpx-vp9",
        suffixes=(".webm", ".mkv", ".mp4"),
        formats=("yuv420p", "yuv420p10le", "yuv420p12le", "yuva420p"),
        more_formats=("yuv422p", "yuv444p", "yuv422p10le", "yuv444p10le"),
        crf=range(64),
        usual_crf=20,
        options={"b": "0", "deadline": "good", "cpu-used": "2"},
        chroma_locations=TOLD_BY_MATROSKA,
    ),
    "prores": CodecTraits(
        encoder="prores_ks",
        suffixes=(".mov", ".mkv"),
        formats=("yuv422p10le", "yuva444p10le"),
        more_formats=("yuv444p10le",),
        options={"vendor": "apl0"},
    ),
    "ffv1": CodecTraits(
        encoder="ffv1",
        suffixes=(".mkv",),
        formats=("bgr0", "bgra", "gbrp16le", "gbrap16le"),
        more_formats=("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
        options={"level": "3", "slicecrc": "1", "g": "1", "slices": "4"},
        chroma_locations=TOLD_BY_MATROSKA,
    ),
    "png": CodecTraits(
        encoder="png",
        suffixes=(".png",),
        formats=("rgb24", "rgba", "rgb48be", "rgba64be"),
        options={"pred": "mixed"},
        stored_as="ffv1",
    ),
    "tiff": CodecTraits(
        encoder="tiff",
        suffixes=(".tif", ".tiff"),
        formats=("rgb24", "rgba", "rgb48le", "rgba64le"),
        options={"compression_algo": "deflate"},
        stored_as="ffv1",
    ),
    "gif": CodecTraits(encoder="gif", suffixes=(".gif",), formats=("pal8",), stored_as="ffv1"),
    "webp": CodecTraits(
        encoder="libwebp_anim",
        suffixes=(".webp",),
        formats=("yuv420p", "yuva420p"),
        more_formats=("bgra",),  # lossless
        options={"quality": "92", "loop": "0"},
        stored_as="ffv1",
    ),
}
PREFERRED: Mapping[str, tuple[Codec, ...]] = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": ("h264", "hevc", "vp9", "ffv1", "av1", "prores"),
    ".webm": ("vp9", "av1"),
    ".png": ("png",),
    ".tif": ("tiff",),
    ".tiff": ("tiff",),
    ".gif": ("gif",),
    ".webp": ("webp",),
}
"""What files of a name hold; the first that keeps depth and transparency is taken when no codec is requested."""

HARDWARE_OPTIONS: Mapping[Maker, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "nvenc": (("cq",), {"rc": "vbr", "b": "0", "preset": "p6"}),
    "qsv": (("global_quality",), {"preset": "slow"}),
    "amf": (("qp_i", "qp_p"), {"rc": "cqp", "bf": "0", "quality": "quality"}),
}
"""The options of each make that take crf as it is, from 1 up (0 leaves it to them), and the others it is run with.

VideoToolbox and VAAPI are missing: libav reaches the quality of the one and the frames of the other by flags and
devices that no option names.
"""

SEMIPLANAR = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
"""Pixel formats and those of the same samples in the other order, which hardware takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How frames are compressed, chosen and known to work.

    Attributes:
        codec: by its name in the table.
        pixel_format: FFmpeg's name.
        crf: quality, or None if the codec has none.
        maker: who compresses: software or a make of hardware.
    """

    codec: Codec = "h264"
    pixel_format: str = "yuv420p"
    crf: int | None = 17
    maker: Maker = "software"

    @property
    def traits(self) -> CodecTraits:
        """The codec's row of the table."""
        return CODECS[self.codec]

    @property
    def encoder(self) -> str:
        """FFmpeg's name of the encoder."""
        return self.traits.encoder if self.maker == "software" else f"{self.codec}_{self.maker}"

    @property
    def frame_format(self) -> str | None:
        """Pixel format that the encoder takes frames in, with the samples of `pixel_format`; None if it takes none."""
        there = _formats(self.encoder)
        return next((name for name in (self.pixel_format, SEMIPLANAR.get(self.pixel_format)) if name in there), None)

    @property
    def depth(self) -> int:
        """Bits of each colour."""
        return depth_of(self.pixel_format)

    @property
    def has_alpha(self) -> bool:
        """Whether transparency is kept."""
        return holds_alpha(self.pixel_format)

    @property
    def is_rgb(self) -> bool:
        """Whether pixels are stored as red, green and blue."""
        return self.pixel_format == "pal8" or VideoFormat(self.pixel_format).is_rgb

    @property
    def stored(self) -> "Encoding":
        """What segments are stored in until the end: this, or without loss where this is no stream of packets."""
        codec = self.traits.stored_as
        if codec is None:
            return self
        return Encoding(codec=codec, pixel_format=_fitting(codec, self.depth, has_alpha=self.has_alpha), crf=None)

    def __str__(self) -> str:
        """Return it in words for the plan."""
        depth = f", {self.depth} bits" if self.depth > 8 else ""
        quality = "" if self.crf is None else f" crf {self.crf}"
        by = "" if self.maker == "software" else f" by {self.encoder}"
        return f"{self.codec}{quality}{by}{depth}{', transparency' if self.has_alpha else ''}"


def depth_of(pixel_format: str) -> int:
    """Return the bits of each colour of a pixel format; a palette's colours have 8."""
    return 8 if pixel_format == "pal8" else max(part.bits for part in VideoFormat(pixel_format).components)


def holds_alpha(pixel_format: str) -> bool:
    """Return whether a pixel format has more than opaque pixels."""
    return pixel_format != "pal8" and any(part.is_alpha for part in VideoFormat(pixel_format).components)


def choose_encoding(
    target: Path,
    *,
    depth: int = 8,
    has_alpha: bool = False,
    codec: Codec | None = None,
    crf: int | None = None,
    pixel_format: str | None = None,
    encoder: str = "software",
) -> Encoding:
    """Return how frames are compressed into `target`.

    Args:
        target: its suffix decides what it can hold, and what is usual there.
        depth: bits of the clip's colours; kept if the codec can.
        has_alpha: whether there is transparency to keep.
        codec: the requested one, else the usual one of `PREFERRED`.
        crf: quality, else the codec's usual.
        pixel_format: the requested one, else the first of the codec's that holds depth and transparency.
        encoder: software, hardware (the first make that works here), or a make by name.

    Raises:
        InputError: the target's name is of no known kind.
        SettingsError: the target cannot hold the codec, or the codec not the quality or pixel format, or no such
            encoder works on this machine.
    """
    usual = usual_codecs(target)
    if codec is None:
        candidates: list[Codec] = [
            name for name in usual if pixel_format is None or pixel_format in pixel_formats(name)
        ]
        codec = _keeping(candidates or usual, depth, has_alpha=has_alpha)
    traits = CODECS[codec]
    if target.suffix.lower() not in traits.suffixes:
        raise SettingsError(f"{target.name} cannot hold {codec}; use a target ending in {' or '.join(traits.suffixes)}")
    if crf is not None and (traits.crf is None or crf not in traits.crf):
        allowed = f"takes crf {traits.crf[0]} to {traits.crf[-1]}" if traits.crf else "takes no crf; omit it"
        raise SettingsError(f"crf {crf} does not suit {codec}, which {allowed}")
    if pixel_format is not None and pixel_format not in pixel_formats(codec):
        raise SettingsError(f"pix_fmt {pixel_format} does not suit {codec}; pass {' or '.join(pixel_formats(codec))}")
    chosen = Encoding(
        codec=codec,
        pixel_format=pixel_format or _fitting(codec, depth, has_alpha=has_alpha),
        crf=traits.usual_crf if crf is None else crf,
    )
    return chosen if encoder == "software" else _in_hardware(chosen, encoder)


def usual_codecs(target: Path) -> tuple[Codec, ...]:
    """Return what files of this name hold, the most usual first.

    Raises:
        InputError: nothing that is known.
    """
    suffix = target.suffix.lower()
    if suffix not in PREFERRED:
        raise InputError(f"{target} must end in {', '.join(PREFERRED)}; rename it")
    return PREFERRED[suffix]


@cache
def pixel_formats(codec: Codec) -> tuple[str, ...]:
    """Return the pixel formats of a codec that the encoder here was built with, those chosen among first."""
    traits = CODECS[codec]
    there = _formats(traits.encoder)
    return tuple(name for name in (*traits.formats, *traits.more_formats) if name in there)


@cache
def _formats(encoder: str) -> frozenset[str]:
    """Return the pixel formats that an encoder takes, none if it was not built in."""
    try:
        return frozenset(built.name for built in av.Codec(encoder, "w").video_formats or ())
    except ValueError:
        return frozenset()


def told_chroma_location(encoding: Encoding, suffix: str, wanted: ChromaLocation) -> ChromaLocation:
    """Return where chroma lies in a file: where it is wanted if the file can say so, else at the left, as usual."""
    says = VideoFormat(encoding.pixel_format).chroma_height(2) == 1 and (encoding.codec, suffix) != ("vp9", ".mp4")
    return wanted if says and wanted in encoding.traits.chroma_locations else "left"


def open_options(encoding: Encoding, *, width: int = TRIAL_SIZE) -> tuple[dict[str, str], int]:
    """Return options and number of threads of the encoder for pictures so wide; see `CodecTraits.options`."""
    if encoding.maker != "software":
        qualities, others = HARDWARE_OPTIONS[encoding.maker]
        return {**others, **dict.fromkeys(qualities, str(encoding.crf))}, 1
    options = dict(encoding.traits.options)
    if encoding.crf is not None:
        options["crf"] = str(encoding.crf)
    if encoding.codec == "h264" and _has_avx512():
        options["x264-params"] = f"asm={BELOW_AVX512}"
    if encoding.codec == "hevc":
        options["x265-params"] = "log-level=none:frame-threads=1"  # rows of blocks in parallel change no bit
        if width < NARROW:
            options["x265-params"] += ":cutree=0:ctu=16"
    if encoding.codec == "prores":
        options["profile"] = "4" if "444" in encoding.pixel_format else "3"
    if encoding.codec == "webp" and encoding.pixel_format == "bgra":
        options["lossless"] = "1"
    if encoding.codec == "av1":
        options["svtav1-params"] += f":crf={options.pop('crf')}"  # of which libav leaves 0 to the encoder, for 35
        os.environ.setdefault("SVT_LOG", "1")  # it has no other way to be silent
    return options, 0 if encoding.codec in ("hevc", "ffv1", "prores") else 1  # x264's threads change bits


@cache
def _has_avx512() -> bool:
    import cv2  # only here: it takes a moment to load

    return bool(cv2.checkHardwareSupport(AVX512F))


def _fitting(codec: Codec, depth: int, *, has_alpha: bool) -> str:
    """Return the codec's first pixel format that holds both, else transparency, else the depth, else the deepest."""
    formats = [name for name in CODECS[codec].formats if name in pixel_formats(codec)]
    transparent = [name for name in formats if holds_alpha(name) == has_alpha] or formats
    deep = [name for name in transparent if depth_of(name) >= depth]
    return deep[0] if deep else max(transparent, key=depth_of)


def _keeping(codecs: Sequence[Codec], depth: int, *, has_alpha: bool) -> Codec:
    """Return the first codec that loses least: transparency before bits."""

    def lost(codec: Codec) -> tuple[bool, int]:
        fitting = _fitting(codec, depth, has_alpha=has_alpha)
        return has_alpha and not holds_alpha(fitting), max(0, depth - depth_of(fitting))

    return min(codecs, key=lost)


def _in_hardware(chosen: Encoding, make: str) -> Encoding:
    """Return the encoding by the first make of hardware that is requested and works."""
    makers = chosen.traits.hardware
    if make != "hardware" and make not in makers:
        known = " or ".join(("software", *(("hardware", *makers) if makers else ())))
        wrong = "unknown" if make not in get_args(Maker) else f"not for {chosen.codec}"
        raise SettingsError(f"encoder {make} is {wrong}; pass --encoder {known}")
    if chosen.crf == 0:
        raise SettingsError("hardware encoders do not take crf 0; pass --crf 1 or more, or --encoder software")
    reasons = []
    for maker in makers:
        if make not in ("hardware", maker):
            continue
        tried = Encoding(codec=chosen.codec, pixel_format=chosen.pixel_format, crf=chosen.crf, maker=maker)
        reason = why_not(tried)
        if reason is None:
            return tried
        reasons.append(f"{tried.encoder}: {reason}")
    raise SettingsError(f"no such encoder works here ({'; '.join(reasons)}); pass --encoder software")


@cache
def why_not(encoding: Encoding) -> str | None:
    """Return why an encoder does not work on this machine, or None after two frames were really encoded."""
    pixel_format = encoding.frame_format
    if pixel_format is None:
        return f"takes no {encoding.pixel_format}" if _formats(encoding.encoder) else "not built in"
    try:
        context = CodecContext.create(encoding.encoder, "w")
        assert isinstance(context, VideoCodecContext)
        context.width = context.height = TRIAL_SIZE
        context.pix_fmt, context.time_base, context.framerate = pixel_format, Fraction(1, 24), Fraction(24)
        context.options, context.thread_count = open_options(encoding)
        packets = []
        for number in range(2):
            frame = VideoFrame.from_ndarray(np.zeros((TRIAL_SIZE, TRIAL_SIZE, 3), np.uint8), "rgb24")
            frame = frame.reformat(format=pixel_format)
            frame.pts = number
            with ordinary_priority():
                packets += context.encode(frame)
        packets += context.encode(None)
    except (FFmpegError, OSError, ValueError) as failure:
        return str(getattr(failure, "strerror", None) or failure)
    return None if packets else "gives no packets"
