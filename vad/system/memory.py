"""Keep memory that tensors free in the process, for speed."""

import ctypes
import functools

# Of glibc's malloc.h: the number of heaps (that of a thread is always returned to the system), the size from which a chunk is
# mapped separately, the free memory beyond which a heap is returned.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors free, for the next ones. Return whether glibc accepted it.

    glibc returns each batch's memory to the system and takes it page by page for the next: up to half of a training step. A
    thread that allocated before the first call keeps its own heap; a process that trains in one starts with `MALLOC_ARENA_MAX=1`.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    mallopt.argtypes = (ctypes.c_int, ctypes.c_int)
    mallopt(_ARENA_MAX, 1)
    # mallopt takes an int: 1 GiB is more than any tensor of a batch, and the largest int keeps everything.
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))
