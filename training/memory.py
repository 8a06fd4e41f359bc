"""What the C library does with the memory of tensors that are gone."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt
LARGEST = 2**31 - 1  # bytes; what mallopt can be told


def keep_freed() -> bool:
    """Have the process keep the memory that it frees, for the next tensor; whether the C library can be told (glibc).

    By default glibc gives every large block back, and the system clears its pages anew at the next step: a fifth of a
    training step on a processor.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
