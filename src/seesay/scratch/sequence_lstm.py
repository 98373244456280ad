"""The kernel of LSTMs, with or without projection: forward and backward through time over packed rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, Weights
from seesay.scratch.packing import Packing, resume
from seesay.scratch.sequence import BLOCK, Gradients, State, both_biases, project, weight_gradients


class Prepared(NamedTuple):
    """An LSTM's weights as the kernel wants them: the gates of σ halved (see `prepare`)."""

    ih: Array  # (4 H, I)
    bias: Array | None  # (4 H,)
    recurrent: Array  # (P, 4 H), transposed
    scale: Array  # (4 H,): 1/2 for i f o, 1 for g
    shift: Array  # (4 H,): 1/2 for i f o, 0 for g


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: State
    out: Array
    gates: Array  # (N, 4 H): i f g o
    cells: Array  # (N, H): c
    squashed: Array  # (N, H): tanh(c)
    packing: Packing
    reverse: bool


def prepare(w: Weights) -> Prepared:
    """σ(a) = (1 + tanh(a/2)) / 2 lets one tanh do for all four gates; a's halving goes into the weights."""
    size = len(w.ih) // 4
    scale, shift = np.full(4 * size, 0.5, w.ih.dtype), np.full(4 * size, 0.5, w.ih.dtype)
    scale[2 * size : 3 * size], shift[2 * size : 3 * size] = 1, 0
    bias = both_biases(w)
    recurrent = np.ascontiguousarray(w.hh.T)
    recurrent *= scale
    return Prepared(w.ih * scale[:, None], None if bias is None else bias * scale, recurrent, scale, shift)


def advance(h: Array, c: Array, p: Prepared, gates: Array, product: Array, cells: Array, squashed: Array) -> None:
    """One step in place: `gates` (n, 4 H) holds the input's part of i f g o, and afterwards the gates.

    `product` (n, 4 H) is scratch space; the new c goes to `cells` (which may be `c`), its tanh to `squashed`: the new h is
    o times that. Nothing is allocated.
    """
    size = c.shape[1]
    np.matmul(h, p.recurrent, out=product)
    gates += product
    np.tanh(gates, out=gates)
    gates *= p.scale
    gates += p.shift
    np.multiply(gates[:, size : 2 * size], c, out=cells)
    np.multiply(gates[:, :size], gates[:, 2 * size : 3 * size], out=squashed)
    cells += squashed
    np.tanh(cells, out=squashed)


class LSTMKernel:
    """`cells.lstm_step` over a whole sequence (see sequence.Kernel).

    >>> packing, out = Packing(time=2, batch=1), np.empty((2, 1))
    >>> weights, first = Weights(ih=np.zeros((4, 1)), hh=np.zeros((4, 1))), (np.zeros((1, 1)), np.full((1, 1), 2.0))
    >>> (h, c), cache = LSTMKernel().forward(np.ones((2, 1)), weights, first, packing, False, out)
    >>> c.item(), round(h.item(), 4)
    (0.5, 0.2311)
    """

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        size, p = state[1].shape[1], prepare(w)
        gates = np.empty((len(x), 4 * size), x.dtype)
        project(x, p.ih, p.bias, gates)
        cells, squashed = np.empty((len(x), size), x.dtype), np.empty((len(x), size), x.dtype)
        product, whole = np.empty((len(state[0]), 4 * size), x.dtype), np.empty((len(state[0]), size), x.dtype)
        projection = None if w.hr is None else np.ascontiguousarray(w.hr.T)
        h, c = state
        for start, stop in packing.steps(reverse):
            count = stop - start
            h, c = resume(state[0], h, count), resume(state[1], c, count)
            a, new, flat = gates[start:stop], cells[start:stop], squashed[start:stop]
            advance(h, c, p, a, product[:count], new, flat)
            if projection is None:
                np.multiply(a[:, 3 * size :], flat, out=out[start:stop])
            else:
                np.multiply(a[:, 3 * size :], flat, out=whole[:count])
                np.matmul(whole[:count], projection, out=out[start:stop])
            h, c = out[start:stop], new
        last = packing.last(state[0], out, reverse), packing.last(state[1], cells, reverse)
        return last, _Cache(x, w, state, out, gates, cells, squashed, packing, reverse)

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """See `cells.lstm_step_back`; what does not wait for the next step is worked out a block at a time."""
        x, w, first, out, gates, cells, squashed, packing, reverse = cache
        dh, dc = dstate[0].copy(), dstate[1].copy()
        size = dc.shape[1]
        # The projection's gradient is one product too, of all gradients by its outputs with all its inputs o tanh(c).
        whole = None if w.hr is None else gates[:, 3 * size :] * squashed
        by_out = None if w.hr is None else np.empty(out.shape, out.dtype)
        before = packing.before(first[1], cells, reverse)
        space, spare, unprojected = np.empty((BLOCK + len(dh), 6 * size), x.dtype), np.empty_like(dc), np.empty_like(dc)
        for low, high, steps in packing.blocks(reverse, BLOCK):
            local = space[: high - low]
            _local_derivatives(gates[low:high], squashed[low:high], before[low:high], local, size)
            by_gate, forget, through = (
                local[:, : 4 * size].reshape(-1, 4, size),
                local[:, 4 * size : 5 * size],
                local[:, 5 * size :],
            )
            for start, stop in steps:
                count, here = stop - start, slice(start - low, stop - low)
                d, e, a = dh[:count], dc[:count], gates[start:stop]
                d += dout[start:stop]
                by_h = d
                if by_out is not None and w.hr is not None:
                    by_out[start:stop] = d
                    by_h = unprojected[:count]
                    np.matmul(d, w.hr, out=by_h)
                np.multiply(by_h, through[here], out=spare[:count])
                e += spare[:count]
                da = a.reshape(count, 4, size)
                np.multiply(by_gate[here, :3], e[:, None], out=da[:, :3])
                np.multiply(by_gate[here, 3], by_h, out=da[:, 3])
                e *= forget[here]
                np.matmul(a, w.hh, out=d)
        dhr = None if by_out is None or whole is None else by_out.T @ whole
        weights = weight_gradients(gates, x, packing.before(first[0], out, reverse), w, dhr)
        return Gradients(gates @ w.ih, (dh, dc), weights)


def _local_derivatives(gates: Array, squashed: Array, before: Array, out: Array, size: int) -> None:
    """Writes six blocks: g i(1-i), c f(1-f), i (1-g²), tanh(c') o(1-o), then f, and o (1 - tanh²(c')).

    Little is computed: with u = i g, v = f c and h = o tanh(c') they are u(1-i), v(1-f), i - u g, h(1-o), f and
    o - h tanh(c').
    """
    i, f, g, o = (gates[:, gate * size : (gate + 1) * size] for gate in range(4))
    by_i, by_f, by_g, by_o, forget, through = (out[:, gate * size : (gate + 1) * size] for gate in range(6))
    np.subtract(1, gates[:, : 2 * size], out=out[:, : 2 * size])
    np.subtract(1, o, out=by_o)
    np.multiply(o, squashed, out=forget)  # h, for a moment
    by_o *= forget
    forget *= squashed
    np.subtract(o, forget, out=through)
    np.multiply(i, g, out=forget)  # u
    by_i *= forget
    forget *= g
    np.subtract(i, forget, out=by_g)
    np.multiply(f, before, out=forget)  # v
    by_f *= forget
    np.copyto(forget, f)
