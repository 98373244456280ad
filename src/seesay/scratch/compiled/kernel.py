"""The compiled kernel of RNNs, GRUs and LSTMs in float32: sequence.Kernel in C, for whole sequences at once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.compiled.binding import KINDS, PLANES, Layer, Library, library
from seesay.scratch.memory import Memory
from seesay.scratch.packing import Packing
from seesay.scratch.sequence import Gradients, Kernel
from seesay.scratch.sequence_gru import GRUKernel
from seesay.scratch.sequence_lstm import LSTMKernel
from seesay.scratch.sequence_rnn import RNNKernel

BLOCK = 96  # rows for which what no step waits for is done at once, while they lie in the second-level cache
WORTH_IT = 1 << 20  # multiplications of a sequence's steps; below, NumPy does it without a build, always
BY_X, BY_H = (1, 2, 0), (1, 2, 3)  # of a GRU's n r z q, those of torch.nn's r z n: x's part, h's part


def faster(kernel: Kernel, weights: Weights, rows: int, threads: int = 1) -> Kernel:
    """The compiled kernel of the same kind, for layers that are worth it, where there is one; else the kernel given.

    `rows` are those of all steps. One direction's rows are worked on by up to `threads` threads, with the same bits.
    """
    kinds: dict[type, str] = {RNNKernel: "tanh", GRUKernel: "gru", LSTMKernel: "lstm"}
    kind = kinds.get(type(kernel))
    if kind is None or weights.ih.dtype != np.float32 or weights.hr is not None or weights.hh.size * rows < WORTH_IT:
        return kernel
    found = library()
    if found is None:
        return kernel
    relu = isinstance(kernel, RNNKernel) and kernel.relu
    return CompiledKernel("relu" if relu else kind, found, kernel.memory, threads)  # type: ignore[attr-defined]


class _Cache(NamedTuple):
    x: Array
    w: Weights
    layer: Layer
    packing: Packing
    held: list[Array]
    alive: tuple[Any, ...]  # what the layer holds addresses of, besides


@dataclass(frozen=True)
class CompiledKernel:
    """One direction of one layer (see sequence.Kernel); float32, no projection."""

    kind: str
    library: Library
    memory: Memory = field(default_factory=Memory)
    threads: int = 1
    block: int = BLOCK

    def forward(
        self, x: Array, w: Weights, state: State, packing: Packing, reverse: bool, out: Array
    ) -> tuple[State, _Cache]:
        """Outputs to `out`; the last state and the cache."""
        layer, size, x = Layer(), w.hh.shape[1], _in_rows(x)
        plain, padded = in_one_piece(w), self.library.padded(size)
        way = slice(None, None, -1 if reverse else 1)
        starts, counts = (np.ascontiguousarray(part[way], np.int64) for part in (packing.starts, packing.sizes))
        first = [_padded(part, padded) for part in state]
        gates = self._take(packing.rows * self.library.row(self.kind, padded))
        cells = self._take(packing.rows * padded if self.kind == "lstm" else 0)
        layer.put(kind=KINDS[self.kind], input=x.shape[1], hidden=size, padded=padded, block=self.block)
        layer.put(steps=len(starts), starts=starts, counts=counts, x=x, gates=gates, out=out, first_h=first[0])
        layer.put(weight_x=plain.ih, weight_h=plain.hh, bias_x=plain.bias_ih, bias_h=plain.bias_hh)
        if self.kind == "lstm":
            layer.put(first_c=first[1], cells=cells)
        packed = self._take(self.library.packed_size(layer))
        layer.put(packed=packed)
        self.library.run("pack_forward", layer)
        self.library.run("forward", layer, self._parts(packing))
        self.memory.give(packed)
        last = [packing.last(state[0], out, reverse)]
        if self.kind == "lstm":
            last.append(packing.last(state[1], cells.reshape(packing.rows, padded)[:, :size], reverse))
        return tuple(last), _Cache(x, w, layer, packing, [gates, cells], (plain, starts, counts, first, out))

    def backward(self, cache: _Cache, dout: Array, dstate: State) -> Gradients:
        """Gradients by x, by the initial state and by the weights."""
        state, weights = self.backward_but_x(cache, dout, dstate)
        return Gradients(self.by_x([cache], np.empty(cache.x.shape, cache.x.dtype)), state, weights)

    def backward_but_x(self, cache: _Cache, dout: Array, dstate: State) -> tuple[State, Weights]:
        """Gradients by the initial state and by the weights; `by_x` is to follow."""
        x, w, layer, packing, held, _ = cache
        size, padded, rows = w.hh.shape[1], layer.padded, packing.rows
        dout, last = _in_rows(dout), [_padded(part, padded, copy=True) for part in dstate]
        packed = self._take(self.library.packed_size(layer))
        held.append(packed)
        make = np.empty if rows else np.zeros  # a sum over no rows is written by nobody
        by_x, by_h = make(w.ih.shape, x.dtype), make(w.hh.shape, x.dtype)
        planes = PLANES[self.kind]
        by_bias = make((planes, padded), x.dtype)
        layer.put(packed=packed, dout=dout, dh=last[0], dweight_x=by_x, dweight_h=by_h, dbias=by_bias)
        if self.kind == "lstm":
            layer.put(dc=last[1])
        self.library.run("pack_backward", layer)
        parts = self._parts(packing)
        self.library.run("backward", layer, parts)
        self.library.run("gradients", layer, parts)
        weights = Weights(by_x, by_h)
        if w.bias_ih is not None:
            places = (BY_X, BY_H) if self.kind == "gru" else (tuple(range(planes)),) * 2
            weights = Weights(by_x, by_h, *(by_bias[list(place), :size].reshape(-1) for place in places))
        return tuple(part[:, :size] for part in last), weights

    def by_x(self, caches: Sequence[_Cache], out: Array, threads: int = 1) -> Array:
        """The gradient by the input x (N, I) that one or both directions read, in `out`; their caches are spent then.

        Both in one pass over the rows: to add the second's afterwards took 2% of a step.
        """
        for cache, beside in zip(caches, [*caches[1:], None], strict=True):
            cache.layer.put(dx=out, beside=None if beside is None else ctypes.addressof(beside.layer))
        self.library.run("by_input", caches[0].layer, max(1, min(threads, len(out) // BLOCK)))
        for cache in caches:
            self.memory.give(*cache.held)
        return out

    def _parts(self, packing: Packing) -> int:
        return max(1, min(self.threads, packing.batch // 4))

    def _take(self, floats: int) -> Array:
        """Memory that starts where a line of the cache does."""
        return aligned(self.memory.take((floats + 16,), np.float32))


def aligned(array: Array) -> Array:
    """An array (N + 16,) of float32 without the 16 of them that keep it from starting where a line of the cache does.

    >>> aligned(np.empty(20, np.float32)).ctypes.data % 64
    0
    """
    shift = -array.ctypes.data % 64 // 4
    return array[shift : shift + len(array) - 16]


def in_one_piece(w: Weights) -> Weights:
    """The weights, each in one piece of memory and in the order of its axes."""
    return Weights(*(None if part is None else np.ascontiguousarray(part) for part in w))  # type: ignore[arg-type]


def _in_rows(array: Array) -> Array:
    """The array, or a copy whose rows are each in one piece."""
    fine = array.strides[1] == array.itemsize and array.strides[0] % array.itemsize == 0
    return array if fine else np.ascontiguousarray(array)


def _padded(state: Array, width: int, copy: bool = False) -> Array:
    """A state (B, H) as (B, width), zeros beyond H; the same array where it fits already and no copy is wanted."""
    if state.shape[1] == width:
        return state.copy() if copy else np.ascontiguousarray(state)
    wide = np.zeros((len(state), width), state.dtype)
    wide[:, : state.shape[1]] = state
    return wide
