"""What an optimiser is given: settings that change on the way, one tensor, gradients and arrays that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seesay.errors import DataError
from seesay.scratch import nn, optim
from seesay.scratch.tensor import Tensor


def weight(gradient: Any = (1.0, 1.0)) -> Tensor:
    w = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    w.grad = np.array(gradient)
    return w


def test_momentum_may_begin_on_the_way() -> None:
    ours, theirs = weight(), torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    theirs.grad = torch.ones(2, dtype=torch.float64)
    for w, optimizer in ((ours, optim.SGD([ours], 0.1)), (theirs, torch.optim.SGD([theirs], 0.1))):
        optimizer.step()
        optimizer.param_groups[0]["momentum"] = 0.9
        optimizer.step()
        optimizer.step()
        assert w is ours or np.allclose(ours.data, theirs.detach().numpy(), rtol=1e-14)


def test_one_tensor_is_clipped_and_moved_as_a_whole() -> None:
    w = weight((3.0, 4.0))
    assert optim.clip_grad_norm_(w, 1.0) == 5
    np.testing.assert_allclose(w.grad, [0.6, 0.8], rtol=1e-6)
    optim.SGD(w, 1.0).step()  # type: ignore[arg-type]
    np.testing.assert_allclose(w.data, [0.4, 1.2], rtol=1e-6)


def step(w: Tensor) -> None:
    optim.Adam([w], 0.1).step()


def read_only() -> Tensor:
    w = weight()
    w.data.flags.writeable = False
    return w


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (
            lambda: step(weight((1.0,))),
            r"^grad: received \(1,\) of float64 for parameter 0; expected \(2,\) of float64",
        ),
        (lambda: step(weight(np.ones(2, np.float32))), "^grad: received .* of float32 for parameter 0"),
        (lambda: step(read_only()), "^parameter 0: received a read-only array"),
        (lambda: optim.SGD(nn.Linear(2, 2).named_parameters()), "^parameters: received tuple; expected Tensors"),  # type: ignore[arg-type]
        (lambda: optim.SGD([np.ones(2)]), "^parameters: received ndarray; expected Tensors"),  # type: ignore[list-item]
        (lambda: optim.SGD([{"params": weight()}, weight()]), "^parameters: received Tensor among groups"),
        (lambda: optim.SGD([weight()], float("nan")), "^lr: received nan; expected 0 or more"),
        (lambda: optim.Adam([weight()], betas=(0.9,)), "^betas: received .0.9,.; expected two"),  # type: ignore[arg-type]
    ],
)
def test_says_what_is_wrong(fails: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()
