"""The kernel of LSTMs, with or without projection: forward and backward through time over packed rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing, resume
from seesay.scratch.sequence import (
    Gradients,
    bias_gradient,
    block_rows,
    both_biases,
    repeated,
    state_gradient,
    transposed,
)

ORDER = (0, 1, 3, 2)  # where torch.nn's i f g o has the planes i f o g: those of σ lie together


class Prepared(NamedTuple):
    """An LSTM's weights as the kernel wants them: gates in the order i f o g, those of σ halved (see `prepare`)."""

    ih: Array  # (4, H, I)
    bias: Array | None  # (4, B, H), repeated for each row
    recurrent: Array  # (4, P, H), transposed


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: State
    out: Array
    gates: Array  # (4, N, H): i f o g
    cells: Array  # (N, H): c
    squashed: Array  # (N, H): tanh(c)
    packing: Packing
    reverse: bool
    held: tuple[Array, ...]


def prepare(w: Weights, rows: int) -> Prepared:
    """σ(a) = (1 + tanh(a/2)) / 2 lets one tanh do for all four gates; a's halving goes into the weights."""
    bias, order = both_biases(w), list(ORDER)
    ih, recurrent = w.ih.reshape(4, -1, w.ih.shape[1])[order], transposed(w.hh.reshape(4, -1, w.hh.shape[1])[order])
    ih[:3] *= 0.5
    recurrent[:3] *= 0.5
    if bias is None:
        return Prepared(ih, None, recurrent)
    bias = bias.reshape(4, -1)[order]
    bias[:3] *= 0.5
    return Prepared(ih, repeated(bias, rows), recurrent)


def advance(h: Array, c: Array, p: Prepared, gates: Array, product: Array, cells: Array, squashed: Array) -> None:
    """One step in place: `gates` (4, n, H) holds x's product for i f o g, and afterwards the gates.

    `product` (4, n, H) is scratch space; the new c goes to `cells` (which may be `c`), its tanh to `squashed`: the new
    h is o times that. Nothing is allocated.
    """
    np.matmul(h, p.recurrent, out=product)
    gates += product
    if p.bias is not None:
        gates += p.bias[:, : len(h)]
    np.tanh(gates, out=gates)
    sigmoids = gates[:3]
    sigmoids *= 0.5
    sigmoids += 0.5
    np.multiply(gates[1], c, out=cells)
    np.multiply(gates[0], gates[3], out=squashed)
    cells += squashed
    np.tanh(cells, out=squashed)


@dataclass(frozen=True)
class LSTMKernel:
    """`cells.lstm_step` over a whole sequence (see sequence.Kernel).

    >>> packing, out = Packing(time=2, batch=1), np.empty((2, 1))
    >>> weights, first = Weights(ih=np.zeros((4, 1)), hh=np.zeros((4, 1))), (np.zeros((1, 1)), np.full((1, 1), 2.0))
    >>> (h, c), cache = LSTMKernel().forward(np.ones((2, 1)), weights, first, packing, False, out)
    >>> c.item(), round(h.item(), 4)
    (0.5, 0.2311)
    """

    memory: Memory = field(default_factory=Memory)

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        size, p = state[1].shape[1], prepare(w, len(state[1]))
        gates = self.memory.take((4, len(x), size), x.dtype)
        np.matmul(x, p.ih.transpose(0, 2, 1), out=gates)
        cells, squashed = (self.memory.take((len(x), size), x.dtype) for _ in range(2))
        space, whole = np.empty(4 * state[1].size, x.dtype), np.empty(state[1].shape, x.dtype)
        projection = None if w.hr is None else transposed(w.hr[None])[0]
        h, c = state
        for start, stop in packing.steps(reverse):
            count = stop - start
            h, c = resume(state[0], h, count), resume(state[1], c, count)
            a, new, flat, output = gates[:, start:stop], cells[start:stop], squashed[start:stop], out[start:stop]
            advance(h, c, p, a, space[: 4 * new.size].reshape(4, *new.shape), new, flat)
            if projection is None:
                np.multiply(a[2], flat, out=output)
            else:
                np.multiply(a[2], flat, out=whole[:count])
                np.matmul(whole[:count], projection, out=output)
            h, c = output, new
        last = packing.last(state[0], out, reverse), packing.last(state[1], cells, reverse)
        return last, _Cache(x, w, state, out, gates, cells, squashed, packing, reverse, (gates, cells, squashed))

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """See `cells.lstm_step_back`; what does not wait for the next step is worked out a block at a time."""
        x, w, first, out, gates, cells, squashed, packing, reverse, held = cache
        dh, dc = dstate[0].copy(), dstate[1].copy()
        size = dc.shape[1]
        # The projection's gradient is one product too, of all gradients by its outputs with all its inputs o tanh(c').
        whole = None if w.hr is None else gates[2] * squashed
        by_out = None if w.hr is None else np.empty(out.shape, out.dtype)
        da = self.memory.take((len(x), 4 * size), x.dtype)
        planes, most = da.reshape(-1, 4, size).transpose(1, 0, 2), block_rows(size)
        local, spare = self.memory.take((5, most + len(dc), size), x.dtype), np.empty_like(dc)
        unprojected = np.empty_like(dc)
        for low, high, steps in packing.blocks(reverse, most):
            _local_derivatives(gates[:, low:high], squashed[low:high], cells[low:high], local[:, : high - low])
            for start, stop in steps:
                count = stop - start
                d, e, to, by = dh[:count], dc[:count], planes[:, start:stop], local[:, start - low : stop - low]
                d += dout[start:stop]
                by_h = d
                if by_out is not None and w.hr is not None:
                    by_out[start:stop] = d
                    by_h = unprojected[:count]
                    np.matmul(d, w.hr, out=by_h)
                np.multiply(by_h, by[4], out=spare[:count])
                e += spare[:count]
                np.multiply(by[:3], e, out=to[:3])
                np.multiply(by[3], by_h, out=to[3])
                e *= gates[1, start:stop]
                np.matmul(da[start:stop], w.hh, out=d)
        weights = Weights(da.T @ x, state_gradient(da, first[0], out, packing, reverse, self.memory))
        if w.bias_ih is not None:
            by_bias = bias_gradient(da)
            weights = weights._replace(bias_ih=by_bias, bias_hh=by_bias.copy())
        if by_out is not None and whole is not None:
            weights = weights._replace(hr=by_out.T @ whole)
        dx = self.memory.take(x.shape, x.dtype)
        np.matmul(da, w.ih, out=dx)
        self.memory.give(da, local, *held)
        return Gradients(dx, (dh, dc), weights)


def _local_derivatives(gates: Array, squashed: Array, cells: Array, out: Array) -> None:
    """Writes five planes: g i(1-i), c f(1-f), i (1-g²), tanh(c') o(1-o), and o (1 - tanh²(c')).

    With u = i g and h = o tanh(c') they are u(1-i), (c'-u)(1-f), i - u g, h(1-o) and o - h tanh(c').
    """
    i, _, o, g = gates
    by_i, by_f, by_g, by_o, through = out
    np.subtract(1, gates[:2], out=out[:2])
    np.multiply(i, g, out=by_g)  # u, for a moment
    by_i *= by_g
    np.subtract(cells, by_g, out=through)
    by_f *= through
    by_g *= g
    np.subtract(i, by_g, out=by_g)
    np.multiply(o, squashed, out=through)  # h
    np.subtract(1, o, out=by_o)
    by_o *= through
    through *= squashed
    np.subtract(o, through, out=through)
