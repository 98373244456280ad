"""Threads: results in order."""

from __future__ import annotations

import pytest

from seesay.errors import DataError
from seesay.scratch import threads


def test_results_come_in_order_and_errors_come_through() -> None:
    before = threads.get_num_threads()
    try:
        threads.set_num_threads(3)
        assert threads.in_parallel([lambda i=i: i * i for i in range(9)]) == [i * i for i in range(9)]
        with pytest.raises(ZeroDivisionError):
            threads.in_parallel([lambda: 1, lambda: 1 // 0])
    finally:
        threads.set_num_threads(before)
    for received in (0, "2", True):
        with pytest.raises(DataError, match=rf"^threads: expected a whole number from 1, received {received!r}"):
            threads.set_num_threads(received)  # type: ignore[arg-type]
