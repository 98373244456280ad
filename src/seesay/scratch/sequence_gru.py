"""The kernel of GRUs: forward and backward through time over packed rows."""

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
    repeated,
    state_gradient,
    transposed,
)

INPUT, STATE = (2, 1, 0), (1, 0, 2)  # where torch.nn's r z n has the planes n z r of the input, z r q of the state


class Prepared(NamedTuple):
    """A GRU's weights as the kernel wants them: gates in the order n z r | z r q, those of σ halved (see `prepare`)."""

    ih: Array  # (3, H, I): n z r
    bias: Array | None  # (3, B, H), repeated for each row
    recurrent: Array  # (3, H, H): z r q, transposed
    bias_q: Array | None  # (B, H)


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: Array
    out: Array
    gates: Array  # (4, N, H): n z r q
    packing: Packing
    reverse: bool
    held: tuple[Array, ...]


def prepare(w: Weights, rows: int) -> Prepared:
    """Gates in the order n z r q, so that what backward needs together lies together: n z r belong to x, z r q to h.

    σ(a) = (1 + tanh(a/2)) / 2 lets tanh do for every gate; the halving of a is put into the weights, once a call.
    """
    size = w.hh.shape[1]
    ih = w.ih.reshape(3, size, -1)[list(INPUT)]
    ih[1:] *= 0.5
    recurrent = transposed(w.hh.reshape(3, size, size)[list(STATE)])
    recurrent[:2] *= 0.5
    bias = bias_q = None
    if w.bias_ih is not None and w.bias_hh is not None:
        by_state = w.bias_hh.reshape(3, size)
        bias = w.bias_ih.reshape(3, size)[list(INPUT)]
        bias[1:] += by_state[list(STATE)][:2]
        bias[1:] *= 0.5
        bias, bias_q = repeated(bias, rows), repeated(by_state[2:], rows)[0]
    return Prepared(ih, bias, recurrent, bias_q)


def advance(h: Array, p: Prepared, gates: Array, product: Array, out: Array) -> None:
    """One step in place: `gates` (4, n, H) holds x's product for n z r, and afterwards the gates n z r and q.

    `product` (3, n, H) is scratch space; the new state goes to `out` (n, H). Nothing is allocated.
    """
    np.matmul(h, p.recurrent, out=product)
    n, zr, q, spare = gates[0], gates[1:3], gates[3], product[0]
    zr += product[:2]
    if p.bias is not None:
        by_input = gates[:3]
        by_input += p.bias[:, : len(h)]
    np.tanh(zr, out=zr)
    zr *= 0.5
    zr += 0.5
    if p.bias_q is None:
        np.copyto(q, product[2])
    else:
        np.add(product[2], p.bias_q[: len(h)], out=q)
    np.multiply(gates[2], q, out=spare)
    n += spare
    np.tanh(n, out=n)
    np.subtract(h, n, out=spare)  # h' = n + z (h - n)
    spare *= gates[1]
    np.add(n, spare, out=out)


@dataclass(frozen=True)
class GRUKernel:
    """`cells.gru_step` over a whole sequence (see sequence.Kernel).

    >>> packing, out = Packing(time=2, batch=1), np.empty((2, 1))
    >>> weights = Weights(ih=np.zeros((3, 1)), hh=np.zeros((3, 1)))
    >>> (last,), cache = GRUKernel().forward(np.ones((2, 1)), weights, (np.ones((1, 1)),), packing, False, out)
    >>> out.ravel().tolist()
    [0.5, 0.25]
    """

    memory: Memory = field(default_factory=Memory)

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        (first,) = state
        size, p = first.shape[1], prepare(w, len(first))
        gates = self.memory.take((4, len(x), size), x.dtype)
        np.matmul(x, p.ih.transpose(0, 2, 1), out=gates[:3])
        space = np.empty(3 * first.size, x.dtype)
        h = first
        for start, stop in packing.steps(reverse):
            h = resume(first, h, stop - start)
            product = space[: 3 * h.size].reshape(3, *h.shape)
            advance(h, p, gates[:, start:stop], product, out[start:stop])
            h = out[start:stop]
        return (packing.last(first, out, reverse),), _Cache(x, w, first, out, gates, packing, reverse, (gates,))

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """See `cells.gru_step_back`; what does not wait for the next step is worked out a block at a time."""
        x, w, first, out, gates, packing, reverse, held = cache
        dh, size = dstate[0].copy(), first.shape[1]
        before = packing.before(first, out, reverse, self.memory)
        da = self.memory.take((len(x), 4 * size), x.dtype)  # n r z q: r z q are in the order of W_hh
        by_x, by_h = da[:, : 3 * size], da[:, size:]
        planes, most = da.reshape(-1, 4, size).transpose(1, 0, 2), block_rows(size)
        local, product = self.memory.take((4, most + len(dh), size), x.dtype), np.empty_like(dh)
        for low, high, steps in packing.blocks(reverse, most):
            _local_derivatives(gates[:, low:high], before[low:high], local[:, : high - low])
            for start, stop in steps:
                d, part, to = dh[: stop - start], product[: stop - start], planes[:, start:stop]
                by = local[:, start - low : stop - low]
                d += dout[start:stop]
                np.multiply(by[:2], d, out=to[::2])  # da_n, da_z
                np.multiply(by[2:], to[0], out=to[1::2])  # da_r, dq from da_n
                np.matmul(by_h[start:stop], w.hh, out=part)
                d *= gates[1, start:stop]
                d += part
        weights = Weights(
            np.roll(by_x.T @ x, -size, 0), state_gradient(by_h, first, out, packing, reverse, self.memory)
        )
        if w.bias_ih is not None:
            weights = weights._replace(bias_ih=np.roll(bias_gradient(by_x), -size), bias_hh=bias_gradient(by_h))
        dx = self.memory.take(x.shape, x.dtype)
        np.matmul(by_x, np.roll(w.ih, size, 0), out=dx)
        self.memory.give(da, before, local, *held)
        return Gradients(dx, (dh,), weights)


def _local_derivatives(gates: Array, before: Array, out: Array) -> None:
    """Writes four planes: (1-z)(1-n²), (h-n) z(1-z), q r(1-r) and r."""
    n, z, r, q = gates
    by_n, by_z, by_r, by_q = out
    np.copyto(by_q, r)
    np.subtract(1, r, out=by_r)
    by_r *= r
    by_r *= q
    np.subtract(before, n, out=by_z)
    by_z *= z
    np.subtract(1, z, out=by_n)
    by_z *= by_n
    np.multiply(n, n, out=r)  # n² (1-z), in a place that is free by now
    r *= by_n
    by_n -= r
