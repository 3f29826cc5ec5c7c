"""Memory that a network frees in one layer and takes again in the next."""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES = 1 << 30
_LARGEST_KEPT_BYTES = (256 << 20, 32 << 20)
"""Larger blocks go back to the system at once; the second is what older C libraries allow at most."""

_ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Have this process keep up to 1 GiB that it freed, instead of handing it back to the system; whether it does so.

    The maps of a layer are freed before the next image needs them again. glibc returns blocks of that size to the
    system, which then zeroes each page anew: ``benchmarks/memory.py`` has what that costs. Left as it is where
    the user's environment sets malloc already, and on systems with another C library.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _ENVIRONMENT):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST_KEPT_BYTES) and bool(
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    )
