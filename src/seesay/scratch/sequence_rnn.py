"""The kernel of tanh and relu RNNs: forward and backward through time over packed rows."""

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


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: Array
    out: Array  # it decides the derivative, so that nothing else is kept
    packing: Packing
    reverse: bool
    held: tuple[Array, ...]


@dataclass(frozen=True)
class RNNKernel:
    """h_t = tanh(x_t W_ihᵀ + h_{t-1} W_hhᵀ + b), or relu: `cells.rnn_step` over a whole sequence (see sequence.Kernel).

    >>> packing, out = Packing(time=3, batch=1), np.empty((3, 1))
    >>> weights = Weights(ih=np.ones((1, 1)), hh=np.ones((1, 1)))
    >>> first = (np.zeros((1, 1)),)
    >>> (last,), cache = RNNKernel(relu=True).forward(np.ones((3, 1)), weights, first, packing, False, out)
    >>> out.ravel().tolist(), last.item()
    ([1.0, 2.0, 3.0], 3.0)
    """

    relu: bool = False
    memory: Memory = field(default_factory=Memory)

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        (first,) = state
        bias = both_biases(w)
        by_input = self.memory.take((len(x), len(w.hh)), x.dtype)
        np.matmul(x, w.ih.T, out=by_input)
        tile = None if bias is None else repeated(bias[None], len(first))[0]
        recurrent, product = transposed(w.hh[None])[0], np.empty(first.shape, x.dtype)
        h = first
        for start, stop in packing.steps(reverse):
            h, a = resume(first, h, stop - start), product[: stop - start]
            np.matmul(h, recurrent, out=a)
            a += by_input[start:stop]
            if tile is not None:
                a += tile[: stop - start]
            h = out[start:stop]
            if self.relu:
                np.maximum(a, 0, out=h)
            else:
                np.tanh(a, out=h)
        self.memory.give(by_input)
        return (packing.last(first, out, reverse),), _Cache(x, w, first, out, packing, reverse, ())

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """da_t = (dout_t + da_{t+1} W_hh) h'(a_t); see `cells.rnn_step_back`."""
        x, w, first, out, packing, reverse, _ = cache
        dh = dstate[0].copy()
        da = self.memory.take(out.shape, out.dtype)
        for low, high, steps in packing.blocks(reverse, block_rows(out.shape[1])):
            block, outputs = da[low:high], out[low:high]
            if self.relu:
                np.greater(outputs, 0, out=block)
            else:
                np.multiply(outputs, outputs, out=block)
                np.subtract(1, block, out=block)
            for start, stop in steps:
                d, a = dh[: stop - start], da[start:stop]
                d += dout[start:stop]
                a *= d
                np.matmul(a, w.hh, out=d)
        by_bias = None if w.bias_ih is None else bias_gradient(da)
        by_h = state_gradient(da, first, out, packing, reverse, self.memory)
        weights = Weights(da.T @ x, by_h, by_bias, None if by_bias is None else by_bias.copy())
        dx = self.memory.take(x.shape, x.dtype)
        np.matmul(da, w.ih, out=dx)
        self.memory.give(da)
        return Gradients(dx, (dh,), weights)
