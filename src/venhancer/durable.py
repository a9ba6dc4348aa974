"""Files that are on the disk, whole, when the call returns: what survives a power cut."""

import os
from contextlib import suppress
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that at any moment the whole new one is there or the whole old one.

    Raises:
        OSError: it could not be written; the old one is as it was.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_bytes(content)
        flush_to_disk(partial)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    flush_to_disk(path.parent)


def flush_to_disk(path: Path) -> None:
    """Return when the content of a file, or the names in a folder, are on the disk.

    Raises:
        OSError: they could not be brought there.
    """
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders, and keeps names without being told
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
