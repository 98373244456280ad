"""One step at a time, for decoding: every buffer is made beforehand, and nothing is allocated while words are said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError
from seesay.scratch import sequence_gru, sequence_lstm
from seesay.scratch.arrays import Array, Weights, expect
from seesay.scratch.compiled.binding import Library
from seesay.scratch.compiled.stepping import CompiledStep, library_for, state_for
from seesay.scratch.recurrent import Recurrent
from seesay.scratch.rnn import GRU, LSTM, RNN
from seesay.scratch.sequence import both_biases, repeated, transposed


class _Layer(Protocol):
    """One layer's step."""

    def enter(self, x: Array) -> None:
        """Takes x (B, I) for the next step."""
        ...

    def products(self, table: Array) -> Array:
        """The layer's product with each row of a table, from which `choose` takes."""
        ...

    def choose(self, words: Array, ids: Array) -> None:
        """Takes the products of these words for the next step."""
        ...

    def run(self) -> None:
        """The step; the new state stands where the old one stood."""
        ...


class _PlainLayer(NamedTuple):
    """A step in NumPy, over its own buffers."""

    right: Array  # (G, I, H): the input's weights, transposed
    gates: Array  # (G, B, H): where the input's product goes
    advance: Callable[[], None]  # takes that product and the state one step on

    def enter(self, x: Array) -> None:
        np.matmul(x, self.right, out=self.gates)

    def products(self, table: Array) -> Array:
        found: Array = table @ self.right
        return found

    def choose(self, words: Array, ids: Array) -> None:
        words.take(ids, axis=1, out=self.gates, mode="clip")  # "raise" would buffer

    def run(self) -> None:
        self.advance()


class Stepper:
    """Takes a one-directional layer step by step: `step(x)` gives the last layer's output, a view that the next fills.

    With `table` (V, I), the vectors of V words, `step` takes word ids (B,) instead: the first layer's product with
    every word is then worked out once, here, and a step reads it. The weights are those of this moment; make a new
    Stepper after changing them. No dropout acts.

    Raises DataError for a layer of both directions, and for wrong shapes or dtypes.

    >>> layer = LSTM(input_size=3, hidden_size=4, num_layers=2)
    >>> x = np.random.default_rng(0).standard_normal((5, 1, 3), dtype=np.float32)
    >>> stepper = Stepper(layer)
    >>> outputs = np.stack([stepper.step(part).copy() for part in x])
    >>> bool(np.allclose(outputs, layer(x)[0], atol=1e-6))
    True
    """

    def __init__(self, layer: Recurrent[Any], batch: int = 1, table: Array | None = None) -> None:
        if layer.bidirectional:
            raise DataError(
                "layer: expected one direction, received two; the backward one cannot start before the end."
            )
        if table is not None:
            expect("table", table, {"words": None, "input_size": layer.input_size}, layer.dtype)
        self.layer = layer
        self._axes: dict[str, int | None] = {"batch": batch}
        if table is None:
            self._axes["input_size"] = layer.input_size
        sizes = layer.state_sizes().values()
        found = library_for(layer.hidden_size, layer.gates, bool(layer.proj_size), layer.dtype)
        self._state = tuple(state_for(found, layer.num_layers, batch, size, layer.dtype) for size in sizes)
        self._layers = [
            _in_place(found, layer, weights[0], tuple(part[number] for part in self._state))
            for number, weights in enumerate(layer.weights())
        ]
        self._words = None if table is None else self._layers[0].products(table)
        self._count = 0 if table is None else len(table)

    @property
    def state(self) -> Any:
        """A copy of the state, in the layer's form; `reset` takes it back."""
        return self.layer.unpack_state(tuple(part.copy() for part in self._state))

    def reset(self, state: Any = None) -> None:
        """Starts again from this state (L, B, P), or from zeros."""
        parts = (None,) * len(self._state) if state is None else self.layer.pack_state(state, "state")
        for letter, held, part in zip(self.layer.state_sizes(), self._state, parts, strict=True):
            if part is not None:
                axes = ("layers", "batch", "size")
                expect(f"state {letter}", part, dict(zip(axes, held.shape, strict=True)), held.dtype)
            held[...] = 0 if part is None else part

    def step(self, x: Array | NDArray[np.integer]) -> Array:
        """The output (B, P) after one more step, of x (B, I) or, with a table, of word ids (B,)."""
        first = self._layers[0]
        if self._words is None:
            expect("x", x, self._axes, self.layer.dtype)
            first.enter(x)
        else:
            expect("x", x, self._axes)
            if x.dtype.kind not in "iu" or not (x.min() >= 0 and x.max() < self._count):
                raise DataError(f"x: expected word ids from 0 to {self._count - 1}, received {x} of {x.dtype}.")
            first.choose(self._words, x)
        first.run()
        for number, layer in enumerate(self._layers[1:]):
            layer.enter(self._state[0][number])
            layer.run()
        output: Array = self._state[0][-1]
        return output


def _in_place(found: Library | None, layer: Recurrent[Any], w: Weights, state: tuple[Array, ...]) -> _Layer:
    """A layer's step, which writes the new state where the old one stood."""
    if found is not None:
        kind = layer.nonlinearity if isinstance(layer, RNN) else "gru" if isinstance(layer, GRU) else "lstm"
        return CompiledStep(found, kind, w, state)
    make: dict[type, Callable[..., tuple[Array, Array, Callable[[], None]]]] = {RNN: _rnn, GRU: _gru, LSTM: _lstm}
    ih, gates, advance = make[type(layer)](layer, w, *state)
    return _PlainLayer(transposed(ih), gates, advance)


def _rnn(layer: RNN, w: Weights, h: Array) -> tuple[Array, Array, Callable[[], None]]:
    recurrent, bias = transposed(w.hh[None]), both_biases(w)
    tile = None if bias is None else repeated(bias[None], len(h))
    gates, product = np.empty((1, *h.shape), h.dtype), np.empty((1, *h.shape), h.dtype)

    def run() -> None:
        np.matmul(h, recurrent, out=product)
        np.add(gates, product, out=gates)
        if tile is not None:
            np.add(gates, tile, out=gates)
        if layer.nonlinearity == "relu":
            np.maximum(gates[0], 0, out=h)
        else:
            np.tanh(gates[0], out=h)

    return w.ih[None], gates, run


def _gru(layer: GRU, w: Weights, h: Array) -> tuple[Array, Array, Callable[[], None]]:
    p = sequence_gru.prepare(w, len(h))
    gates, product = np.empty((4, *h.shape), h.dtype), np.empty((3, *h.shape), h.dtype)
    return p.ih, gates[:3], lambda: sequence_gru.advance(h, p, gates, product, h)


def _lstm(layer: LSTM, w: Weights, h: Array, c: Array) -> tuple[Array, Array, Callable[[], None]]:
    p = sequence_lstm.prepare(w, len(c))
    gates, product, squashed = np.empty((4, *c.shape), c.dtype), np.empty((4, *c.shape), c.dtype), np.empty_like(c)
    projection = None if w.hr is None else transposed(w.hr[None])[0]

    def run() -> None:
        sequence_lstm.advance(h, c, p, gates, product, c, squashed)
        if projection is None:
            np.multiply(gates[2], squashed, out=h)
        else:
            np.multiply(gates[2], squashed, out=squashed)
            np.matmul(squashed, projection, out=h)

    return p.ih, gates, run
