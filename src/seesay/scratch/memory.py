"""Memory that one training step leaves to the next: fresh pages from the system cost a tenth of a step.

Large buffers lie on large pages where the system has them: a step walks through tens of megabytes, and finding out
where each page of 4 KB lies took 2 to 5% of it.
"""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from seesay.scratch.arrays import Array

SMALL = 1 << 16  # bytes that the allocator hands out fast anyway
KEPT = 64  # buffers
LARGE_PAGE = 1 << 21  # bytes; a buffer of at least half of it gets whole ones


class Memory:
    """A layer's spare buffers: `take` one for an array, `give` the array back when nothing reads it any more.

    Contents are whatever they were. A copied or pickled Memory starts empty.

    >>> memory = Memory()
    >>> first = memory.take((100, 200), np.float64)
    >>> memory.give(first)
    >>> second = memory.take((190, 100), np.float64)
    >>> second.shape, np.shares_memory(first, second)
    ((190, 100), True)
    """

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lock = Lock()

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return Memory, ()

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array of this shape, its contents unset."""
        dtype = np.dtype(dtype)
        size = dtype.itemsize * math.prod(shape)
        if size < SMALL:
            return np.empty(shape, dtype)
        with self._lock:
            # A much larger buffer is left to whoever needs it.
            fitting = [i for i, buffer in enumerate(self._free) if size <= buffer.nbytes <= 2 * size]
            found = self._free.pop(min(fitting, key=lambda i: self._free[i].nbytes)) if fitting else None
        buffer = _fresh(size) if found is None else found
        return buffer[:size].view(dtype).reshape(shape)

    def give(self, *arrays: Array) -> None:
        """Takes back arrays that `take` handed out; nothing may read them from here on."""
        with self._lock:
            for array in arrays:
                buffer = array
                while isinstance(buffer.base, np.ndarray):
                    buffer = buffer.base
                if buffer.dtype == np.uint8 and buffer.nbytes >= SMALL:
                    self._free.append(buffer)
            del self._free[:-KEPT]


def _fresh(size: int) -> Array:
    """At least this many bytes, and never more than twice as many."""
    if size < LARGE_PAGE // 2 or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(size, np.uint8)
    room = -(-size // LARGE_PAGE) * LARGE_PAGE
    try:
        # One page more than is used, so that the first can start where a large page may.
        pages = mmap.mmap(-1, room + LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:  # let NumPy find room, or say that there is none
        return np.empty(size, np.uint8)
    with contextlib.suppress(OSError):  # a system without them
        pages.madvise(mmap.MADV_HUGEPAGE)
    start = -np.frombuffer(pages, np.uint8).ctypes.data % LARGE_PAGE
    return np.frombuffer(pages, np.uint8, room, start)
