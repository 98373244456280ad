"""One step of each cell: torch's cells in float64, and sigmoids that do not overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seesay.scratch import cells
from seesay.scratch.arrays import Weights

CELLS: dict[str, tuple[Any, Any, Any]] = {
    "tanh": (lambda: torch.nn.RNNCell(3, 4), cells.rnn_step, cells.rnn_step_back),
    "relu": (
        lambda: torch.nn.RNNCell(3, 4, nonlinearity="relu"),
        lambda x, state, w: cells.rnn_step(x, state, w, relu=True),
        cells.rnn_step_back,
    ),
    "gru": (lambda: torch.nn.GRUCell(3, 4), cells.gru_step, cells.gru_step_back),
    "lstm": (lambda: torch.nn.LSTMCell(3, 4), cells.lstm_step, cells.lstm_step_back),
}


@pytest.mark.parametrize("name", CELLS)
def test_like_torchs_cell(name: str) -> None:
    make, forward, backward = CELLS[name]
    theirs = make().double()
    parameters = [parameter.detach().numpy() for _, parameter in theirs.named_parameters()]
    random = np.random.default_rng(0)
    x, state = random.standard_normal((5, 3)), [random.standard_normal((5, 4)) for _ in range(1 + (name == "lstm"))]
    tensors = [torch.from_numpy(array).requires_grad_() for array in (x, *state)]
    last = theirs(tensors[0], tuple(tensors[1:]) if name == "lstm" else tensors[1])
    expected = last if isinstance(last, tuple) else (last,)
    found, cache = forward(x, tuple(state), Weights(*parameters))
    for ours, part in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, part.detach().numpy(), atol=1e-12)
    upstream = [random.standard_normal((5, 4)) for _ in expected]
    torch.autograd.backward(expected, [torch.from_numpy(d) for d in upstream])
    dx, dstate, by_weights = backward(tuple(upstream), cache)
    wanted = [tensor.grad for tensor in tensors] + [parameter.grad for parameter in theirs.parameters()]
    for ours, grad in zip((dx, *dstate, *by_weights[:4]), wanted, strict=True):
        np.testing.assert_allclose(ours, grad.numpy(), atol=1e-12)


def test_extreme_values_stay_finite() -> None:
    with np.errstate(all="raise"):
        assert cells.sigmoid(np.array([-1e30, 1e30], np.float32)).tolist() == [0, 1]
    big = Weights(np.full((16, 3), 1e4), np.full((16, 4), 1e4), np.zeros(16), np.zeros(16))
    (h, c), cache = cells.lstm_step(np.ones((2, 3)), (np.ones((2, 4)), np.ones((2, 4))), big)
    dx, _, _ = cells.lstm_step_back((h, c), cache)
    assert np.isfinite(h).all() and np.isfinite(dx).all()
