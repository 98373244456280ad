"""The kernel of tanh and relu RNNs: forward and backward through time over packed rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing, resume
from seesay.scratch.sequence import (
    BLOCK,
    Gradients,
    bias_gradient,
    both_biases,
    input_gradient,
    repeated,
    transposed,
    weight_gradient,
)


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: Array
    states: Array  # the outputs: they decide the derivative, so that nothing else is kept
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
        states = self.memory.take((len(x), len(w.hh)), x.dtype)
        np.matmul(x, w.ih.T, out=states)
        tile = None if bias is None else repeated(bias[None], len(first))[0]
        recurrent, product = transposed(w.hh[None])[0], np.empty(first.shape, x.dtype)
        h = first
        for start, stop in packing.steps(reverse):
            h, a = resume(first, h, stop - start), states[start:stop]
            part = product[: stop - start]
            np.matmul(h, recurrent, out=part)
            a += part
            if tile is not None:
                a += tile[: stop - start]
            if self.relu:
                np.maximum(a, 0, out=a)
            else:
                np.tanh(a, out=a)
            h = a
        out[...] = states
        return (packing.last(first, states, reverse),), _Cache(x, w, first, states, packing, reverse, (states,))

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """da_t = (dout_t + da_{t+1} W_hh) h'(a_t); see `cells.rnn_step_back`."""
        x, w, first, states, packing, reverse, held = cache
        dh = dstate[0].copy()
        da = self.memory.take(states.shape, states.dtype)
        before = packing.before(first, states, reverse, self.memory)
        for low, high, steps in packing.blocks(reverse, BLOCK):
            block, outputs = da[low:high], states[low:high]
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
        by_bias = None if w.bias_ih is None else bias_gradient(da[None], (0,))
        by_x, by_h = weight_gradient(da[None], x, (0,)), weight_gradient(da[None], before, (0,))
        weights = Weights(by_x, by_h, by_bias, None if by_bias is None else by_bias.copy())
        dx = input_gradient(da[None], w.ih[None], self.memory)
        self.memory.give(da, before, *held)
        return Gradients(dx, (dh,), weights)
