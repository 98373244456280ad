"""Sequences of different lengths as rows without padding, step by step: what the recurrent kernels run over.

The rows of step 0 come first, then those of step 1, and so on; within a step the longest sequence comes first. A
sequence that has ended has no row, so the rows at work are always the first ones of the batch:

    lengths 3 1 2 (sorted: a c b)        step 0: a0 c0 b0    step 1: a1 c1    step 2: a2

Forwards the rows shrink from step to step; backwards they grow, each sequence starting at its own end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from seesay.scratch.arrays import Array
from seesay.scratch.memory import Memory

Step = tuple[int, int]  # the first row of a step and the row after its last


class Packing:
    """Which rows are at work at which step, for B sequences of up to T steps.

    `lengths` (B,) may be in any order and may be 0; None says that all are T long, and then packing copies nothing.

    >>> packing = Packing(3, 3, np.array([3, 1, 2]))
    >>> packing.steps()
    [(0, 3), (3, 5), (5, 6)]
    >>> rows = packing.pack(np.arange(9.0).reshape(3, 3, 1))
    >>> rows.ravel().tolist()
    [0.0, 2.0, 1.0, 3.0, 5.0, 6.0]
    >>> packing.unpack(rows)[..., 0].tolist()
    [[0.0, 1.0, 2.0], [3.0, 0.0, 5.0], [6.0, 0.0, 0.0]]
    """

    def __init__(self, time: int, batch: int, lengths: NDArray[np.intp] | None = None) -> None:
        self.time, self.batch = time, batch
        self.even = lengths is None or bool((lengths == time).all())
        self.lengths = np.full(batch, time) if lengths is None else lengths
        self.order = np.arange(batch) if self.even else np.argsort(-self.lengths, kind="stable")
        ascending = np.sort(self.lengths)
        sizes = batch - np.searchsorted(ascending, np.arange(time), side="right")  # sequences longer than t
        self.sizes = sizes[sizes > 0]
        self.ends = np.cumsum(self.sizes)
        self.starts = self.ends - self.sizes
        self.rows = int(self.sizes.sum())

    def steps(self, reverse: bool = False) -> list[Step]:
        """The rows of each step, in the order in which a direction takes them."""
        found = list(zip(self.starts.tolist(), self.ends.tolist(), strict=True))
        return found[::-1] if reverse else found

    def blocks(self, reverse: bool, rows: int) -> Iterator[tuple[int, int, list[Step]]]:
        """Runs of consecutive steps of about this many rows, in backward's order: first row, end, the run's steps."""
        run: list[Step] = []
        for step in self.steps(not reverse):
            run.append(step)
            low, high = min(run[0][0], step[0]), max(run[0][1], step[1])
            if high - low >= rows:
                yield low, high, run
                run = []
        if run:
            yield min(run[0][0], run[-1][0]), max(run[0][1], run[-1][1]), run

    @cached_property
    def _times(self) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        """The place of each row's sequence in the sorted batch."""
        places: NDArray[np.intp] = np.arange(self.rows) - self.starts[self._times]
        return places

    def pack(self, padded: Array) -> Array:
        """Rows (N, F) of a padded array (T, B, F)."""
        if self.even:
            return np.ascontiguousarray(padded).reshape(self.rows, padded.shape[2])
        packed: Array = padded[self._times, self.order[self._places]]
        return packed

    def unpack(self, rows: Array) -> Array:
        """The padded array (T, B, F) of rows (N, F), zero beyond each sequence's end; it may share their memory."""
        if self.even:
            return rows.reshape(self.time, self.batch, rows.shape[1])
        padded = np.zeros((self.time, self.batch, rows.shape[1]), rows.dtype)
        padded[self._times, self.order[self._places]] = rows
        return padded

    def sort(self, state: Array) -> Array:
        """A state (B, H) with the longest sequence first."""
        return state if self.even else state[self.order]

    def restore(self, state: Array) -> Array:
        """A sorted state (B, H) in the caller's order."""
        if self.even:
            return state
        restored = np.empty_like(state)
        restored[self.order] = state
        return restored

    def before(self, first: Array, rows: Array, reverse: bool, memory: Memory) -> Array:
        """What each row (N, H) started from: the row of its sequence one step earlier, or `first` (B, H)."""
        result = memory.take((self.rows, first.shape[1]), first.dtype)
        if not self.rows:
            return result
        if self.even:
            kept = self.rows - self.batch
            here, there = (
                (slice(0, kept), slice(kept, None)) if reverse else (slice(self.batch, None), slice(self.batch))
            )
            result[here] = rows[self.batch :] if reverse else rows[:kept]
            result[there] = first
            return result
        after = np.append(self.sizes[1:], 0)
        starting = self._places >= after[self._times] if reverse else self._times == 0
        going_on = ~starting
        shift = self.sizes[self._times] if reverse else -self.sizes[self._times - 1]
        result[going_on] = rows[(np.arange(self.rows) + shift)[going_on]]
        result[starting] = first[self._places[starting]]
        return result

    def last(self, first: Array, rows: Array, reverse: bool) -> Array:
        """Each sequence's state (B, H) after its last step in this direction; `first` for one of length 0."""
        result = first.copy()
        if self.rows:
            count = int(self.sizes[0])
            lengths = self.lengths[self.order[:count]]
            result[:count] = rows[:count] if reverse else rows[self.starts[lengths - 1] + np.arange(count)]
        return result


def resume(first: Array, state: Array, count: int) -> Array:
    """The state of the first `count` rows, given that of the rows at work one step earlier.

    Fewer rows than before: the sequences that ended drop out. More: those that only now begin start from `first`.

    >>> resume(np.array([[7.0], [8.0], [9.0]]), np.array([[1.0]]), 3).ravel().tolist()
    [1.0, 8.0, 9.0]
    """
    if count <= len(state):
        return state[:count]
    grown = first[:count].copy()
    grown[: len(state)] = state
    return grown
