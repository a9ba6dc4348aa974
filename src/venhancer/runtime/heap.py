"""Memory that is freed stays with the program, where the C library can be told so.

glibc returns every large block to the system as it is freed, and the system hands it out anew page by page, each filled
with zeros: of a small network's time, which frees and takes such blocks at every layer, that is a good part. It is a
choice of a whole process, so programs make it and libraries do not.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
KEPT = 2**30
"""Bytes: blocks below this size, and as many at the end of the heap, stay."""


def keep_freed_memory() -> bool:
    """Keep freed memory from now on; tell whether the C library does."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return all(mallopt(option, KEPT) == 1 for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))
