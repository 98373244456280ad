"""The kernel of GRUs: forward and backward through time over packed rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, Weights
from seesay.scratch.packing import Packing, resume
from seesay.scratch.sequence import BLOCK, Gradients, State, project


class Prepared(NamedTuple):
    """A GRU's weights as the kernel wants them: gates in the order n z r | z r q, those of σ halved (see `prepare`)."""

    ih: Array  # (3 H, I): n z r
    bias: Array | None  # (3 H,)
    recurrent: Array  # (H, 3 H): z r q, transposed
    bias_q: Array | None  # (H,)


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: Array
    out: Array
    gates: Array  # (N, 4 H): n z r q
    packing: Packing
    reverse: bool


def _swap(blocks: Array, order: tuple[int, int, int]) -> Array:
    """The three gate blocks along the first axis in another order."""
    size = len(blocks) // 3
    return np.concatenate([blocks[gate * size : (gate + 1) * size] for gate in order])


def prepare(w: Weights) -> Prepared:
    """Gates in the order n z r q, so that what backward needs together lies together: n z r belong to x, z r q to h.

    σ(a) = (1 + tanh(a/2)) / 2 lets tanh do for every gate; the halving of a is put into the weights, once a call.
    """
    size = len(w.hh) // 3
    half = np.ones((3 * size, 1), w.ih.dtype)
    half[size:] = 0.5
    recurrent = _swap(w.hh, (1, 0, 2))
    recurrent[: 2 * size] *= 0.5
    bias = bias_q = None
    if w.bias_ih is not None and w.bias_hh is not None:
        bias, bias_q = _swap(w.bias_ih, (2, 1, 0)), w.bias_hh[2 * size :]
        bias[size:] += _swap(w.bias_hh, (1, 0, 2))[: 2 * size]
        bias *= half[:, 0]
    return Prepared(_swap(w.ih, (2, 1, 0)) * half, bias, np.ascontiguousarray(recurrent.T), bias_q)


def advance(h: Array, p: Prepared, gates: Array, product: Array, out: Array) -> None:
    """One step in place: `gates` (n, 4 H) holds the input's part of n z r, and afterwards the gates n z r and q.

    `product` (n, 3 H) is scratch space; the new state goes to `out` (n, H). Nothing is allocated.
    """
    size = h.shape[1]
    np.matmul(h, p.recurrent, out=product)
    n, zr, q = gates[:, :size], gates[:, size : 3 * size], gates[:, 3 * size :]
    spare, last = product[:, :size], product[:, 2 * size :]
    zr += product[:, : 2 * size]
    np.tanh(zr, out=zr)
    zr *= 0.5
    zr += 0.5
    if p.bias_q is not None:
        last += p.bias_q
    np.copyto(q, last)
    np.multiply(zr[:, size:], q, out=spare)
    n += spare
    np.tanh(n, out=n)
    np.subtract(h, n, out=spare)  # h' = n + z (h - n)
    spare *= zr[:, :size]
    np.add(n, spare, out=out)


class GRUKernel:
    """`cells.gru_step` over a whole sequence (see sequence.Kernel).

    >>> packing, out = Packing(time=2, batch=1), np.empty((2, 1))
    >>> weights = Weights(ih=np.zeros((3, 1)), hh=np.zeros((3, 1)))
    >>> (last,), cache = GRUKernel().forward(np.ones((2, 1)), weights, (np.ones((1, 1)),), packing, False, out)
    >>> out.ravel().tolist()
    [0.5, 0.25]
    """

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        (first,) = state
        size, p = first.shape[1], prepare(w)
        gates = np.empty((len(x), 4 * size), x.dtype)
        project(x, p.ih, p.bias, gates[:, : 3 * size])
        product = np.empty((len(first), 3 * size), x.dtype)
        h = first
        for start, stop in packing.steps(reverse):
            h = resume(first, h, stop - start)
            advance(h, p, gates[start:stop], product[: stop - start], out[start:stop])
            h = out[start:stop]
        return (packing.last(first, out, reverse),), _Cache(x, w, first, out, gates, packing, reverse)

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """See `cells.gru_step_back`; what does not wait for the next step is worked out a block at a time."""
        x, w, first, out, gates, packing, reverse = cache
        dh, size = dstate[0].copy(), first.shape[1]
        before = packing.before(first, out, reverse)
        back = _swap(w.hh, (1, 0, 2))
        space = np.empty((BLOCK + len(dh), 5 * size), x.dtype)
        product = np.empty_like(dh)
        for low, high, steps in packing.blocks(reverse, BLOCK):
            local = space[: high - low]
            _local_derivatives(gates[low:high], before[low:high], local, size)
            pairs, kept = local[:, : 4 * size].reshape(-1, 2, 2, size), local[:, 4 * size :]
            for start, stop in steps:
                d, a = dh[: stop - start], gates[start:stop]
                here = slice(start - low, stop - low)
                d += dout[start:stop]
                da = a.reshape(-1, 2, 2, size)
                np.multiply(pairs[here, 0], d[:, None], out=da[:, 0])  # da_n, da_z
                np.multiply(pairs[here, 1], da[:, 0, :1], out=da[:, 1])  # da_r, dq from da_n
                part = product[: stop - start]
                np.matmul(a[:, size:], back, out=part)
                d *= kept[here]
                d += part
        by_x, by_h = gates[:, : 3 * size], gates[:, size:]
        bias_ih = bias_hh = None
        if w.bias_ih is not None:
            sums = np.ones(len(gates), gates.dtype) @ gates
            bias_ih, bias_hh = _swap(sums[: 3 * size], (2, 1, 0)), _swap(sums[size:], (1, 0, 2))
        weights = Weights(_swap(by_x.T @ x, (2, 1, 0)), _swap(by_h.T @ before, (1, 0, 2)), bias_ih, bias_hh)
        return Gradients(by_x @ _swap(w.ih, (2, 1, 0)), (dh,), weights)


def _local_derivatives(gates: Array, before: Array, out: Array, size: int) -> None:
    """Writes five blocks: (1-z)(1-n²), (h-n) z(1-z), q r(1-r), r, and z, by which h's own gradient is kept."""
    n, z, r, q = (gates[:, gate * size : (gate + 1) * size] for gate in range(4))
    by_n, by_z, by_r, by_q, kept = (out[:, gate * size : (gate + 1) * size] for gate in range(5))
    np.copyto(kept, z)
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
