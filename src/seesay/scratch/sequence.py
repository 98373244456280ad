"""What the kernels for whole sequences share: the large matrix products before and after the loop over time.

A kernel runs one direction of one layer over packed rows (see packing.py). Only h W_hh has to wait for the step before
it; x W_ih is one product for all steps, and so is each weight gradient once the loop backwards has left the gradient by
every pre-activation in place. The loops themselves (`sequence_rnn.py`, `sequence_gru.py`, `sequence_lstm.py`) write
into buffers made beforehand.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from seesay.scratch.arrays import Array, Weights
from seesay.scratch.packing import Packing

State = tuple[Array, ...]
BLOCK = 32  # rows worked on at a time where a pass follows another: they fit the second-level cache between the two


class Gradients(NamedTuple):
    """The gradients of one direction of one layer."""

    x: Array  # (N, I)
    state: State  # as the initial state
    weights: Weights


class Kernel(Protocol):
    """One direction of one layer over packed rows: `forward` returns the last state and a cache for one `backward`.

    forward: x (N, I), weights, initial state ((B, P), ...) sorted as the packing is; outputs (N, P) go to `out`.
    backward: gradients by the outputs (N, P) and by the last state; it works inside the cache, which is spent then.
    """

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, Any]:
        """Outputs to `out`; the last state and a cache."""
        ...

    def backward(self, cache: Any, dout: Array, dstate: State) -> Gradients:
        """Gradients by x, by the initial state and by the weights."""
        ...


def project(x: Array, weight: Array, bias: Array | None, out: Array) -> None:
    """Writes x Wᵀ + b for all rows to `out`, adding the bias while a block is still in the cache."""
    transposed = weight.T
    for low in range(0, len(x), BLOCK):
        block = out[low : low + BLOCK]
        np.matmul(x[low : low + BLOCK], transposed, out=block)
        if bias is not None:
            block += bias


def both_biases(w: Weights) -> Array | None:
    """b_ih + b_hh, which act as one wherever the two parts of a pre-activation are simply added."""
    return None if w.bias_ih is None or w.bias_hh is None else w.bias_ih + w.bias_hh


def weight_gradients(da: Array, x: Array, before: Array, w: Weights, dhr: Array | None = None) -> Weights:
    """The gradients by the weights where both parts have the same pre-activation gradient `da` (N, G H)."""
    by_bias = None if w.bias_ih is None else np.ones(len(da), da.dtype) @ da
    return Weights(da.T @ x, da.T @ before, by_bias, None if by_bias is None else by_bias.copy(), dhr)
