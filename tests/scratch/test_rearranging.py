"""Moving values about: keys of every kind, arrays that change after they were handed in, axes that are not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seesay.errors import DataError
from seesay.scratch import functional
from seesay.scratch import tensor as t
from seesay.scratch.tensor import Tensor


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ((np.array([0, 0, 3]),), ([0, 0, 3],)),
        (((0, 0, 3),), ([0, 0, 3],)),
        (((0, 0, 3), slice(None), 1), ([0, 0, 3], slice(None), 1)),
        (([-1, 3, 0], ...), ([-1, 3, 0], ...)),
        (range(2), [0, 1]),
        ([], []),
        (np.array(1), 1),
        ([True, False, True, True], [True, False, True, True]),
    ],
    ids=str,
)
def test_keys_name_places_as_often_as_torch_s(
    ours: Any, theirs: Any, operation_like_torch: Callable[..., None]
) -> None:
    operation_like_torch(lambda a: a[ours], lambda a: a[theirs], (4, 3, 2))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64])
def test_places_of_a_small_type_in_a_long_axis(dtype: Any, operation_like_torch: Callable[..., None]) -> None:
    key = np.array([0, 1, 1], dtype)
    operation_like_torch(lambda a: a[key], lambda a: a[[0, 1, 1]], (300, 2))


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, places, mask: a[places],
        lambda a, places, mask: a[mask],
        lambda a, places, mask: a.gather(0, places),
        lambda a, places, mask: a.masked_fill(mask, 0),
        lambda a, places, mask: t.where(mask, a, 0),
        lambda a, places, mask: functional.embedding(places, a.unsqueeze(1)),
        lambda a, places, mask: functional.nll_loss(a, places[0]),
    ],
)
def test_what_the_caller_writes_later_does_not_matter(operation: Callable[..., Tensor]) -> None:
    found = []
    for change in (False, True):
        a = Tensor(np.arange(3.0), requires_grad=True)
        places, mask = np.array([0, 1, 1]), np.array([True, False, True])
        result = operation(a, places, mask).sum()
        if change:
            places[:], mask[:] = 2, [False, True, True]
        result.backward()
        found.append(a.grad)
    assert found[0].any()
    np.testing.assert_array_equal(found[0], found[1])


def test_parts_of_nothing_are_torch_s(operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(lambda a: t.split(a, 2)[0], lambda a: torch.split(a, 2)[0], (0, 2))
    assert [part.shape for part in t.split(Tensor(np.zeros(5)), np.int64(2))] == [(2,), (2,), (1,)]  # type: ignore[arg-type]


X = Tensor(np.zeros((4, 3)))


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda: X.flatten(5), "^flatten: received .4, 3.; expected .*axes from 5 to -1 are not those of 2"),
        (lambda: X.flatten(-3), "^flatten: received .4, 3.; expected .*axes from -3 to -1"),
        (lambda: X.flatten(1, 0), "^flatten: .*the first before the last"),
        (lambda: t.split(X, [-1, 5]), r"^split: received sizes \[-1, 5\]; expected each to be 0 or more"),
        (lambda: t.chunk(X, 0), "^chunk: received 0 parts; expected 1 or more"),
        (lambda: t.chunk(X, 2, 5), r"^axis: received 5 for a tensor \(4, 3\)"),
        (lambda: X.sum([0, 1]), "^sums: received .4, 3.; expected"),  # type: ignore[arg-type]
        (lambda: -Tensor([True]), "^negative: received .1,.; expected"),
    ],
)
def test_says_what_is_wrong(fails: Callable[[], Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()
