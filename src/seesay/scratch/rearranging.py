"""Operations that move values about: views, indexing, choosing, joining and taking apart. Form and rules as in
`operations.py`.

>>> value, (back,) = index(np.array([1.0, 2.0, 3.0]), np.array([2, 2]))
>>> value.tolist(), back(np.array([10.0, 1.0])).tolist()
([3.0, 3.0], [0.0, 0.0, 11.0])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any, TypeAlias

import numpy as np

from seesay.errors import DataError
from seesay.scratch.arrays import Array
from seesay.scratch.operations import Made, fit

SCATTERED = 1 << 17  # numbers that `scatter_rows` adds at once: their indices take a megabyte

Pieces: TypeAlias = tuple[list[Array], Callable[[Sequence[Array | None]], Array]]


def reshape(a: Array, shape: tuple[int, ...]) -> Made:
    """The same values in another shape; one size may be -1."""
    before = a.shape
    return a.reshape(shape), (lambda d: d.reshape(before),)


def permute(a: Array, axes: tuple[int, ...]) -> Made:
    """The axes in another order."""
    back = tuple(np.argsort([axis % a.ndim for axis in axes]))
    return a.transpose(axes), (lambda d: d.transpose(back),)


def swap(a: Array, first: int, second: int) -> Made:
    """Two axes change places."""
    return a.swapaxes(first, second), (lambda d: d.swapaxes(first, second),)


def flatten(a: Array, start: int, end: int) -> Made:
    """One axis of those from `start` to `end`, both included."""
    axes = max(a.ndim, 1)
    if not (-axes <= start < axes and -axes <= end < axes and start % axes <= end % axes):
        raise ValueError(f"axes from {start} to {end} are not those of {a.ndim}, the first before the last")
    first, last = start % axes, end % axes
    return reshape(a, (*a.shape[:first], prod(a.shape[first : last + 1]), *a.shape[last + 1 :]))


def squeeze(a: Array, axis: int | tuple[int, ...] | None) -> Made:
    """Without axes of size 1."""
    return reshape(a, a.squeeze(axis).shape)


def unsqueeze(a: Array, axis: int) -> Made:
    """With a new axis of size 1."""
    return reshape(a, np.expand_dims(a, axis).shape)


def expand(a: Array, shape: tuple[int, ...]) -> Made:
    """Axes of size 1, or new ones in front, repeated to this shape; -1 leaves an axis as it is."""
    lead, before = len(shape) - a.ndim, a.shape
    whole = tuple(before[i - lead] if size == -1 and i >= lead else size for i, size in enumerate(shape))
    return np.broadcast_to(a, whole), (lambda d: fit(d, before),)


def flip(a: Array, axis: int | tuple[int, ...]) -> Made:
    """Backwards along these axes."""
    return np.flip(a, axis), (lambda d: np.flip(d, axis),)


def index(a: Array, key: Any) -> Made:
    """a[key], by any key of NumPy's; places named twice add their gradients."""
    shape, dtype = a.shape, a.dtype
    # Copies: the caller may fill his arrays again before the way back.
    parts = tuple(_copied(part) for part in (key if isinstance(key, tuple) else (key,)))
    repeats = any(part.dtype.kind in "iu" for part in parts if isinstance(part, np.ndarray))

    def back(d: Array) -> Array:
        if repeats and len(parts) == 1:
            return scatter_rows(parts[0], d, shape[0])
        whole = np.zeros(shape, dtype)
        if repeats:
            np.add.at(whole, parts, d)
        else:
            whole[parts] = d
        return whole

    return np.asarray(a[parts]), (back,)


def _copied(part: Any) -> Any:
    """Part of a key: an array of its own for what NumPy reads as one, anything else as it is."""
    if isinstance(part, np.ndarray):
        return part.copy()
    if isinstance(part, Sequence) and not isinstance(part, str):
        return np.array(part) if len(part) else np.zeros(0, np.intp)
    return part


