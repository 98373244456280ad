"""What a Tensor can do, on plain arrays: each operation is its value, and for each operand the closure that undoes it.

A closure takes the gradient of the loss by the value, in the value's shape, and returns that by its operand, in the
operand's shape. What it returns is fresh memory or a view of the gradient it was given, never of anything else: the
engine adds further gradients into fresh memory in place. Shapes are rearranged in `rearranging.py`.

>>> value, (by_a, by_b) = multiply(np.array([2.0, 3.0]), np.array(5.0))
>>> value.tolist(), by_a(np.ones(2)).tolist(), by_b(np.ones(2)).tolist()
([10.0, 15.0], [5.0, 5.0], 5.0)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import prod
from typing import TypeAlias

import numpy as np

from seesay.scratch import cells
from seesay.scratch.arrays import Array

Back: TypeAlias = Callable[[Array], Array]
Made: TypeAlias = tuple[Array, tuple[Back, ...]]
Axes: TypeAlias = int | tuple[int, ...] | None


def fit(d: Array, shape: tuple[int, ...]) -> Array:
    """Sums a gradient over the axes along which broadcasting repeated an operand of this shape.

    >>> fit(np.ones((4, 2, 3)), (2, 1)).tolist()
    [[12.0], [12.0]]
    """
    if d.shape == shape:
        return d
    lead = d.ndim - len(shape)
    repeated = (axis + lead for axis, size in enumerate(shape) if size == 1 and d.shape[axis + lead] != 1)
    summed: Array = d.sum((*range(lead), *repeated), keepdims=True).reshape(shape)
    return summed


def add(a: Array, b: Array) -> Made:
    """a + b."""
    return a + b, (_fitted(a), _fitted(b))


def subtract(a: Array, b: Array) -> Made:
    """a - b."""
    shape = b.shape
    return a - b, (_fitted(a), lambda d: -fit(d, shape))


def multiply(a: Array, b: Array) -> Made:
    """a b."""
    first, second = a.shape, b.shape
    return a * b, (lambda d: fit(d * b, first), lambda d: fit(d * a, second))


def divide(a: Array, b: Array) -> Made:
    """a / b; by b it is -a / b²."""
    first, second = a.shape, b.shape
    value = a / b
    return value, (lambda d: fit(d / b, first), lambda d: fit(-d * value / b, second))


def power(a: Array, b: Array) -> Made:
    """a to the power of b: b a^(b-1) by a, a^b log a by b; zero where b, or a, is zero, as torch has it."""
    first, second = a.shape, b.shape
    value = a**b

    def by_a(d: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):  # infinite at 0 for b < 1, and so it should be
            return fit(np.where(b == 0, 0, d * b * a ** (b - 1)), first)

    def by_b(d: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return fit(np.where((a == 0) & (b >= 0), 0, d * value * np.log(a)), second)

    return value, (by_a, by_b)


def maximum(a: Array, b: Array) -> Made:
    """The larger of a and b, place by place; equals share the gradient in halves, as torch.maximum."""
    first, second = a.shape, b.shape
    half = np.asarray(0.5, a.dtype)
    ahead = (a > b) + half * (a == b)
    return np.maximum(a, b), (lambda d: fit(d * ahead, first), lambda d: fit(d * (1 - ahead), second))


def negative(a: Array) -> Made:
    """-a."""
    return -a, (np.negative,)


def exp(a: Array) -> Made:
    """e to the power of a."""
    value: Array = np.exp(a)
    return value, (lambda d: d * value,)


def log(a: Array) -> Made:
    """The natural logarithm."""
    return np.log(a), (lambda d: d / a,)


def sqrt(a: Array) -> Made:
    """The square root."""
    value: Array = np.sqrt(a)

    def back(d: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):  # infinite at 0
            halved: Array = d / (2 * value)
            return halved

    return value, (back,)


def tanh(a: Array) -> Made:
    """The hyperbolic tangent; tanh' = 1 - tanh²."""
    value: Array = np.tanh(a)
    return value, (lambda d: d * (1 - value * value),)


def sigmoid(a: Array) -> Made:
    """1 / (1 + exp(-a)), without overflow; σ' = σ (1 - σ)."""
    value = cells.sigmoid(a)
    return value, (lambda d: d * (value * (1 - value)),)


def relu(a: Array) -> Made:
    """max(a, 0), with no gradient at 0."""
    value: Array = np.maximum(a, 0)
    return value, (lambda d: d * (value > 0),)


def absolute(a: Array) -> Made:
    """|a|, with no gradient at 0."""
    return np.abs(a), (lambda d: d * np.sign(a),)


