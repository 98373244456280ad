"""Step by step equals all at once, and a step allocates nothing."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.stepper import Stepper

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "tanh": (RNN, {}),
    "relu": (RNN, {"nonlinearity": "relu"}),
    "GRU": (GRU, {}),
    "LSTM": (LSTM, {}),
    "LSTM projected": (LSTM, {"proj_size": 2}),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_layer(kind: str, batch: int, bias: bool) -> None:
    make, given = KINDS[kind]
    layer = make(3, 4, num_layers=2, bias=bias, dtype=np.float64, **given)
    random = np.random.default_rng(0)
    table = random.standard_normal((7, 3))
    ids = random.integers(0, 7, (5, batch))
    first = tuple(random.standard_normal((2, batch, size)) for size in layer.state_sizes().values())
    start = first if len(first) > 1 else first[0]
    output, last = layer(table[ids], start)
    for stepper, inputs in ((Stepper(layer, batch), table[ids]), (Stepper(layer, batch, table), ids)):
        for _ in range(2):  # the second time from the state given again
            stepper.reset(start)
            for x, expected in zip(inputs, output, strict=True):
                np.testing.assert_allclose(stepper.step(x), expected, atol=1e-13)
        for ours, part in zip(*(s if isinstance(s, tuple) else (s,) for s in (stepper.state, last)), strict=True):
            np.testing.assert_allclose(ours, part, atol=1e-13)
        stepper.reset()
        np.testing.assert_allclose(stepper.step(inputs[0]), layer(table[ids[:1]])[0][0], atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_table", [False, True])
def test_a_step_allocates_no_array(kind: str, with_table: bool) -> None:
    make, given = KINDS[kind]
    layer = make(512, 512, num_layers=2, **given)
    table = np.ones((9, 512), np.float32)
    stepper = Stepper(layer, 1, table if with_table else None)
    x = np.array([4]) if with_table else table[4:5]
    stepper.step(x)
    tracemalloc.start()
    try:
        stepper.step(x)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(20):
            stepper.step(x)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 4 * 512, "no array of the hidden size, even for a moment"
    assert after - before < 512


def test_what_cannot_be_stepped_is_said() -> None:
    with pytest.raises(DataError, match="one direction"):
        Stepper(GRU(3, 4, bidirectional=True))
    with pytest.raises(DataError, match=r"table: expected \(words, input_size=3\)"):
        Stepper(GRU(3, 4), 1, np.ones((7, 2), np.float32))
    with pytest.raises(DataError, match=r"x: expected \(batch=2, input_size=3\)"):
        Stepper(GRU(3, 4), 2).step(np.ones((1, 3), np.float32))
    for ids in (np.array([7]), np.array([-1]), np.array([1.0])):
        with pytest.raises(DataError, match="word ids from 0 to 6"):
            Stepper(GRU(3, 4), 1, np.ones((7, 3), np.float32)).step(ids)
    with pytest.raises(DataError, match=r"state h: expected \(layers=1, batch=1, size=4\)"):
        Stepper(GRU(3, 4)).reset(np.ones((2, 1, 4), np.float32))
