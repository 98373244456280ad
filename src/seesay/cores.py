"""How many processors there are to use, and keeping NumPy's products off those that others use."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock


def usable_cores() -> int:
    """The processors that this process may use; on systems that do not say, those of the machine.

    >>> usable_cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's own reader and setter of its thread count, as NumPy's wheels carry it; None for any other BLAS."""
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        return None
    numpy = Path(spec.origin).parent
    for folder in (numpy.parent / "numpy.libs", numpy / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))
                return library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_
            except (OSError, AttributeError):
                continue
    return None


_lock, _inside, _outside = Lock(), 0, 1


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """Keeps each of NumPy's products on the thread that asks for it; calls from several threads may overlap.

    With a BLAS other than the OpenBLAS of NumPy's wheels this does nothing; set its own variable there.

    >>> import numpy as np
    >>> with single_threaded_products():
    ...     np.eye(2) @ np.eye(2)
    array([[1., 0.],
           [0., 1.]])
    """
    global _inside, _outside
    blas = _blas()
    if blas is None:
        yield
        return
    read, write = blas
    with _lock:
        _inside += 1
        if _inside == 1:
            _outside = read()
            if _outside != 1:
                write(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _outside != 1:
                write(_outside)
