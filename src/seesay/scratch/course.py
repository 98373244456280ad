"""Recurrent steps and sequences under the names and signatures of Stanford's CS231n assignment on captioning.

Shapes: x (N, D) for a step and (N, T, D) for a sequence, h and c (N, H), Wx (D, G H), Wh (H, G H), b (G H,): weights
multiply from the right and there is one bias. Here the LSTM's gates come in the order i f o g. Each forward returns a
cache last; its backward takes the gradients by the results, and that cache, and returns gradients in the order of
forward's arguments. A cache may serve many times, and nothing that is handed in is ever written to.

All raise DataError for a wrong shape or for mixed dtypes, naming the array. The derivations are those of `cells.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seesay.errors import DataError
from seesay.scratch.arrays import Array, expect, expect_float
from seesay.scratch.cells import sigmoid

Cache = tuple[Any, ...]


def _expect_step(x: Array, states: dict[str, Array], Wx: Array, Wh: Array, b: Array, gates: int, axes: str) -> None:  # noqa: N803
    expect("x", x, dict.fromkeys(axes))
    expect_float("x", x.dtype)
    expect("Wh", Wh, {"H": None, f"{gates} H" if gates > 1 else "H'": None}, x.dtype)
    size = len(Wh)
    for name, state in states.items():
        expect(name, state, {"N": len(x), "H": size}, x.dtype)
    expect("Wx", Wx, {"D": x.shape[-1], "G H": gates * size}, x.dtype)
    expect("Wh", Wh, {"H": size, "G H": gates * size}, x.dtype)
    expect("b", b, {"G H": gates * size}, x.dtype)


def _parts(cache: Cache, count: int, axes: str, maker: str) -> Cache:
    """The parts of a cache; DataError where another function made it. The first part is x, with these axes."""
    if not isinstance(cache, tuple) or len(cache) != count or cache[0].ndim != len(axes):
        raise DataError(f"cache: expected that of {maker}, received another's.")
    return cache


def rnn_step_forward(x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Cache]:  # noqa: N803
    """One step of a tanh RNN: next_h = tanh(x Wx + prev_h Wh + b); returns (next_h, cache).

    >>> weights = np.ones((2, 1)), np.ones((1, 1)), np.zeros(1)
    >>> next_h, cache = rnn_step_forward(np.zeros((1, 2)), np.ones((1, 1)), *weights)
    >>> round(next_h.item(), 4)
    0.7616
    """
    _expect_step(x, {"prev_h": prev_h}, Wx, Wh, b, 1, "ND")
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients (dx, dprev_h, dWx, dWh, db) of `rnn_step_forward`, from da = dnext_h (1 - next_h²).

    >>> arrays = np.zeros((1, 2)), np.ones((1, 1)), np.ones((2, 1)), np.zeros((1, 1)), np.zeros(1)
    >>> _, cache = rnn_step_forward(*arrays)
    >>> [d.tolist() for d in rnn_step_backward(np.ones((1, 1)), cache)]
    [[[1.0, 1.0]], [[0.0]], [[0.0], [0.0]], [[1.0]], [1.0]]
    """
    x, prev_h, Wx, Wh, next_h = _parts(cache, 5, "ND", "rnn_step_forward")  # noqa: N806
    expect("dnext_h", dnext_h, dict(zip("NH", next_h.shape, strict=True)), next_h.dtype)
    da = dnext_h * (1 - next_h * next_h)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(0)


def rnn_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Cache]:  # noqa: N803
    """A tanh RNN over x (N, T, D) from h0 (N, H): all hidden states (N, T, H) and a cache.

    >>> h, cache = rnn_forward(np.zeros((1, 3, 2)), np.ones((1, 1)), np.ones((2, 1)), np.ones((1, 1)), np.zeros(1))
    >>> h.round(3).ravel().tolist()
    [0.762, 0.642, 0.566]
    """
    _expect_step(x, {"h0": h0}, Wx, Wh, b, 1, "NTD")
    h = x @ Wx + b  # the inputs' part of all steps in one product; tanh replaces it step by step
    state = h0
    for t in range(x.shape[1]):
        h[:, t] += state @ Wh
        state = np.tanh(h[:, t], out=h[:, t])
    return h, (x, h0, Wx, Wh, h.copy())


