"""What an array handed to the engine must be, and the error that says so by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seesay.errors import DataError

Array: TypeAlias = NDArray[Any]
State: TypeAlias = tuple[Array, ...]  # (h,), or (h, c) for an LSTM


class Weights(NamedTuple):
    """The weights of one direction of one layer, as torch.nn keeps them; their gradients have the same form.

    G is the number of gates (RNN 1, GRU 3: r z n, LSTM 4: i f g o), I the size of the input, P of the hidden state.
    """

    ih: Array  # (G H, I)
    hh: Array  # (G H, P)
    bias_ih: Array | None = None  # (G H,)
    bias_hh: Array | None = None  # (G H,)
    hr: Array | None = None  # (P, H): an LSTM's projection of its output; without it P = H


def expect(name: str, array: object, axes: Mapping[str, int | None], dtype: DTypeLike | None = None) -> None:
    """Raises DataError unless `array` is an array of these axes and, where one is given, of this dtype.

    `axes` names each axis and gives its size, None where any will do.

    >>> expect("x", np.zeros((4, 2, 5)), {"time": None, "batch": 2, "input_size": 3}, np.float64)
    Traceback (most recent call last):
    seesay.errors.DataError: x: expected (time, batch=2, input_size=3) of float64, received (4, 2, 5) of float64.
    """
    if (
        isinstance(array, np.ndarray)
        and array.ndim == len(axes)
        and all(size in (None, found) for size, found in zip(axes.values(), array.shape, strict=True))
        and (dtype is None or array.dtype == dtype)
    ):
        return
    wanted = f"({', '.join(axis if size is None else f'{axis}={size}' for axis, size in axes.items())})"
    if dtype is not None:
        wanted += f" of {np.dtype(dtype)}"
    if not isinstance(array, np.ndarray):
        raise DataError(f"{name}: expected an array {wanted}, received {type(array).__name__}.")
    raise DataError(f"{name}: expected {wanted}, received {array.shape} of {array.dtype}.")


def expect_float(name: str, dtype: DTypeLike) -> None:
    """Raises DataError unless a dtype is float32 or float64, the two that the engine computes in.

    >>> expect_float("x", np.float32)
    """
    if dtype is None:  # which NumPy takes for float64
        raise DataError(f"{name}: expected float32 or float64, received None.")
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DataError(f"{name}: expected float32 or float64, received {np.dtype(dtype)}.")


def expect_lengths(lengths: object, time: int, batch: int) -> NDArray[np.intp]:
    """Lengths (B,) as whole numbers from 0 to `time`; raises DataError for anything else.

    >>> expect_lengths([3, 0], time=3, batch=2)
    array([3, 0])
    """
    try:
        found = np.asarray(lengths)
    except ValueError:
        received = "lists of several lengths"
        raise DataError(f"lengths: expected (batch={batch}) of whole numbers, received {received}.") from None
    if found.shape != (batch,) or (batch and found.dtype.kind not in "iu"):
        received = f"{found.shape} of {found.dtype}"
        raise DataError(f"lengths: expected (batch={batch}) of whole numbers, received {received}.")
    for place, length in enumerate(found.tolist()):
        if not 0 <= length <= time:
            raise DataError(f"lengths: expected 0 to time={time}, received {length} for sequence {place}.")
    return found.astype(np.intp)
