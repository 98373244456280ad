"""Two directions, or two halves of a batch, at once. NumPy lets go of the interpreter inside its loops and products."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np

from seesay.cores import usable_cores
from seesay.errors import DataError

Result = TypeVar("Result")


def _at_start() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(given)) if given.isdecimal() else usable_cores()


_threads = _at_start()


def get_num_threads() -> int:
    """How many threads the engine uses: at the start OMP_NUM_THREADS, else the processors this process may use.

    >>> get_num_threads() >= 1
    True
    """
    return _threads


def set_num_threads(count: int) -> None:
    """Uses up to this many threads from now on. Raises DataError below 1.

    In NumPy a sum over two halves of a batch rounds differently from one sum, so the last bit of a weight gradient can
    depend on this number; with one number everything repeats exactly. Compiled layers give the same bits with any.

    >>> before = get_num_threads()
    >>> set_num_threads(1); get_num_threads()
    1
    >>> set_num_threads(before)
    """
    global _threads
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise DataError(f"threads: expected a whole number from 1, received {count!r:.60}.")
    _threads = int(count)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="seesay-scratch")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)


def in_parallel(tasks: Sequence[Callable[[], Result]], parallel: bool = True) -> list[Result]:
    """The results of these tasks, in order; each on a thread of its own where there are threads for it.

    >>> in_parallel([lambda: 1, lambda: 2])
    [1, 2]
    """
    if not parallel or len(tasks) < 2 or _threads < 2:
        return [task() for task in tasks]
    futures = [_pool(_threads - 1).submit(task) for task in tasks[1:]]
    return [tasks[0](), *(future.result() for future in futures)]
