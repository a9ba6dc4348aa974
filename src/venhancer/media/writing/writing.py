"""What a file to be written must be: size, times, colours, compression, stretch of the source; and how it is opened."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from venhancer.errors import JobFailed
from venhancer.media.colour import MATRIX_TAGS, UNSPECIFIED, ChromaLocation
from venhancer.media.containers import CONTAINERS
from venhancer.media.source import TEXT_AS_BYTES, failures_as
from venhancer.media.writing.encoders import CODECS, Encoding, Maker, pixel_formats
from venhancer.settings import Codec


class Span(NamedTuple):
    """The stretch of the source that an output shows.

    Args:
        start: seconds on the source's clock at which the output begins.
        end: seconds on the same clock, None for all there is.
        slow: how many times longer the output is.
        is_cut: whether everything before `start` is left out on request.
    """

    start: Fraction
    end: Fraction | None = None
    slow: Fraction = Fraction(1)
    is_cut: bool = False

    def moved(self, seconds: Fraction) -> Fraction:
        """Return a time of the source on the output's clock."""
        return (seconds - self.start) * self.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a video is written.

    Attributes:
        rate: frames per second, kept exactly (Matroska rounds times to milliseconds).
        crf: quality, 0 the best; the codec's usual one if left out, and without meaning where the codec has none.
        codec: see `encoders.CODECS`.
        pixel_format: FFmpeg's name; the codec's first, of 8 bits, if left out.
        maker: who compresses.
        color_matrix: bt601, bt709 or bt2020: of the conversion, and of all colour tags.
        full_range: whether Y'CbCr uses all levels, as some cameras' files do.
        color_primaries: tag of H.273; that which goes with the matrix if unspecified (2).
        color_transfer: likewise; with PQ the frames are its proxy (see `colour`).
        chroma_location: where chroma lies if it has fewer samples than luma, and its tag; see `told_chroma_location`.
        metadata: tags added to those of the source, or put in their place.
        span: which stretch of the source is shown; all of it from its first picture on if None.
        timestamps: when each frame is shown in units of `time_base` from the first, and when the last one ends, so one
            more than frames; None if all keep to `rate`.
        time_base: seconds a unit.
        sample_aspect_ratio: width of a pixel over its height.
    """

    width: int
    height: int
    rate: Fraction
    crf: int | None = None
    codec: Codec = "h264"
    pixel_format: str = ""
    maker: Maker = "software"
    color_matrix: str = "bt709"
    full_range: bool = False
    color_primaries: int = UNSPECIFIED
    color_transfer: int = UNSPECIFIED
    chroma_location: ChromaLocation = "left"
    metadata: Mapping[str, str] = field(default_factory=dict)
    span: Span | None = None
    timestamps: tuple[int, ...] | None = None
    time_base: Fraction = Fraction(1)
    sample_aspect_ratio: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if self.width < 2 or self.height < 2 or self.width % 2 or self.height % 2:
            raise ValueError(f"size {self.width}x{self.height} must be even and at least 2x2")
        if self.color_matrix not in MATRIX_TAGS:
            raise ValueError(f"matrix {self.color_matrix} must be one of {[*MATRIX_TAGS]}")
        allowed = CODECS[self.codec].crf
        if self.rate <= 0 or (allowed and self.crf is not None and self.crf not in allowed):
            raise ValueError(f"rate {self.rate} must be above 0 and crf {self.crf} within {allowed}")
        if self.pixel_format and self.pixel_format not in pixel_formats(self.codec):
            raise ValueError(f"pixel format {self.pixel_format} must be one of {pixel_formats(self.codec)}")

    @property
    def encoding(self) -> Encoding:
        """How frames are compressed."""
        traits = CODECS[self.codec]
        return Encoding(
            codec=self.codec,
            pixel_format=self.pixel_format or traits.formats[0],
            crf=traits.usual_crf if self.crf is None or traits.crf is None else self.crf,
            maker=self.maker,
        )


@contextmanager
def open_output(part: Path, called: Path, **options: str) -> Iterator[OutputContainer]:
    """Give the open output; finish it if the block succeeds.

    Args:
        part: the file written.
        called: what errors call it.
        options: of the container.
    """
    with failing(called):
        output = av.open(
            f"file:{part.absolute()}",
            "w",
            format=CONTAINERS[part.suffix.lower()].name,
            container_options=options,
            **TEXT_AS_BYTES,
        )
    try:
        yield output
    except BaseException:
        with suppress(FFmpegError, OSError):
            part.unlink()  # first, so that closing does not rearrange a long file for nothing
        with suppress(FFmpegError, OSError):
            output.close()
        raise
    with failing(called):
        output.close()


@contextmanager
def failing(target: Path) -> Iterator[None]:
    """Turn what the libraries and the system raise inside the block into one line about `target`."""
    with failures_as(JobFailed, f"{target} could not be written; check its free space and permissions"):
        yield


def add_video_stream(output: OutputContainer, encoder: str, rate: Fraction, options: dict[str, str]) -> VideoStream:
    """Return a new video stream of an output, made by the encoder of that name."""
    stream = output.add_stream(encoder, rate=rate, options=options)
    if not isinstance(stream, VideoStream):
        raise ValueError(f"{encoder} does not encode video")
    return stream
