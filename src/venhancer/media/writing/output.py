"""Files that are there whole or not at all.

The writer and the assembler come through here, so that how an output is opened, what its failures say and how it gets
its name are each decided once.
"""

import os
import secrets
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
from venhancer.media.source import failures_as


@contextmanager
def written_whole(target: Path, called: Path | None = None) -> Iterator[Path]:
    """Give a path to write to; it becomes `target` if the block succeeds and is gone if it does not.

    Args:
        target: replaced if it exists.
        called: what errors call it.

    Raises:
        JobFailed: the disk is full, or the file cannot be moved into place for another reason.
    """
    part = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix.lower()}")
    try:
        yield part
        with failing(called or target):
            _flush_to_disk(part)
            part.replace(target)
            _flush_to_disk(target.parent)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


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
            metadata_errors="surrogateescape",
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
    with failures_as(JobFailed, f"{target} could not be written; check free space and permissions there"):
        yield


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def add_video_stream(output: OutputContainer, encoder: str, rate: Fraction, options: dict[str, str]) -> VideoStream:
    """Return a new video stream of an output, made by the encoder of that name."""
    stream = output.add_stream(encoder, rate=rate, options=options)
    if not isinstance(stream, VideoStream):
        raise ValueError(f"{encoder} encodes no video")
    return stream
