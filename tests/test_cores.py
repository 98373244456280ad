"""Cores: NumPy's own number of threads is given back."""

from __future__ import annotations

import pytest

from seesay import cores


def test_the_products_own_threads_are_given_back() -> None:
    blas = cores._blas()
    if blas is None:
        pytest.skip("another BLAS than the one of NumPy's wheels")
    read, write = blas
    before = read()
    try:
        write(2)
        with cores.single_threaded_products(), cores.single_threaded_products():
            assert read() == 1
        assert read() == 2
    finally:
        write(before)
