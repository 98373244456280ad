"""Layers upon layers: each reads what both directions of the one below wrote, and dropout stands between two."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.compiled.kernel import CompiledKernel
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import Gradients, Kernel
from seesay.scratch.threads import get_num_threads, in_parallel

# Below this many multiplications a step the interpreter's own time rules, and a second thread would only wait for it.
WORTH_A_THREAD = 250_000
WORTH_A_THREAD_COMPILED = 10_000_000  # of all steps


class StackCache(NamedTuple):
    """What the way back needs of the way forth."""

    kernel: Kernel
    packing: Packing
    layers: list[list[Any]]  # a cache for each direction
    masks: Sequence[Array]
    memory: Memory
    outs: list[Array]  # each layer's outputs

    def release(self) -> None:
        """Gives all memory back, where no way back will follow."""
        for caches, out in zip(self.layers, self.outs, strict=True):
            self.memory.give(out, *(array for cache in caches for array in cache.held))
        self.layers.clear()
        self.outs.clear()


class StackGradients(NamedTuple):
    """The gradients of a whole stack."""

    x: Array
    state: State
    weights: list[Weights]  # layer by layer, forwards before backwards


def stack_forward(
    kernel: Kernel,
    layers: list[list[Weights]],
    x: Array,
    state: State,
    packing: Packing,
    masks: Sequence[Array],
    memory: Memory,
) -> tuple[Array, State, StackCache]:
    """Outputs (N, D P), last state and cache, from rows x (N, I) and a sorted state ((L D, B, P), ...).

    `masks` are the rows of factors (N, D P) that dropout puts between two layers; none where nothing is dropped.
    """
    directions, hidden = len(layers[0]), state[0].shape[2]
    caches, states, outs = [], [], []
    for number, weights in enumerate(layers):
        if number and masks:
            x = x * masks[number - 1]
        out = memory.take((packing.rows, directions * hidden), x.dtype)
        outs.append(out)
        tasks = [
            partial(
                kernel.forward,
                x,
                weights[way],
                tuple(part[number * directions + way] for part in state),
                packing,
                way == 1,
                out[:, way * hidden : (way + 1) * hidden],
            )
            for way in range(directions)
        ]
        found = in_parallel(tasks, worth_a_thread(kernel, weights[0], packing.batch, packing.rows))
        states += [last for last, _ in found]
        caches.append([cache for _, cache in found])
        x = out
    last = tuple(np.stack(parts) for parts in zip(*states, strict=True))
    return x, last, StackCache(kernel, packing, caches, masks, memory, outs)


def stack_backward(cache: StackCache, dout: Array, dstate: State) -> StackGradients:
    """Gradients by x (N, I), by the initial state and by every layer's weights; the cache is spent then."""
    states: list[State] = []
    by_weights: list[Weights] = []
    top = len(cache.layers) - 1
    for number in reversed(range(top + 1)):
        caches = cache.layers.pop()
        directions = len(caches)
        hidden = dout.shape[1] // directions
        given = [
            (
                caches[way],
                dout[:, way * hidden : (way + 1) * hidden],
                tuple(part[number * directions + way] for part in dstate),
            )
            for way in range(directions)
        ]
        dx, found = _layer_backward(cache, given, number == 0)
        cache.memory.give(cache.outs.pop())
        if number < top:
            cache.memory.give(dout)
        dout = dx
        if number and cache.masks:
            dout *= cache.masks[number - 1]
        states[:0] = [state for state, _ in found]
        by_weights[:0] = [weights for _, weights in found]
    return StackGradients(dout, tuple(np.stack(parts) for parts in zip(*states, strict=True)), by_weights)


def _layer_backward(
    cache: StackCache, given: list[tuple[Any, Array, State]], lowest: bool
) -> tuple[Array, list[tuple[State, Weights]]]:
    """One layer's gradient by its input; by state and weights for each direction, given its cache, dout and dstate."""
    kernel, packing, w, x = cache.kernel, cache.packing, given[0][0].w, given[0][0].x
    parallel = worth_a_thread(kernel, w, packing.batch, packing.rows)
    if isinstance(kernel, CompiledKernel):
        found = in_parallel([partial(kernel.backward_but_x, *one) for one in given], parallel)
        # What is handed out does not come back to the memory's buffers.
        out = np.empty(x.shape, x.dtype) if lowest and packing.even else cache.memory.take(x.shape, x.dtype)
        return kernel.by_x([one[0] for one in given], out, get_num_threads() if parallel else 1), found
    gradients: list[Gradients] = in_parallel([partial(kernel.backward, *one) for one in given], parallel)
    dx = gradients[0].x
    for other in gradients[1:]:
        halves = [slice(0, len(dx) // 2), slice(len(dx) // 2, None)]
        in_parallel([partial(np.add, dx[rows], other.x[rows], dx[rows]) for rows in halves], parallel)
        cache.memory.give(other.x)
    return dx, [(one.state, one.weights) for one in gradients]


def worth_a_thread(kernel: Kernel, weights: Weights, batch: int, rows: int) -> bool:
    """Whether a direction over this batch, of so many rows in all its steps, is long enough for a thread of its own."""
    if isinstance(kernel, CompiledKernel):  # no interpreter between its steps
        return weights.hh.size * rows >= WORTH_A_THREAD_COMPILED
    return weights.hh.size * batch >= WORTH_A_THREAD
