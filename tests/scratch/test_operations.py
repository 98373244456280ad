"""Operations over nothing: axes of size 0, means of no values, variances of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seesay.scratch import functional
from seesay.scratch.tensor import Tensor


@pytest.mark.parametrize(
    ("a", "b"), [((2, 3, 0), (0, 4)), ((2, 3, 1), (1, 0)), ((4, 2, 3), (3, 0)), ((0, 2, 3), (3, 4)), ((2, 0), (0, 4))]
)
def test_products_with_an_axis_of_none(a: Any, b: Any, operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(lambda x, y: x @ y, lambda x, y: x @ y, a, b)
    operation_like_torch(
        lambda x, y: functional.linear(x, y.mT), lambda x, y: torch.nn.functional.linear(x, y.mT), a, b
    )


@pytest.mark.filterwarnings("ignore:var")  # torch warns where we do not
@pytest.mark.parametrize(
    ("shape", "operation"),
    [
        ((0,), lambda a: a.mean()),
        ((0, 2), lambda a: a.mean(0)),
        ((0, 2), lambda a: (a * a).mean()),
        ((1,), lambda a: a.var()),
        ((3, 1), lambda a: a.var(1)),
        ((0,), lambda a: a.var()),
    ],
)
def test_a_mean_of_nothing_is_nan_without_a_warning(shape: Any, operation: Callable[[Any], Any]) -> None:
    values = np.ones(shape)
    ours, theirs = Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    result, expected = operation(ours), operation(theirs)
    np.testing.assert_array_equal(result.numpy(), expected.detach().numpy())
    assert np.isnan(result.numpy()).all()
    result.backward(np.ones(result.shape))
    expected.backward(torch.ones_like(expected))
    np.testing.assert_array_equal(ours.grad, theirs.grad.numpy())
