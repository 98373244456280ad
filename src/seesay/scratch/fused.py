"""Operations whose way back is shorter derived by hand than composed; form and rules as in `operations.py`.

>>> value, (back,) = softmax(np.zeros((1, 2)), -1)
>>> value.tolist(), back(np.array([[1.0, 0.0]])).tolist()
([[0.5, 0.5]], [[0.25, -0.25]])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError
from seesay.scratch.arrays import Array
from seesay.scratch.operations import Made, as_rows
from seesay.scratch.rearranging import scatter_rows


def softmax(a: Array, axis: int) -> Made:
    """s = exp(a) / Σ exp(a); da = s (ds - Σ s ds)."""
    with np.errstate(invalid="ignore"):  # infinities in a give nan, as in torch
        value = a - a.max(axis, keepdims=True)
    np.exp(value, out=value)
    value /= value.sum(axis, keepdims=True)
    return value, (lambda d: value * (d - (value * d).sum(axis, keepdims=True)),)


def log_softmax(a: Array, axis: int) -> Made:
    """l = a - log Σ exp(a); da = dl - exp(l) Σ dl."""
    with np.errstate(invalid="ignore"):  # infinities in a give nan, as in torch
        value = a - a.max(axis, keepdims=True)
    value -= np.log(np.exp(value).sum(axis, keepdims=True))
    return value, (lambda d: d - np.exp(value) * d.sum(axis, keepdims=True),)


def logsumexp(a: Array, axis: int, keepdims: bool) -> Made:
    """log Σ exp(a); its gradient is softmax(a). Of nothing but -inf it is -inf."""
    top = a.max(axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        value = np.log(np.exp(a - top).sum(axis, keepdims=True)) + top

    def back(d: Array) -> Array:
        with np.errstate(invalid="ignore"):
            shares: Array = np.exp(a - value)
        return shares * (d if keepdims else np.expand_dims(d, axis))

    return value if keepdims else value.squeeze(axis), (back,)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Made:
    """x Wᵀ + b over rows x (*, I); dx = dy W, dW = dyᵀ x, db = Σ dy."""
    outputs, inputs = weight.shape if weight.ndim == 2 else (None, None)
    if x.ndim < 1 or x.shape[-1] != inputs:
        raise DataError(f"linear: received x {x.shape} and weight {weight.shape}; expected x (*, I), weight (O, I).")
    if bias is not None and bias.shape != (outputs,):
        raise DataError(f"linear: received bias {bias.shape} with weight {weight.shape}; expected ({outputs},).")
    shape, rows = x.shape, as_rows(x)
    value = rows @ weight.T
    if bias is not None:
        value += bias

    def by_x(d: Array) -> Array:
        product: Array = as_rows(d) @ weight
        return product.reshape(shape)

    def by_weight(d: Array) -> Array:
        product: Array = as_rows(d).T @ rows
        return product

    backs = (by_x, by_weight, lambda d: as_rows(d).sum(0))
    return value.reshape(*shape[:-1], weight.shape[0]), backs[: 2 if bias is None else 3]


def embedding(weight: Array, ids: Array, padding_idx: int | None) -> Made:
    """Rows of a table; each gathers the gradients of all places where it stands."""
    if weight.ndim != 2:
        raise DataError(f"embedding: received weight {weight.shape}; expected (V, D).")
    size = len(weight)
    if padding_idx is not None and not -size <= padding_idx < size:
        raise DataError(f"embedding: received padding_idx {padding_idx}; expected one of {size} rows.")
    if ids.dtype.kind not in "iu" and ids.size:
        raise DataError(f"embedding: received ids of {ids.dtype}; expected whole numbers.")
    ids = ids.astype(np.intp)  # a copy: the caller may fill his again before the way back
    if ids.size and not (ids.min() >= 0 and ids.max() < size):
        wrong = ids[(ids < 0) | (ids >= size)].ravel()[0]
        raise DataError(f"embedding: received id {wrong}; expected ids from 0 to {size - 1}.")

    def back(d: Array) -> Array:
        gathered = scatter_rows(ids, d, size)
        if padding_idx is not None:
            gathered[padding_idx] = 0
        return gathered

    return weight.take(ids, 0), (back,)


def normalize(a: Array, axes: int, eps: float) -> Made:
    """n = (a - mean) / σ over the last axes, σ² = variance + eps; da = (dn - mean(dn) - n mean(n dn)) / σ."""
    over = tuple(range(-axes, 0))
    value = a - a.mean(over, keepdims=True)
    inverse = 1 / np.sqrt((value * value).mean(over, keepdims=True) + np.asarray(eps, a.dtype))
    value *= inverse

    def back(d: Array) -> Array:
        centred: Array = d - d.mean(over, keepdims=True)
        centred -= value * (value * d).mean(over, keepdims=True)
        centred *= inverse
        return centred

    return value, (back,)


class _Rows(NamedTuple):
    """Logits and targets laid out as rows, and which of them count."""

    logits: Array  # (N, C)
    places: tuple[NDArray[np.intp], NDArray[np.intp]]  # of the targets' logits; class 0 for an ignored row
    ignored: NDArray[np.bool_] | None  # None for none
    counted: int


def cross_entropy(a: Array, targets: Array, ignore_index: int, reduction: str, smoothing: float) -> Made:
    """-Σ t log softmax(a), t = 1 - ε at the target plus ε / C everywhere; da = softmax(a) - t, times what comes in."""
    rows = _as_rows("cross_entropy", a, targets, ignore_index)
    classes = rows.logits.shape[1]
    with np.errstate(invalid="ignore"):
        held = rows.logits - rows.logits.max(1, keepdims=True)
    at_target = held[rows.places]
    average = held.mean(1) if smoothing else None
    np.exp(held, out=held)
    total = held.sum(1, keepdims=True)
    losses = np.log(total[:, 0]) - (1 - smoothing) * at_target
    if average is not None:
        losses -= smoothing * average

    def back(d: Array) -> Array:
        # The buffer is this call's own and the way back is walked once: softmax becomes the gradient where it stands.
        np.divide(held, total, out=held)
        held[rows.places] -= 1 - smoothing
        if smoothing:
            np.subtract(held, smoothing / classes, out=held)
        return _as_logits(_weighted(held, d, rows, reduction), a.shape)

    return _reduced(losses, rows, reduction, targets.shape), (back,)


def nll_loss(a: Array, targets: Array, ignore_index: int, reduction: str) -> Made:
    """-a at the target class."""
    rows = _as_rows("nll_loss", a, targets, ignore_index)
    shape, dtype = rows.logits.shape, a.dtype

    def back(d: Array) -> Array:
        whole = np.zeros(shape, dtype)
        whole[rows.places] = -1
        return _as_logits(_weighted(whole, d, rows, reduction), a.shape)

    return _reduced(-rows.logits[rows.places], rows, reduction, targets.shape), (back,)


def _as_rows(name: str, a: Array, targets: Array, ignore_index: int) -> _Rows:
    if a.ndim < 1 or a.dtype.kind != "f" or targets.shape != a.shape[: a.ndim > 1] + a.shape[2:]:
        received = f"{a.shape} of {a.dtype} with targets {targets.shape}"
        raise DataError(f"{name}: received {received}; expected float (N, C) with (N,), or (N, C, ...) with (N, ...).")
    if targets.dtype.kind not in "iu" and targets.size:
        raise DataError(f"{name}: received targets of {targets.dtype}; expected whole numbers.")
    classes = a.shape[a.ndim > 1]
    logits = a.reshape(-1, classes) if a.ndim < 3 else np.moveaxis(a, 1, -1).reshape(-1, classes)
    wanted = targets.astype(np.intp).ravel()  # a copy, as for embedding
    ignored = wanted == ignore_index
    wrong = np.flatnonzero(((wanted < 0) | (wanted >= classes)) & ~ignored)
    if len(wrong):
        expected = f"classes from 0 to {classes - 1}, or ignore_index={ignore_index}"
        raise DataError(f"{name}: received target {wanted[wrong[0]]} at place {wrong[0]}; expected {expected}.")
    count = len(wanted) - int(ignored.sum())
    some = count < len(wanted)
    if some:
        wanted[ignored] = 0
    return _Rows(logits, (np.arange(len(wanted)), wanted), ignored if some else None, count)


def _reduced(losses: Array, rows: _Rows, reduction: str, shape: tuple[int, ...]) -> Array:
    if rows.ignored is not None:
        losses[rows.ignored] = 0
    if reduction == "none":
        return losses.reshape(shape)
    total = losses.sum()
    if reduction == "sum":
        return np.asarray(total)
    return np.asarray(total / rows.counted if rows.counted else np.nan, losses.dtype)


def _weighted(whole: Array, d: Array, rows: _Rows, reduction: str) -> Array:
    """The rows of a gradient times what comes in, in place; zero where the target is ignored."""
    if reduction == "none":
        whole *= d.reshape(-1, 1)
    else:
        whole *= d / rows.counted if reduction == "mean" and rows.counted else d
    if rows.ignored is not None:
        whole[rows.ignored] = 0
    return whole


def _as_logits(rows: Array, shape: tuple[int, ...]) -> Array:
    if len(shape) < 3:
        return rows.reshape(shape)
    return np.moveaxis(rows.reshape(shape[0], *shape[2:], shape[1]), -1, 1)
