"""The products that the kernels share, against sums over single rows."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import bias_gradient, state_gradient


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("lengths", [[4, 4, 4], [4, 1, 3], [4, 0, 2], [1, 1, 1], [0, 0, 0]], ids=str)
def test_state_gradient_is_the_sum_over_rows(lengths: list[int], zero: bool, reverse: bool) -> None:
    random, sizes = np.random.default_rng(0), np.array(lengths)
    packing = Packing(int(sizes.max()), 3, sizes)
    first = random.standard_normal((3, 2)) * (not zero)
    rows, da = random.standard_normal((packing.rows, 2)), random.standard_normal((packing.rows, 6))
    before = packing.before(first, rows, reverse, Memory())
    expected = sum((np.outer(a, h) for a, h in zip(da, before, strict=True)), start=np.zeros((6, 2)))
    found = state_gradient(da, first, rows, packing, reverse, Memory())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(bias_gradient(da), da.sum(0), rtol=0, atol=1e-12)


def test_state_gradient_copies_no_outputs_of_sequences_of_one_length() -> None:
    class Untouched(Memory):
        def take(self, *args: object) -> np.ndarray:
            raise AssertionError("nothing to copy to is needed")

    packing, rows = Packing(3, 2), np.ones((6, 2))
    found = state_gradient(np.ones((6, 4)), np.zeros((2, 2)), rows, packing, False, Untouched())
    np.testing.assert_array_equal(found, np.full((4, 2), 4.0))
