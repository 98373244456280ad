"""The kernel of tanh and relu RNNs: forward and backward through time over packed rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, Weights
from seesay.scratch.packing import Packing, resume
from seesay.scratch.sequence import BLOCK, Gradients, State, both_biases, project, weight_gradients


class _Cache(NamedTuple):
    x: Array
    w: Weights
    first: Array
    out: Array  # the outputs decide the derivative: nothing else is kept
    packing: Packing
    reverse: bool


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

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        (first,) = state
        project(x, w.ih, both_biases(w), out)  # the outputs take shape where the pre-activations stand
        recurrent, product = np.ascontiguousarray(w.hh.T), np.empty_like(first)
        h = first
        for start, stop in packing.steps(reverse):
            h, a = resume(first, h, stop - start), out[start:stop]
            part = product[: stop - start]
            np.matmul(h, recurrent, out=part)
            part += a
            if self.relu:
                np.maximum(part, 0, out=a)
            else:
                np.tanh(part, out=a)
            h = a
        return (packing.last(first, out, reverse),), _Cache(x, w, first, out, packing, reverse)

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """da_t = (dout_t + da_{t+1} W_hh) h'(a_t); see `cells.rnn_step_back`."""
        x, w, first, out, packing, reverse = cache
        dh = dstate[0].copy()
        da = np.empty(out.shape, out.dtype)
        for low, high, steps in packing.blocks(reverse, BLOCK):
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
        weights = weight_gradients(da, x, packing.before(first, out, reverse), w)
        return Gradients(da @ w.ih, (dh,), weights)
