"""The masked road: every sequence takes every step, and a mask keeps the state of one that has ended, or not yet begun.

It computes what the packed road does, from the plain cells, one step at a time: slower, and the readable proof that the
packed road is right. On it a padded place never reaches a state, an output or a gradient, whatever it holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.cells import Step, StepBack
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import Gradients


class _Cache(NamedTuple):
    x: Array
    w: Weights
    steps: list[tuple[int, int, Array, Any]]  # rows, who was at work, and the cell's cache
    held: tuple[Array, ...] = ()


@dataclass(frozen=True)
class MaskedKernel:
    """A cell of `cells.py` over padded rows (T B, I), step after step (see sequence.Kernel); packing must be even.

    >>> from seesay.scratch.cells import rnn_step, rnn_step_back
    >>> kernel = MaskedKernel(rnn_step, rnn_step_back, np.array([1, 0]))
    >>> weights, out = Weights(ih=np.ones((1, 1)), hh=np.ones((1, 1))), np.empty((4, 1))
    >>> (last,), _ = kernel.forward(np.zeros((4, 1)), weights, (np.full((2, 1), 9.0),), Packing(2, 2), False, out)
    >>> out.round(1).ravel().tolist(), last.round(1).ravel().tolist()
    ([1.0, 0.0, 0.0, 0.0], [1.0, 9.0])
    """

    step: Step
    back: StepBack
    lengths: NDArray[np.intp]

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`, zero beyond each sequence's end; the last state and the cache."""
        steps = []
        for start, stop in packing.steps(reverse):
            alive = (self.lengths > start // packing.batch)[:, None]
            new, cache = self.step(np.where(alive, x[start:stop], 0), state, w)
            state = tuple(np.where(alive, after, before) for after, before in zip(new, state, strict=True))
            out[start:stop] = np.where(alive, state[0], 0)
            steps.append((start, stop, alive, cache))
        return tuple(part.copy() for part in state), _Cache(x, w, steps)

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """A step not taken hands the state's gradient through as it is, and gives none to x or to the weights."""
        dx = np.zeros(cache.x.shape, cache.x.dtype)
        total = Weights(*(None if part is None else np.zeros_like(part) for part in cache.w))  # type: ignore[arg-type]
        for start, stop, alive, inner in reversed(cache.steps):
            dh = dstate[0] + dout[start:stop]
            at_work = tuple(np.where(alive, d, 0) for d in (dh, *dstate[1:]))
            dx[start:stop], through, weights = self.back(at_work, inner)
            dstate = tuple(np.where(alive, new, old) for new, old in zip(through, dstate, strict=True))
            for sum_, part in zip(total, weights, strict=True):
                if sum_ is not None and part is not None:
                    sum_ += part
        return Gradients(dx, tuple(part.copy() for part in dstate), total)
