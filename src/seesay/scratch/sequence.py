"""What the kernels for whole sequences share: the large matrix products before and after the loop over time.

A kernel runs one direction of one layer over packed rows (see packing.py). Only h W_hh has to wait for the step before
it; x W_ih is one product for all steps, and so is each weight gradient once the loop backwards has left the gradient by
every pre-activation in place. The loops themselves (`sequence_rnn.py`, `sequence_gru.py`, `sequence_lstm.py`) write
into buffers made beforehand.

Forwards gates lie in planes (G, N, H): each gate of a step is then one stretch of memory, over which a ufunc runs
without starting anew at every row, and the small products of a step, one for each gate, are the fastest there are.
Backwards the gradients by the pre-activations lie in rows (N, G H): a sum over gates is then part of one product.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing

BLOCK = 1 << 15  # numbers in a plane that is worked on at a time: a few planes fit the second-level cache
TILE = 32  # columns transposed at a time


class Gradients(NamedTuple):
    """The gradients of one direction of one layer."""

    x: Array  # (N, I)
    state: State  # as the initial state
    weights: Weights


class Kernel(Protocol):
    """One direction of one layer over packed rows: `forward` returns the last state and a cache for one `backward`.

    It takes its buffers from a Memory; those in the cache's `held` go back to it once nobody needs the cache.

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


def transposed(matrices: Array) -> Array:
    """Each of G matrices (G, H, P) transposed, in memory too: a product with few rows then runs up to twice as fast.

    >>> transposed(np.arange(6.0).reshape(1, 2, 3))[0].tolist()
    [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    gates, height, width = matrices.shape
    turned = np.empty((gates, width, height), matrices.dtype)
    for low in range(0, height, TILE):  # a tile at a time, which the cache can hold both ways
        turned[:, :, low : low + TILE] = matrices[:, low : low + TILE].transpose(0, 2, 1)
    return turned


def repeated(bias: Array, rows: int) -> Array:
    """A bias (G, H) for each of so many rows, (G, B, H): a step adds it while its own part lies in the nearest cache.

    >>> repeated(np.array([[1.0, 2.0]]), 2).tolist()
    [[[1.0, 2.0], [1.0, 2.0]]]
    """
    return np.repeat(bias[:, None], rows, axis=1)


def both_biases(w: Weights) -> Array | None:
    """b_ih + b_hh, which act as one wherever the two parts of a pre-activation are simply added."""
    return None if w.bias_ih is None or w.bias_hh is None else w.bias_ih + w.bias_hh


def block_rows(width: int) -> int:
    """The rows of this width that are worked on at a time where one pass follows another over them.

    >>> block_rows(128), block_rows(1 << 20)
    (256, 1)
    """
    return max(1, BLOCK // width)


def state_gradient(da: Array, first: Array, rows: Array, packing: Packing, reverse: bool, memory: Memory) -> Array:
    """The gradient by W_hh (G H, P), da^T times what each row started from: the row a step earlier, or `first`.

    da is (N, G H), rows (N, P), first (B, P). Sequences of one length need no copy: the rows a step earlier lie in one
    stretch, and what `first` gives is added, unless it is zero as it mostly is.
    """
    if not packing.even or packing.rows <= packing.batch:
        before = packing.before(first, rows, reverse, memory)
        gradient: Array = da.T @ before
        memory.give(before)
        return gradient
    batch = packing.batch
    if reverse:
        gradient, starting = da[:-batch].T @ rows[batch:], da[-batch:]
    else:
        gradient, starting = da[batch:].T @ rows[:-batch], da[:batch]
    if first.any():
        gradient += starting.T @ first
    return gradient


def bias_gradient(da: Array) -> Array:
    """The gradient by a bias (G H,): the sum of da (N, G H) over all rows, as a product, which is the faster sum."""
    gradient: Array = np.ones(len(da), da.dtype) @ da
    return gradient
