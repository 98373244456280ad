"""torch.nn.functional's functions on Tensors: activations, dropout, linear, embedding, normalisation, losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from seesay.errors import DataError
from seesay.scratch import fused, graph
from seesay.scratch.arrays import Array, expect_probability
from seesay.scratch.node import as_array
from seesay.scratch.tensor import Tensor, as_tensor

REDUCTIONS = ("mean", "sum", "none")


def relu(x: Any) -> Tensor:
    """max(x, 0).

    >>> relu([-1.0, 2.0]).numpy()
    array([0., 2.])
    """
    return as_tensor(x).relu()


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent.

    >>> tanh([0.0]).numpy()
    array([0.])
    """
    return as_tensor(x).tanh()


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)), without overflow.

    >>> sigmoid([0.0]).numpy()
    array([0.5])
    """
    return as_tensor(x).sigmoid()


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) over its sum along an axis, whatever the size of x.

    >>> softmax([1000.0, 1000.0]).numpy()
    array([0.5, 0.5])
    """
    return graph.apply(Tensor, fused.softmax, (x,), axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """The logarithm of softmax, exact also where softmax itself would round to 0.

    >>> log_softmax([0.0, 1000.0]).numpy().tolist()
    [-1000.0, 0.0]
    """
    return graph.apply(Tensor, fused.log_softmax, (x,), axis)


def logsumexp(x: Any, axis: int = -1, keepdims: bool = False) -> Tensor:
    """log of the sum of exp(x) along an axis, without overflow.

    >>> round(logsumexp([1000.0, 1000.0]).item(), 4)
    1000.6931
    """
    return graph.apply(Tensor, fused.logsumexp, (x,), axis, keepdims)


def dropout(x: Any, p: float = 0.5, training: bool = True, generator: np.random.Generator | None = None) -> Tensor:
    """Zero with probability p, else x / (1 - p), so that the expected value stays; x itself unless training.

    Raises DataError where draws are needed and no generator is given: nothing is random that was not asked to be.
    Source: Srivastava et al. 2014, in the inverted form.

    >>> dropout(np.ones(6), 0.5, generator=np.random.default_rng(0)).numpy()
    array([2., 0., 0., 0., 2., 2.])
    """
    expect_probability("p", p)
    values = as_tensor(x)
    if not training or p == 0:
        return values
    if values.dtype.kind != "f":
        raise DataError(f"dropout: received {values.dtype}; expected float32 or float64; convert it first.")
    if generator is None:
        raise DataError("dropout: received no generator; expected np.random.default_rng(seed); see Module.seed.")
    draws = generator.random(values.shape, values.dtype.type)
    factors: Array = (draws >= p) * np.asarray(1 / (1 - p) if p < 1 else 0, values.dtype)
    return values * factors


def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """x Wᵀ + b: x (*, I), weight (O, I), bias (O,) give (*, O).

    Raises DataError where I differs, with both shapes.

    >>> linear([[1.0, 2.0]], [[3.0, 4.0]], [5.0]).numpy()
    array([[16.]])
    """
    operands = (x, weight) if bias is None else (x, weight, bias)
    return graph.apply(Tensor, fused.linear, operands)


def embedding(ids: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """Rows of a table: ids (*) into weight (V, D) give (*, D). The row `padding_idx` gets no gradient.

    Raises DataError for an id outside 0 to V - 1, naming it.

    >>> embedding([1, 1], Tensor([[1.0], [2.0]])).numpy().tolist()
    [[2.0], [2.0]]
    """
    return graph.apply(Tensor, fused.embedding, (weight,), as_array(ids), padding_idx)


def layer_norm(
    x: Any, normalized_shape: int | tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / √(variance + eps) over the last axes, which are of `normalized_shape`; then times weight, plus bias.

    The variance is that of the values at hand (divided by n). Source: Ba, Kiros, Hinton 2016.

    >>> layer_norm([[1.0, 3.0]], 2, eps=0.0).numpy()
    array([[-1.,  1.]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    last = as_array(x).shape[-len(shape) :]
    for name, array in (("x", last), ("weight", weight), ("bias", bias)):
        found = array if isinstance(array, tuple) or array is None else as_array(array).shape
        if found is not None and found != shape:
            raise DataError(f"layer_norm: received {name} {found}; expected {shape}.")
    normal = graph.apply(Tensor, fused.normalize, (x,), len(shape), eps)
    scaled = normal if weight is None else normal * weight
    return scaled if bias is None else scaled + bias


def cross_entropy(
    logits: Any, targets: Any, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
) -> Tensor:
    """-log softmax(logits) at the target class, as torch.nn.functional.cross_entropy.

    logits (N, C) with targets (N,), (N, C, d1, ...) with (N, d1, ...), or (C,) with one target. Where the target is
    `ignore_index` there is no loss and no gradient; "mean" divides by the number of the others, so that over none of
    them it is nan. With smoothing ε the target is 1 - ε at its class plus ε / C at every class (Szegedy et al. 2016).
    By the logits the gradient is softmax minus that target: one buffer of their size serves both ways.

    Raises DataError for shapes that do not fit, classes outside 0 to C - 1, and unknown reductions.

    >>> cross_entropy([[0.0, 0.0], [9.0, 0.0]], [1, -100]).item().__round__(4)
    0.6931
    """
    _expect_reduction(reduction)
    if not 0 <= label_smoothing <= 1:
        raise DataError(f"label_smoothing: received {label_smoothing}; expected 0 to 1.")
    settings = (as_array(targets), ignore_index, reduction, label_smoothing)
    return graph.apply(Tensor, fused.cross_entropy, (logits,), *settings)


def nll_loss(log_probabilities: Any, targets: Any, ignore_index: int = -100, reduction: str = "mean") -> Tensor:
    """Minus the log-probability at the target class; arguments as `cross_entropy`.

    >>> nll_loss([[-1.0, -2.0]], [1]).item()
    2.0
    """
    _expect_reduction(reduction)
    return graph.apply(Tensor, fused.nll_loss, (log_probabilities,), as_array(targets), ignore_index, reduction)


def mse_loss(x: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The squared difference of two tensors of one shape.

    >>> mse_loss([1.0, 2.0], [1.0, 4.0]).item()
    2.0
    """
    _expect_reduction(reduction)
    if as_array(x).shape != as_array(target).shape:
        raise DataError(f"mse_loss: received {as_array(x).shape} and {as_array(target).shape}; expected one shape.")
    difference: Tensor = as_tensor(x) - target
    squared: Tensor = difference * difference
    return squared.mean() if reduction == "mean" else squared.sum() if reduction == "sum" else squared


def _expect_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise DataError(f"reduction: received {reduction!r}; expected one of {', '.join(map(repr, REDUCTIONS))}.")
