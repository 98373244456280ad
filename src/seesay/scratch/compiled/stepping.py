"""One step in decoding, compiled: what Stepper does for a layer with weights large enough."""

from __future__ import annotations

import numpy as np

from seesay.scratch.arrays import Array, State, Weights
from seesay.scratch.compiled.binding import KINDS, Layer, Library, library
from seesay.scratch.compiled.kernel import BLOCK, aligned, in_one_piece

WORTH_IT = 1 << 15  # weights of a layer's state; below, NumPy does it without a build, always


class CompiledStep:
    """Steps of one layer of `kind` over a state that stands in memory with padded rows (see `state_for`).

    `enter` takes the next x, `choose` a word's product from `products`; `run` then makes the step.
    """

    def __init__(self, found: Library, kind: str, w: Weights, state: State) -> None:
        (batch, size), padded = state[0].shape, found.padded(w.hh.shape[1])
        row = found.row(kind, padded)
        self._library, self._layer = found, Layer()
        self._x = np.zeros((batch, w.ih.shape[1]), np.float32)
        self._gates = aligned(np.zeros(batch * row + 16, np.float32)).reshape(batch, row)
        self._out = np.zeros((batch, padded), np.float32)
        self._one = np.array([0]), np.array([batch])
        self._w, self._state = in_one_piece(w), state
        layer = self._layer
        layer.put(kind=KINDS[kind], input=w.ih.shape[1], hidden=size, padded=padded, steps=1, block=batch)
        layer.put(starts=self._one[0], counts=self._one[1], part=0, parts=1, x=self._x, gates=self._gates)
        layer.put(out=self._out, first_h=state[0])
        if len(state) > 1:
            layer.put(first_c=state[1], cells=state[1])
        layer.put(weight_x=self._w.ih, weight_h=self._w.hh, bias_x=self._w.bias_ih, bias_h=self._w.bias_hh)
        self._packed = aligned(np.empty(found.packed_size(layer) + 16, np.float32))
        layer.put(packed=self._packed)
        found.run("pack_forward", layer)
        self._run = found.caller("step", layer)

    def enter(self, x: Array) -> None:
        """Takes x (B, I) for the next step."""
        np.copyto(self._x, x)

    def products(self, table: Array) -> Array:
        """What `choose` reads: the product with each row of a table (V, I). From now on steps start there, not at x."""
        words, layer = len(table), Layer.from_buffer_copy(self._layer)
        rows = np.ascontiguousarray(table)
        found = np.zeros((words, self._gates.shape[1]), np.float32)
        starts = np.arange(0, words, BLOCK)
        counts = np.minimum(words - starts, BLOCK)
        layer.put(x=rows, gates=found, steps=len(starts), block=BLOCK, starts=starts, counts=counts)
        self._library.run("inputs", layer)
        self._layer.put(x=None)
        return found

    def choose(self, words: Array, ids: Array) -> None:
        """Takes the words' products for the next step."""
        words.take(ids, axis=0, out=self._gates, mode="clip")  # "raise" would buffer

    def run(self) -> None:
        """The step; the new state stands where the old one stood."""
        self._run()


def library_for(hidden: int, gates: int, projected: bool, dtype: np.dtype[np.generic]) -> Library | None:
    """The library, where it can take such a layer's steps and that is worth it."""
    if dtype != np.float32 or projected or gates * hidden * hidden < WORTH_IT:
        return None
    return library()


def state_for(found: Library | None, layers: int, batch: int, size: int, dtype: np.dtype[np.generic]) -> Array:
    """Zeros (L, B, H); for a library its rows are longer in memory than they look."""
    width = size if found is None else found.padded(size)
    return np.zeros((layers, batch, width), dtype)[:, :, :size]
