"""What is done with memory that tensors no longer need."""

import ctypes
import functools

# glibc's malloc.h: threads share one heap, as those of their own are always given back; chunks from this size are mapped by themselves, free memory beyond this is given back.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors free, for the next ones. Return whether that could be had.

    glibc gives a batch's memory back to the system and takes it page by page for the next, up to half of a training step. A
    thread that allocated before the first call keeps its own heap; a process that trains in one starts with `MALLOC_ARENA_MAX=1`.
    """
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    tell.argtypes = (ctypes.c_int, ctypes.c_int)
    tell(_ARENA_MAX, 1)
    # mallopt takes an int; 1 GiB is more than any tensor of a batch here, and 2 GiB less one keeps all.
    return bool(tell(_MMAP_THRESHOLD, 1 << 30)) and bool(tell(_TRIM_THRESHOLD, 2**31 - 1))
