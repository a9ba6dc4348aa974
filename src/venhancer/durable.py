"""Files that appear whole or not at all and survive a power cut, and locks that keep other processes away from them."""

import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def written_whole(path: Path, placing: AbstractContextManager[object] | None = None) -> Iterator[Path]:
    """Give a path to write a file or folder at; it becomes `path` if the block succeeds and vanishes if it does not.

    Args:
        path: an earlier file is replaced; a folder must be absent or empty.
        placing: entered around the last step, which flushes and renames, to turn its errors into the caller's.

    Raises:
        OSError: it could not be flushed or renamed; `path` is unchanged.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.part{path.suffix.lower()}")
    try:
        yield partial
        with placing or nullcontext():
            for written in (*partial.rglob("*"), partial):
                flush_to_disk(written)
            partial.replace(path)
            flush_to_disk(path.parent)
    except BaseException:
        _remove(partial)
        raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file so that at any moment either the old one or the whole new one is there.

    Raises:
        OSError: it could not be written; the old one is unchanged.
    """
    with written_whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left of `written_whole` in a folder that no other process is writing to."""
    for path in folder.glob(".*.part*"):
        if re.match(r"\.[0-9a-f]{16}\.part", path.name):
            _remove(path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_to_disk(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, are on the disk.

    Raises:
        OSError: they could not be brought there.
    """
    is_windows = sys.platform == "win32"
    if is_windows and path.is_dir():
        return  # Windows cannot open folders and keeps names without a flush
    descriptor = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)  # Windows flushes only what may be written
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file within the block and remove it afterwards; a process that ends, however it ends, frees it.

    Raises:
        filelock.Timeout: another process holds it.
        OSError: it cannot be made.
    """
    lock = FileLock(path, timeout=0)
    lock.acquire()
    try:
        yield
    finally:
        if sys.platform != "win32":  # while it is held, or a third could lock the file that a second has just opened
            path.unlink(missing_ok=True)
        lock.release()
        if sys.platform == "win32":  # which removes no open file, so that one locked meanwhile stays
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