def rnn_backward(dh: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients (dx, dh0, dWx, dWh, db) of `rnn_forward`, given dh (N, T, H) from each step's own use of its state.

    What reaches step t is dh[:, t] and what step t + 1 hands back through Wh.

    >>> _, cache = rnn_forward(np.zeros((1, 3, 2)), np.ones((1, 1)), np.ones((2, 1)), np.eye(1), np.zeros(1))
    >>> dx, dh0, dWx, dWh, db = rnn_backward(np.ones((1, 3, 1)), cache)
    >>> dx.round(3)[0, :, 0].tolist(), dh0.round(3).item()
    ([0.835, 0.987, 0.679], 0.835)
    """
    x, h0, Wx, Wh, h = _parts(cache, 5, "NTD", "rnn_forward")  # noqa: N806
    expect("dh", dh, dict(zip("NTH", h.shape, strict=True)), h.dtype)
    da, back = 1 - h * h, np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        da[:, t] *= dh[:, t] + back
        back = da[:, t] @ Wh.T
    return _sequence_gradients(x, h0, h, Wx, da, back)


def lstm_step_forward(
    x: Array,
    prev_h: Array,
    prev_c: Array,
    Wx: Array,  # noqa: N803
    Wh: Array,  # noqa: N803
    b: Array,
) -> tuple[Array, Array, Cache]:
    """One step of an LSTM, gates in the order i f o g; returns (next_h, next_c, cache).

    i, f, o = σ and g = tanh of their blocks of x Wx + prev_h Wh + b; next_c = f prev_c + i g; next_h = o tanh(next_c).

    >>> state, weights = (np.zeros((1, 1)), np.full((1, 1), 2.0)), (np.zeros((3, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> next_h, next_c, cache = lstm_step_forward(np.ones((1, 3)), *state, *weights)
    >>> next_c.item(), round(next_h.item(), 4)
    (1.0, 0.3808)
    """
    _expect_step(x, {"prev_h": prev_h, "prev_c": prev_c}, Wx, Wh, b, 4, "ND")
    next_h, next_c, gates, squashed = _lstm_gates(x @ Wx + prev_h @ Wh + b, prev_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, gates, squashed)


def lstm_step_backward(dnext_h: Array, dnext_c: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients (dx, dprev_h, dprev_c, dWx, dWh, db) of `lstm_step_forward`.

    >>> state, weights = (np.zeros((1, 1)), np.full((1, 1), 2.0)), (np.zeros((3, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> _, _, cache = lstm_step_forward(np.ones((1, 3)), *state, *weights)
    >>> dx, dprev_h, dprev_c, dWx, dWh, db = lstm_step_backward(np.zeros((1, 1)), np.ones((1, 1)), cache)
    >>> dprev_c.item(), db.tolist()
    (0.5, [0.0, 0.5, 0.0, 0.5])
    """
    x, prev_h, prev_c, Wx, Wh, gates, squashed = _parts(cache, 7, "ND", "lstm_step_forward")  # noqa: N806
    for name, d in (("dnext_h", dnext_h), ("dnext_c", dnext_c)):
        expect(name, d, dict(zip("NH", prev_c.shape, strict=True)), prev_c.dtype)
    da, dprev_c = _lstm_gates_back(dnext_h, dnext_c, prev_c, gates, squashed)
    return da @ Wx.T, da @ Wh.T, dprev_c, x.T @ da, prev_h.T @ da, da.sum(0)


def lstm_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> tuple[Array, Cache]:  # noqa: N803
    """An LSTM over x (N, T, D) from h0 (N, H) and a zero c: all hidden states (N, T, H) and a cache.

    >>> h, cache = lstm_forward(np.ones((1, 2, 3)), np.ones((1, 1)), np.ones((3, 4)), np.zeros((1, 4)), np.zeros(4))
    >>> h.round(3).ravel().tolist()
    [0.704, 0.907]
    """
    _expect_step(x, {"h0": h0}, Wx, Wh, b, 4, "NTD")
    parts = x @ Wx + b
    h = np.empty((*x.shape[:2], h0.shape[1]), x.dtype)
    state, c, steps = h0, np.zeros_like(h0), []
    for t in range(x.shape[1]):
        state, new_c, gates, squashed = _lstm_gates(parts[:, t] + state @ Wh, c)
        steps.append((c, gates, squashed))
        h[:, t], c = state, new_c
    return h, (x, h0, Wx, Wh, h.copy(), steps)


def lstm_backward(dh: Array, cache: Cache) -> tuple[Array, Array, Array, Array, Array]:
    """Gradients (dx, dh0, dWx, dWh, db) of `lstm_forward`, given dh (N, T, H) from each step's own use of its state.

    >>> weights = np.ones((3, 4)), np.zeros((1, 4)), np.zeros(4)
    >>> _, cache = lstm_forward(np.ones((1, 2, 3)), np.ones((1, 1)), *weights)
    >>> [d.shape for d in lstm_backward(np.ones((1, 2, 1)), cache)]
    [(1, 2, 3), (1, 1), (3, 4), (1, 4), (4,)]
    """
    x, h0, Wx, Wh, h, steps = _parts(cache, 6, "NTD", "lstm_forward")  # noqa: N806
    expect("dh", dh, dict(zip("NTH", h.shape, strict=True)), h.dtype)
    da, back, dc = np.empty((*x.shape[:2], Wh.shape[1]), x.dtype), np.zeros_like(h0), np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        da[:, t], dc = _lstm_gates_back(dh[:, t] + back, dc, *steps[t])
        back = da[:, t] @ Wh.T
    return _sequence_gradients(x, h0, h, Wx, da, back)


def _lstm_gates(a: Array, c: Array) -> tuple[Array, Array, Array, Array]:
    """New h, new c, the gates i f o g and tanh(new c), from the pre-activations (N, 4 H)."""
    size = c.shape[1]
    gates = np.concatenate((sigmoid(a[:, : 3 * size]), np.tanh(a[:, 3 * size :])), axis=1)
    i, f, o, g = np.split(gates, 4, axis=1)
    new_c = f * c + i * g
    squashed = np.tanh(new_c)
    return o * squashed, new_c, gates, squashed


def _lstm_gates_back(dh: Array, dc: Array, c: Array, gates: Array, squashed: Array) -> tuple[Array, Array]:
    """Gradients by the pre-activations (N, 4 H) and by the old c; see `cells.lstm_step_back`."""
    i, f, o, g = np.split(gates, 4, axis=1)
    e = dc + dh * o * (1 - squashed * squashed)
    parts = e * g * i * (1 - i), e * c * f * (1 - f), dh * squashed * o * (1 - o), e * i * (1 - g * g)
    return np.concatenate(parts, axis=1), e * f


def _sequence_gradients(
    x: Array,
    h0: Array,
    h: Array,
    Wx: Array,  # noqa: N803
    da: Array,
    dh0: Array,
) -> tuple[Array, Array, Array, Array, Array]:
    """dx, dh0, dWx, dWh, db: the sum over all steps is one product of all steps' rows."""
    before = np.concatenate((h0[:, None], h), axis=1)[:, : h.shape[1]]
    rows = da.reshape(-1, da.shape[2])
    dWx = x.reshape(-1, x.shape[2]).T @ rows  # noqa: N806
    dWh = before.reshape(-1, h0.shape[1]).T @ rows  # noqa: N806
    return da @ Wx.T, dh0, dWx, dWh, rows.sum(0)