def scatter_rows(ids: Array, d: Array, rows: int) -> Array:
    """Adds row after row of d (*ids.shape, *rest) into zeros (rows, *rest), each at its id.

    >>> scatter_rows(np.array([1, 0, 1]), np.array([[1.0], [2.0], [3.0]]), 3).ravel().tolist()
    [2.0, 4.0, 0.0]
    """
    rest = d.shape[ids.ndim :]
    width = prod(rest)
    whole, added = np.zeros(rows * width, d.dtype), d.reshape(ids.size, width)
    ids = ids.astype(np.intp, copy=False)  # first: `rows` may be too large for a smaller type
    starts = np.where(ids < 0, ids + rows, ids).reshape(-1, 1) * width
    columns, at_once = np.arange(width), max(1, SCATTERED // max(1, width))
    for first in range(0, ids.size, at_once):
        # One flat index a number: NumPy has a fast loop for one axis alone, 3 times as fast as for rows.
        places = starts[first : first + at_once] + columns
        np.add.at(whole, places.ravel(), added[first : first + at_once].ravel())
    return whole.reshape(rows, *rest)


def masked_fill(a: Array, mask: Array, number: float) -> Made:
    """`number` where the mask, which broadcasts to a, is true."""
    if np.broadcast_shapes(a.shape, mask.shape) != a.shape:
        raise ValueError(f"a mask {mask.shape} does not broadcast to {a.shape}")
    zero, mask = np.zeros((), a.dtype), mask.copy()  # a copy, as in `index`
    return np.where(mask, np.asarray(number, a.dtype), a), (lambda d: np.where(mask, zero, d),)


def where(a: Array, b: Array, condition: Array) -> Made:
    """a where the condition is true, b elsewhere."""
    first, second, zero, condition = a.shape, b.shape, np.zeros((), a.dtype), condition.copy()  # as in `index`
    return np.where(condition, a, b), (
        lambda d: fit(np.where(condition, d, zero), first),
        lambda d: fit(np.where(condition, zero, d), second),
    )


def gather(a: Array, dim: int, places: Array) -> Made:
    """Along `dim`, the values at these places: value[i][j] = a[places[i][j]][j] for dim 0, as torch.gather."""
    size, shape, dtype = a.shape[dim], a.shape, a.dtype
    if places.ndim != a.ndim or places.dtype.kind not in "iu":
        raise ValueError(f"places of {a.ndim} axes, whole numbers, are needed; received {places.shape}, {places.dtype}")
    if places.size and not (places.min() >= 0 and places.max() < size):
        raise ValueError(f"places from 0 to {size - 1} are needed; received {places.min()} to {places.max()}")
    mesh: list[Array] = list(np.ogrid[tuple(slice(n) for n in places.shape)])
    mesh[dim] = places.copy()  # as in `index`
    key = tuple(mesh)

    def back(d: Array) -> Array:
        whole = np.zeros(shape, dtype)
        np.add.at(whole, key, d)
        return whole

    return a[key], (back,)


def concat(*arrays_and_axis: Any) -> Made:
    """One array after the other along an axis that they have, which is the last argument."""
    *arrays, axis = arrays_and_axis
    ends = np.cumsum([a.shape[axis] for a in arrays]).tolist()
    lead = (slice(None),) * (axis % arrays[0].ndim)

    def back(start: int, stop: int) -> Callable[[Array], Array]:
        return lambda d: d[(*lead, slice(start, stop))]

    backs = tuple(back(start, stop) for start, stop in pairwise([0, *ends]))
    return np.concatenate(arrays, axis), backs


def stack(*arrays_and_axis: Any) -> Made:
    """Arrays of one shape along a new axis, which is the last argument."""
    *arrays, axis = arrays_and_axis
    value = np.stack(arrays, axis)
    lead = (slice(None),) * (axis % value.ndim)

    def back(place: int) -> Callable[[Array], Array]:
        return lambda d: d[(*lead, place)]

    return value, tuple(back(place) for place in range(len(arrays)))


def unbind(a: Array, axis: int) -> Pieces:
    """The parts along an axis, which they lose; the way back puts all their gradients into one array."""
    length = _along(a, axis)
    lead = (slice(None),) * (axis % a.ndim)
    return _pieces(a, [(*lead, place) for place in range(length)])


def split(a: Array, sizes: int | Sequence[int], axis: int) -> Pieces:
    """Parts of these sizes along an axis; a single number is the size of each but perhaps the last."""
    length = _along(a, axis)
    if isinstance(sizes, int | np.integer):
        if sizes < 1:
            raise DataError(f"split: received size {sizes}; expected 1 or more.")
        sizes = [min(int(sizes), length - start) for start in range(0, max(length, 1), int(sizes))]
    if min(sizes, default=0) < 0:
        raise DataError(f"split: received sizes {list(sizes)}; expected each to be 0 or more.")
    if sum(sizes) != length:
        raise DataError(f"split: received sizes {list(sizes)}; expected their sum to be {length}, that of axis {axis}.")
    lead = (slice(None),) * (axis % a.ndim)
    ends = np.cumsum([0, *sizes]).tolist()
    return _pieces(a, [(*lead, slice(start, stop)) for start, stop in pairwise(ends)])


def chunk(a: Array, count: int, axis: int) -> Pieces:
    """At most `count` parts along an axis, of one size but perhaps the last."""
    if count < 1:
        raise DataError(f"chunk: received {count} parts; expected 1 or more.")
    return split(a, max(1, -(-_along(a, axis) // count)), axis)


def _along(a: Array, axis: int) -> int:
    if not -a.ndim <= axis < a.ndim:
        raise DataError(f"axis: received {axis} for a tensor {a.shape}; expected one that it has.")
    size: int = a.shape[axis]
    return size


def _pieces(a: Array, keys: list[Any]) -> Pieces:
    shape, dtype = a.shape, a.dtype

    def back(gradients: Sequence[Array | None]) -> Array:
        whole = np.zeros(shape, dtype)
        for key, d in zip(keys, gradients, strict=True):
            if d is not None:
                whole[key] = d
        return whole

    return [np.asarray(a[key]) for key in keys], back
