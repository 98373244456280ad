"""Packing: the rows of every step, their order restored, and what each row started from."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing


@pytest.mark.parametrize("seed", range(6))
def test_rows_know_where_they_came_from(seed: int) -> None:
    random = np.random.default_rng(seed)
    time, batch = random.integers(1, 6, 2)
    lengths = random.integers(0, time + 1, batch) if seed else np.full(batch, time)
    packing = Packing(int(time), int(batch), lengths)
    padded = random.standard_normal((time, batch, 2))
    rows = packing.pack(padded)
    assert len(rows) == lengths.sum()
    inside = np.arange(time)[:, None] < lengths
    np.testing.assert_array_equal(packing.unpack(rows), padded * inside[:, :, None])
    first = random.standard_normal((batch, 2))
    np.testing.assert_array_equal(packing.restore(packing.sort(first)), first)
    for reverse in (False, True):
        before = packing.unpack(packing.before(packing.sort(first), rows, reverse, Memory()))
        last = packing.restore(packing.last(packing.sort(first), rows, reverse))
        for b, length in enumerate(lengths):
            taken = [first[b], *padded[:length, b][:: -1 if reverse else 1]]
            np.testing.assert_array_equal(before[:length, b][:: -1 if reverse else 1], np.reshape(taken[:-1], (-1, 2)))
            np.testing.assert_array_equal(last[b], taken[-1])


def test_blocks_cover_every_step_in_backwards_order() -> None:
    packing = Packing(5, 3, np.array([5, 2, 4]))
    for reverse in (False, True):
        blocks = list(packing.blocks(reverse, 4))
        assert [step for _, _, steps in blocks for step in steps] == packing.steps(not reverse)
        assert all(
            low == min(min(s) for s in steps) and high == max(max(s) for s in steps) for low, high, steps in blocks
        )
