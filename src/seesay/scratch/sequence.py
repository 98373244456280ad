"""What the kernels for whole sequences share: the large matrix products before and after the loop over time.

A kernel runs one direction of one layer over packed rows (see packing.py). Only h W_hh has to wait for the step before
it; x W_ih is one product for all steps, and so is each weight gradient once the loop backwards has left the gradient by
every pre-activation in place. The loops themselves (`sequence_rnn.py`, `sequence_gru.py`, `sequence_lstm.py`) write
into buffers made beforehand.

Gates lie in planes (G, N, H): each gate of a step is then one stretch of memory, over which a ufunc runs without
starting anew at every row, and a product for each gate costs no more than one for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing

BLOCK = 256  # rows worked on at a time where a pass follows another: they fit the second-level cache between the two
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


def input_gradient(da: Array, weights: Array, memory: Memory) -> Array:
    """The gradient by x (N, I): da_g W_g summed over the gates, from da (G, N, H) and weights (G, H, I)."""
    dx = memory.take((da.shape[1], weights.shape[2]), da.dtype)
    if len(da) == 1:
        np.matmul(da[0], weights[0], out=dx)
        return dx
    space = memory.take((len(da) * BLOCK * weights.shape[2],), da.dtype)
    for low in range(0, len(dx), BLOCK):
        block = dx[low : low + BLOCK]
        parts = space[: len(da) * block.size].reshape(len(da), *block.shape)
        np.matmul(da[:, low : low + BLOCK], weights, out=parts)
        np.add.reduce(parts, axis=0, out=block)
    memory.give(space)
    return dx


def weight_gradient(da: Array, x: Array, order: Sequence[int]) -> Array:
    """The gradient by a weight (G H, I): da_gᵀ x for each gate, `order` naming each gate's place in the weight."""
    gradient = np.empty((len(order), da.shape[2], x.shape[1]), da.dtype)
    for gate, place in enumerate(order):
        np.matmul(da[gate].T, x, out=gradient[place])
    return gradient.reshape(-1, x.shape[1])


def bias_gradient(da: Array, order: Sequence[int]) -> Array:
    """The gradient by a bias (G H,): the sum of da over all rows, gates in their places as in `weight_gradient`."""
    ones = np.ones(da.shape[1], da.dtype)
    gradient = np.empty((len(order), da.shape[2]), da.dtype)
    for gate, place in enumerate(order):
        np.matmul(ones, da[gate], out=gradient[place])
    return gradient.reshape(-1)
