"""Outputs, last states and all gradients equal torch.nn's within 1e-10 in float64, over the product of options."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from seesay.scratch.rnn import GRU, LSTM, RNN

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "RNN tanh": (RNN, {}),
    "RNN relu": (RNN, {"nonlinearity": "relu"}),
    "GRU": (GRU, {}),
    "LSTM": (LSTM, {}),
    "LSTM projected": (LSTM, {"proj_size": 2}),
}


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_whole_product(kind: str, layers: int, like_torch: Callable[..., None]) -> None:
    layer, given = KINDS[kind]
    for bias, batch_first, both, lengths, state in itertools.product(
        (True, False), (True, False), (True, False), (None, [2, 0, 5, 1, 3]), (True, False)
    ):
        like_torch(
            layer,
            5,
            5,
            state,
            lengths,
            num_layers=layers,
            bias=bias,
            batch_first=batch_first,
            bidirectional=both,
            **given,
        )
