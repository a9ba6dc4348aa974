"""Outputs opened for writing: how, and what their failures say, for the writer and the assembler alike."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from venhancer.errors import JobFailed
from venhancer.media.containers import CONTAINERS
from venhancer.media.source import TEXT_AS_BYTES, failures_as


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
