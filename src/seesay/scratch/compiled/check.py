"""Whether a library computes what NumPy does: asked once, before any result of it is used."""

from __future__ import annotations

import numpy as np

from seesay.scratch.arrays import Array, Weights
from seesay.scratch.compiled.binding import Library
from seesay.scratch.compiled.kernel import CompiledKernel
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import Kernel
from seesay.scratch.sequence_gru import GRUKernel
from seesay.scratch.sequence_lstm import LSTMKernel
from seesay.scratch.sequence_rnn import RNNKernel

WITHIN = 2e-5  # the sums of the example are of some dozens of numbers near 1


def agrees(library: Library) -> bool:
    """Whether a small example of each kind, with sequences of different lengths, has NumPy's results both ways."""
    plain: dict[str, Kernel] = {"tanh": RNNKernel(), "relu": RNNKernel(True), "gru": GRUKernel(), "lstm": LSTMKernel()}
    for kind, kernel in plain.items():
        for reverse in (False, True):
            ours = _results(kind, CompiledKernel(kind, library, block=8), reverse)
            theirs = _results(kind, kernel, reverse)
            # Not `max() < WITHIN`: with that, a nan in one of several arrays could go unseen.
            if not all(bool((np.abs(a - b) <= WITHIN).all()) for a, b in zip(ours, theirs, strict=True)):
                return False
    return True


def _results(kind: str, kernel: Kernel, reverse: bool) -> list[Array]:
    random, size, inputs, batch = np.random.default_rng(0), 19, 5, 7
    rows = {"gru": 3, "lstm": 4}.get(kind, 1) * size

    def draw(*shape: int) -> Array:
        return random.uniform(-0.5, 0.5, shape).astype(np.float32)

    packing = Packing(4, batch, np.array([4, 2, 3, 0, 4, 1, 3]))
    w = Weights(draw(rows, inputs), draw(rows, size), draw(rows), draw(rows))
    parts = 2 if kind == "lstm" else 1
    state, dstate = (tuple(draw(batch, size) for _ in range(parts)) for _ in range(2))
    out, dout = np.empty((packing.rows, size), np.float32), draw(packing.rows, size)
    last, cache = kernel.forward(draw(packing.rows, inputs), w, state, packing, reverse, out)
    found = kernel.backward(cache, dout, dstate)
    return [out, *last, found.x, *found.state, *(part for part in found.weights if part is not None)]
