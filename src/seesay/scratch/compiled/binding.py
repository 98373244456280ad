"""The C library as Python sees it: its one structure, its functions, and whether there is one."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from seesay.scratch.arrays import Array
from seesay.scratch.compiled.build import NATIVE, NotBuilt, open_library
from seesay.scratch.compiled.finding import Finder
from seesay.scratch.threads import in_parallel

KINDS = {"tanh": 0, "relu": 1, "gru": 2, "lstm": 3}
PLANES = {"tanh": 1, "relu": 1, "gru": 4, "lstm": 4}  # of a row of gates: see gates.h
_WHOLE = {"kind", "input", "hidden", "padded", "steps", "block", "turned", "part", "parts"}
_STRIDES = {"x_stride", "out_stride", "dout_stride"}
# In the order of layer.h.
_FIELDS = """kind input hidden padded steps block starts counts turned part parts x x_stride weight_x weight_h bias_x
bias_h first_h first_c packed gates cells out out_stride dout dout_stride dh dc dx dweight_x dweight_h dbias beside"""


class Layer(ctypes.Structure):
    """layer.h's structure: numbers, and arrays by their addresses. Whoever fills it keeps the arrays alive."""

    _fields_ = [(name, ctypes.c_int64 if name in _WHOLE | _STRIDES else ctypes.c_void_p) for name in _FIELDS.split()]

    def put(self, **given: Array | int | None) -> None:
        """Sets numbers, and arrays whose rows are each in one piece; a `_stride` beside an array is set with it."""
        for name, value in given.items():
            if isinstance(value, np.ndarray):
                if f"{name}_stride" in _STRIDES:
                    setattr(self, f"{name}_stride", value.strides[0] // value.itemsize)
                setattr(self, name, value.ctypes.data)
            else:
                setattr(self, name, value)


class Library:
    """The functions of recurrent.c."""

    def __init__(self, library: ctypes.CDLL, path: Path) -> None:
        self.path = path
        self._library = library
        for function in (library.lanes, library.between, library.packed_size):
            function.restype = ctypes.c_int64
        self.lanes = int(library.lanes())
        self._between = int(library.between())

    def padded(self, size: int) -> int:
        """The next multiple of the vectors' width."""
        return -(-size // self.lanes) * self.lanes

    def row(self, kind: str, padded: int) -> int:
        """The floats from one row of gates to the next (see layer.h)."""
        return PLANES[kind] * padded + self._between

    def packed_size(self, layer: Layer) -> int:
        """The floats that `layer.packed` must hold."""
        return int(self._library.packed_size(ctypes.byref(layer)))

    def caller(self, name: str, layer: Layer) -> Callable[[], None]:
        """A function without arguments that calls one of the library's on this thread; for one called often."""
        function: Callable[[Any], int] = getattr(self._library, name)
        given = ctypes.byref(layer)

        def call() -> None:
            if function(given):
                raise MemoryError(f"no memory left for the recurrent layer's {name}.")

        return call

    def run(self, name: str, layer: Layer, parts: int = 1) -> None:
        """Calls a function, or its parts on a thread each; raises MemoryError where it gets none."""
        layers = [layer]
        for part in range(parts):
            if part:
                layers.append(Layer.from_buffer_copy(layer))
            layers[part].put(part=part, parts=parts)
        function: Callable[[Any], int] = getattr(self._library, name)
        if any(in_parallel([partial(function, ctypes.byref(one)) for one in layers])):
            raise MemoryError(f"no memory left for the recurrent layer's {name}.")


def _open() -> Library | str:
    from seesay.scratch.compiled.check import agrees  # it runs the kernels, which know this module

    try:
        opened = Library(*open_library((NATIVE,)))
    except NotBuilt as fault:
        return str(fault)
    return opened if agrees(opened) else f"{opened.path}: its results are not those of NumPy"


FINDER = Finder(_open)
library, reason, forget = FINDER.library, FINDER.reason, FINDER.forget


def available() -> bool:
    """Whether large layers run compiled. The first call may build, which takes a second or two.

    >>> available() in (True, False)
    True
    """
    return library() is not None
