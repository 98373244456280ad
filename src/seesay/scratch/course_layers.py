"""Word embedding, affine map and softmax loss over captions, under the names and signatures of CS231n's assignment.

As in `course.py`: a forward returns a cache last, backward returns gradients in the order of forward's arguments, and
nothing that is handed in is ever written to. N captions of T words, V words, D sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from seesay.errors import DataError
from seesay.scratch.arrays import Array, expect, expect_float

Cache = tuple[Any, ...]


def word_embedding_forward(x: Array, W: Array) -> tuple[Array, Cache]:  # noqa: N803
    """The vector of each word: ids x (N, T) into W (V, D) give (N, T, D). Raises DataError for an id outside [0, V).

    >>> out, cache = word_embedding_forward(np.array([[1, 0]]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> out.tolist()
    [[[3.0, 4.0], [1.0, 2.0]]]
    """
    expect("W", W, {"V": None, "D": None})
    expect_float("W", W.dtype)
    _expect_ids("x", x, len(W))
    return W[x], (x.copy(), W)


def word_embedding_backward(dout: Array, cache: Cache) -> Array:
    """The gradient dW (V, D) by the vectors: each word gathers the gradients (N, T, D) of all places where it stands.

    >>> _, cache = word_embedding_forward(np.array([[1, 1]]), np.zeros((2, 1)))
    >>> word_embedding_backward(np.array([[[2.0], [3.0]]]), cache).tolist()
    [[0.0], [5.0]]
    """
    x, W = cache  # noqa: N806
    expect("dout", dout, {"N": x.shape[0], "T": x.shape[1], "D": W.shape[1]}, W.dtype)
    dW: Array = np.zeros_like(W)  # noqa: N806
    np.add.at(dW, x, dout)  # unlike dW[x] += dout, this counts a word as often as it stands there
    return dW


def temporal_affine_forward(x: Array, w: Array, b: Array) -> tuple[Array, Cache]:
    """x w + b at every step: x (N, T, D), w (D, M), b (M,) give (N, T, M).

    >>> out, cache = temporal_affine_forward(np.ones((1, 2, 3)), np.ones((3, 1)), np.ones(1))
    >>> out.ravel().tolist()
    [4.0, 4.0]
    """
    expect("x", x, dict.fromkeys("NTD"))
    expect_float("x", x.dtype)
    expect("w", w, {"D": x.shape[2], "M": None}, x.dtype)
    expect("b", b, {"M": w.shape[1]}, x.dtype)
    return x @ w + b, (x, w)


def temporal_affine_backward(dout: Array, cache: Cache) -> tuple[Array, Array, Array]:
    """Gradients (dx, dw, db) of `temporal_affine_forward`, given dout (N, T, M).

    >>> _, cache = temporal_affine_forward(np.ones((1, 2, 3)), np.ones((3, 1)), np.ones(1))
    >>> dx, dw, db = temporal_affine_backward(np.ones((1, 2, 1)), cache)
    >>> dw.ravel().tolist(), db.tolist()
    ([2.0, 2.0, 2.0], [2.0])
    """
    x, w = cache
    expect("dout", dout, {"N": x.shape[0], "T": x.shape[1], "M": w.shape[1]}, x.dtype)
    return dout @ w.T, np.tensordot(x, dout, ((0, 1), (0, 1))), dout.sum((0, 1))


def temporal_softmax_loss(x: Array, y: Array, mask: Array, verbose: bool = False) -> tuple[float, Array]:
    """Cross-entropy of the words y (N, T) under scores x (N, T, V), summed over places where `mask` is set, over N.

    Returns (loss, dx). It is a sum over time, as in the course: a longer caption weighs more. `verbose` prints shapes.

    >>> loss, dx = temporal_softmax_loss(np.zeros((1, 2, 4)), np.array([[3, 0]]), np.array([[True, False]]))
    >>> round(loss, 4), dx[0, 0].tolist(), dx[0, 1].any().item()
    (1.3863, [0.25, 0.25, 0.25, -0.75], False)
    """
    expect("x", x, dict.fromkeys("NTV"))
    expect_float("x", x.dtype)
    batch, time, words = x.shape
    expect("y", y, {"N": batch, "T": time})
    expect("mask", mask, {"N": batch, "T": time})
    if not batch:
        raise DataError("x: expected one caption or more, received (N=0); a mean over none is not defined.")
    weight = np.asarray(mask, x.dtype)
    # What stands under a mask of zero may be any number, a padding id outside the vocabulary among them.
    targets = np.where(weight != 0, y, 0)
    _expect_ids("y", targets, words)
    shifted = x - x.max(2, keepdims=True)  # exp cannot overflow, and the softmax stays the same
    logs = shifted - np.log(np.exp(shifted).sum(2, keepdims=True))
    picked = np.take_along_axis(logs, targets[:, :, None], 2)[:, :, 0]
    loss = float((weight * -picked).sum()) / batch
    dx = np.exp(logs)
    np.put_along_axis(dx, targets[:, :, None], np.take_along_axis(dx, targets[:, :, None], 2) - 1, 2)
    dx *= (weight / batch)[:, :, None]
    if verbose:
        print(f"x {x.shape}, y {y.shape}, mask {mask.shape}, dx {dx.shape}")
    return loss, dx


def _expect_ids(name: str, ids: Array, words: int) -> None:
    expect(name, ids, {"N": None, "T": None})
    if ids.dtype.kind not in "iu":
        raise DataError(f"{name}: expected word ids, whole numbers, received {ids.dtype}.")
    if ids.size and not (ids.min() >= 0 and ids.max() < words):
        raise DataError(
            f"{name}: expected word ids from 0 to V - 1 = {words - 1}, received {ids.min()} to {ids.max()}."
        )
