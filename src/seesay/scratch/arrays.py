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
    try:
        received = np.dtype(dtype)
    except TypeError:  # torch.float32, or "cpu"
        raise DataError(f"{name}: expected np.float32 or np.float64, received {dtype!r:.60}.") from None
    if dtype is None or received not in (np.dtype(np.float32), np.dtype(np.float64)):  # None is float64 for NumPy
        raise DataError(f"{name}: expected float32 or float64, received {None if dtype is None else received}.")


def expect_probability(name: str, value: object) -> None:
    """Raises DataError unless `value` is a number from 0 to 1.

    >>> expect_probability("p", 0.5)
    """
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 <= value <= 1:
        raise DataError(f"{name}: expected a probability from 0 to 1, received {value!r:.60}.")


def generator_from(seed: object) -> np.random.Generator:
    """A generator of random numbers that starts from a seed, or the generator itself where one is given.

    Raises DataError for anything else, None among it: nothing is random that was not asked to be.

    >>> generator_from(0).integers(10, size=3).tolist()
    [8, 6, 5]
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise DataError(f"seed: expected a whole number from 0 or a np.random.Generator, received {seed!r:.60}.")
    return np.random.default_rng(seed)


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
