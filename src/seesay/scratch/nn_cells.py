"""RNNCell, GRUCell and LSTMCell as modules: one step of `cells.py`, one operation of the graph, as torch.nn's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from seesay.errors import DataError
from seesay.scratch import cells
from seesay.scratch.arrays import Array, Weights, expect, generator_from
from seesay.scratch.module import Module, Parameter, expect_sizes
from seesay.scratch.tensor import Tensor, as_tensor, joint

Seed = np.random.Generator | int


class CellModule(Module):
    """What the cells have in common; use RNNCell, GRUCell or LSTMCell.

    Called with x (B, I), or (I,), and a state (B, H) for each part, zeros where None; returns the new state.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, gates: int, letters: str, dtype: DTypeLike, seed: Seed
    ) -> None:
        super().__init__()
        expect_sizes(dtype, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias, self.letters = input_size, hidden_size, bias, letters
        bound, generator, rows = hidden_size**-0.5, generator_from(seed), gates * hidden_size

        def drawn(*shape: int) -> Parameter:
            return Parameter(generator.uniform(-bound, bound, shape).astype(dtype))

        self.weight_ih, self.weight_hh = drawn(rows, input_size), drawn(rows, hidden_size)
        self.bias_ih = drawn(rows) if bias else None
        self.bias_hh = drawn(rows) if bias else None

    def run(self, x: Any, state: Any, step: cells.Step, step_back: cells.StepBack) -> tuple[Tensor, ...]:
        """The parts of the new state after one step of this cell."""
        given = as_tensor(x)
        single = given.ndim == 1
        rows = given.reshape(1, -1) if single else given
        parts = self._parts(state, len(rows.data) if rows.ndim == 2 else 1, single)
        weights = [parameter for _, parameter in self.own_parameters()]
        expect("x", rows.data, {"batch": None, "input_size": self.input_size}, self.weight_ih.dtype)
        values = tuple(part.data for part in parts)
        new, cache = step(rows.data, values, Weights(*(parameter.data for parameter in weights)))

        def back(gradients: list[Array | None]) -> list[Array | None]:
            filled = [np.zeros_like(v) if d is None else d for d, v in zip(gradients, new, strict=True)]
            dx, dstate, by_weights = step_back(tuple(filled), cache)
            return [dx, *dstate, *by_weights[: len(weights)]]

        results = joint(new, [rows, *parts, *weights], back)
        return tuple(part.reshape(-1) if single else part for part in results)

    def _parts(self, state: Any, batch: int, single: bool) -> list[Tensor]:
        shape, dtype = (batch, self.hidden_size), self.weight_ih.dtype
        if state is None:
            return [Tensor(np.zeros(shape, dtype)) for _ in self.letters]
        given = [state] if len(self.letters) == 1 else state
        if not isinstance(given, tuple | list) or len(given) != len(self.letters):
            raise DataError(f"state: received {type(state).__name__}; expected a pair (h, c).")
        parts = [as_tensor(part) for part in given]
        for letter, part in zip(self.letters, parts, strict=True):
            axes = {"hidden_size": self.hidden_size} if single else {"batch": batch, "hidden_size": self.hidden_size}
            expect(letter, part.data, axes, dtype)
        return [part.reshape(1, -1) if single else part for part in parts]


class RNNCell(CellModule):
    """h' = tanh(x W_ihᵀ + b_ih + h W_hhᵀ + b_hh), or relu; see `cells.rnn_step`.

    >>> RNNCell(3, 5)(np.zeros((2, 3), np.float32)).shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: DTypeLike = np.float32,
        seed: Seed = 0,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise DataError(f"nonlinearity: received {nonlinearity!r}; expected 'tanh' or 'relu'.")
        super().__init__(input_size, hidden_size, bias, 1, "h", dtype, seed)
        self.nonlinearity = nonlinearity

    def forward(self, x: Any, state: Any = None) -> Tensor:
        """h' (B, H)."""
        relu = self.nonlinearity == "relu"
        return self.run(x, state, lambda x, state, w: cells.rnn_step(x, state, w, relu), cells.rnn_step_back)[0]


class GRUCell(CellModule):
    """A step of gated recurrent units, gates r z n; see `cells.gru_step`.

    >>> GRUCell(3, 5)(np.zeros(3, np.float32)).shape
    (5,)
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: DTypeLike = np.float32, seed: Seed = 0
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, "h", dtype, seed)

    def forward(self, x: Any, state: Any = None) -> Tensor:
        """h' (B, H)."""
        return self.run(x, state, cells.gru_step, cells.gru_step_back)[0]


class LSTMCell(CellModule):
    """A step of long short-term memory, gates i f g o; see `cells.lstm_step`.

    >>> h, c = LSTMCell(3, 5)(np.zeros((2, 3), np.float32))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: DTypeLike = np.float32, seed: Seed = 0
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, "hc", dtype, seed)

    def forward(self, x: Any, state: Any = None) -> tuple[Tensor, Tensor]:
        """(h', c'), each (B, H)."""
        h, c = self.run(x, state, cells.lstm_step, cells.lstm_step_back)
        return h, c
