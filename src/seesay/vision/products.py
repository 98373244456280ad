"""Keeping NumPy's products on the thread that asks for them, as far as its BLAS can be told so."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_lock, _inside, _outside = Lock(), 0, 1


@cache
def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's own reader and setter of its thread count, as NumPy's wheels carry it; None for any other BLAS."""
    for folder in (Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            try:
                library = ctypes.CDLL(str(path))
                return library.scipy_openblas_get_num_threads64_, library.scipy_openblas_set_num_threads64_
            except (OSError, AttributeError):
                continue
    return None


@contextmanager
def single_threaded_products() -> Iterator[None]:
    """Keeps each product on the thread that asks for it; calls from several threads may overlap.

    With a BLAS other than the OpenBLAS of NumPy's wheels this does nothing; set its own variable there.

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
            write(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                write(_outside)