def matmul(a: Array, b: Array) -> Made:
    """a @ b by NumPy's rules: one axis is a vector, leading axes broadcast. dA = dC Bᵀ, dB = Aᵀ dC."""
    if b.ndim == 2 and a.ndim > 2:
        return _flat_matmul(a, b)
    first, second = a.shape, b.shape

    def by_a(d: Array) -> Array:
        if b.ndim == 1:
            return fit(d[..., None] * b, first)
        return fit(_vectors(b, d) if a.ndim == 1 else d @ b.swapaxes(-1, -2), first)

    def by_b(d: Array) -> Array:
        if a.ndim == 1:
            return fit(a[:, None] * d[..., None, :] if b.ndim > 1 else d * a, second)
        return fit(_vectors(a.swapaxes(-1, -2), d) if b.ndim == 1 else a.swapaxes(-1, -2) @ d, second)

    return np.asarray(a @ b), (by_a, by_b)


def _vectors(matrices: Array, vectors: Array) -> Array:
    product: Array = (matrices @ vectors[..., None])[..., 0]
    return product


def _flat_matmul(a: Array, b: Array) -> Made:
    """All rows at once: one large product instead of one for each leading index."""
    rows = as_rows(a)
    shape, columns = a.shape, b.shape[1]
    return (rows @ b).reshape(*shape[:-1], columns), (
        lambda d: (as_rows(d) @ b.T).reshape(shape),
        lambda d: rows.T @ as_rows(d),
    )


def as_rows(a: Array) -> Array:
    """All leading axes as one; unlike reshape(-1, n) also where n is 0.

    >>> as_rows(np.zeros((2, 3, 0))).shape
    (6, 0)
    """
    return a.reshape(prod(a.shape[:-1]), a.shape[-1])


def sums(a: Array, axis: Axes, keepdims: bool) -> Made:
    """The sum over these axes, over all where None."""
    return np.asarray(a.sum(axis, keepdims=keepdims)), (_spread(a, axis, keepdims, 1),)


def mean(a: Array, axis: Axes, keepdims: bool) -> Made:
    """The mean over these axes, over all where None."""
    with _of_nothing(count := _count(a, axis)):
        value = np.asarray(a.sum(axis, keepdims=keepdims) / count if not count else a.mean(axis, keepdims=keepdims))
    return value, (_spread(a, axis, keepdims, count),)


def variance(a: Array, axis: Axes, correction: int, keepdims: bool) -> Made:
    """The sum of squared distances from the mean over n - correction."""
    count = max(0, _count(a, axis) - correction)
    with _of_nothing(count if a.size else 0):
        centred = a - mean(a, axis, True)[0]
        value = np.asarray((centred * centred).sum(axis, keepdims=keepdims) / count)

    def back(d: Array) -> Array:
        with _of_nothing(count):
            whole: Array = centred * (2 * _kept(d, a.ndim, axis, keepdims) / count)
        return whole

    return value, (back,)


def largest(a: Array, axis: Axes, keepdims: bool) -> Made:
    """The maximum over these axes; equals share the gradient evenly, as torch.amax."""
    return _extreme(a, np.asarray(a.max(axis, keepdims=True)), axis, keepdims)


def smallest(a: Array, axis: Axes, keepdims: bool) -> Made:
    """The minimum over these axes; equals share the gradient evenly, as torch.amin."""
    return _extreme(a, np.asarray(a.min(axis, keepdims=True)), axis, keepdims)


def _extreme(a: Array, value: Array, axis: Axes, keepdims: bool) -> Made:
    def back(d: Array) -> Array:
        reached: Array = a == value
        share: Array = reached * _kept(d, a.ndim, axis, keepdims) / reached.sum(axis, keepdims=True).astype(a.dtype)
        return share

    return value if keepdims else value.squeeze(_tuple(a, axis)), (back,)


def _fitted(a: Array) -> Back:
    shape = a.shape  # the closure must not keep the array itself
    return lambda d: fit(d, shape)


def _of_nothing(count: int) -> AbstractContextManager[object]:
    """A mean over no values is nan, as in torch: asked for, so not worth a warning."""
    return nullcontext() if count else np.errstate(divide="ignore", invalid="ignore")


def _tuple(a: Array, axis: Axes) -> tuple[int, ...]:
    return tuple(range(a.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)


def _count(a: Array, axis: Axes) -> int:
    return prod(a.shape[one] for one in _tuple(a, axis))


def _kept(d: Array, ndim: int, axis: Axes, keepdims: bool) -> Array:
    """The gradient by a reduction, with the axes that it dropped put back at size 1."""
    if keepdims:
        return d
    dropped = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return np.expand_dims(d, tuple(dropped))


def _spread(a: Array, axis: Axes, keepdims: bool, count: int) -> Back:
    shape = a.shape

    def back(d: Array) -> Array:
        whole = _kept(d, len(shape), axis, keepdims)
        return np.broadcast_to(whole if count < 2 else whole / count, shape)  # nothing stands in a shape of none

    return back
