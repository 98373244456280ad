"""Functions against torch.nn.functional in float64, with gradients and finite differences; bad input by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as torch_functional

from seesay.errors import DataError
from seesay.scratch import functional
from seesay.scratch.tensor import Tensor

IDS = np.array([[0, 3, 3], [2, 0, 3]])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(axis: int, operation_like_torch: Callable[..., None]) -> None:
    for name in ("softmax", "log_softmax"):
        ours, theirs = getattr(functional, name), getattr(torch_functional, name)
        operation_like_torch(lambda a, f=ours: f(a, axis), lambda a, f=theirs: f(a, axis), (3, 4))
    for keepdims in (False, True):
        operation_like_torch(
            lambda a, k=keepdims: functional.logsumexp(a, axis, k),
            lambda a, k=keepdims: torch.logsumexp(a, axis, k),
            (3, 4),
        )


def test_softmax_of_large_and_infinite_values(operation_like_torch: Callable[..., None]) -> None:
    large = np.array([[1000.0, 999.0, -1000.0], [-np.inf, 0.0, 1.0]])
    for ours, theirs in (
        (functional.softmax, lambda a: a.softmax(-1)),
        (functional.logsumexp, lambda a: a.logsumexp(-1)),
    ):
        operation_like_torch(ours, theirs, large, finite_differences=False)
    nothing = np.full((1, 2), -np.inf)
    assert (
        np.isnan(functional.softmax(nothing).numpy()).all() and np.isnan(functional.log_softmax(nothing).numpy()).all()
    )
    assert functional.logsumexp(nothing).item() == -np.inf


def test_activations(operation_like_torch: Callable[..., None]) -> None:
    for name in ("relu", "tanh", "sigmoid"):
        operation_like_torch(getattr(functional, name), getattr(torch, name), (3, 4))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: Any, bias: bool, operation_like_torch: Callable[..., None]) -> None:
    given = (shape, (5, 3), (5,)) if bias else (shape, (5, 3))
    operation_like_torch(functional.linear, torch_functional.linear, *given)


@pytest.mark.parametrize("ids", [IDS, IDS[0], IDS[:0], np.array(3)], ids=lambda ids: str(ids.shape))
@pytest.mark.parametrize("padding", [None, 3])
def test_embedding(ids: Any, padding: int | None, operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(
        lambda w: functional.embedding(ids, w, padding),
        lambda w: torch_functional.embedding(torch.from_numpy(ids), w, padding),
        (5, 2),
        finite_differences=padding is None,
    )


def test_embedding_remembers_the_ids_it_was_given() -> None:
    ids, weight = np.array([1, 1]), Tensor(np.zeros((3, 1)), requires_grad=True)
    result = functional.embedding(ids, weight)
    ids[:] = 0
    result.sum().backward()
    assert weight.grad is not None and weight.grad.ravel().tolist() == [0, 2, 0]


@pytest.mark.parametrize("shape", [(4,), (3, 4)], ids=str)
def test_layer_norm(shape: Any, operation_like_torch: Callable[..., None]) -> None:
    for given in ((), (shape,), (shape, shape)):
        operation_like_torch(
            lambda x, *w: functional.layer_norm(x, shape, *w),
            lambda x, *w: torch_functional.layer_norm(x, shape, *w),
            (2, 3, 4),
            *given,
        )


SMOOTHING = [0.0, 0.1, 1.0]
TARGETS = [np.array([1, 0, 3, 2, 3]), np.array([1, -100, 3, -100, 3]), np.full(5, -100)]


@pytest.mark.parametrize("smoothing", SMOOTHING)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("targets", TARGETS, ids=["all", "some ignored", "all ignored"])
def test_cross_entropy(
    targets: Any, reduction: str, smoothing: float, operation_like_torch: Callable[..., None]
) -> None:
    def ours(a: Any) -> Any:
        return functional.cross_entropy(a, targets, reduction=reduction, label_smoothing=smoothing)

    def theirs(a: Any) -> Any:
        wanted = torch.from_numpy(targets)
        return torch_functional.cross_entropy(a, wanted, reduction=reduction, label_smoothing=smoothing)

    nowhere = reduction == "mean" and (targets == -100).all()
    operation_like_torch(ours, theirs, (5, 4), finite_differences=not nowhere)
    if not smoothing:
        operation_like_torch(
            lambda a: functional.nll_loss(a, targets, reduction=reduction),
            lambda a: torch_functional.nll_loss(a, torch.from_numpy(targets), reduction=reduction),
            (5, 4),
            finite_differences=not nowhere,
        )


@pytest.mark.parametrize("ignored", [-100, 0, -1])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 4, 3, 2), (4,)], ids=str)
def test_cross_entropy_over_more_axes(shape: Any, ignored: int, operation_like_torch: Callable[..., None]) -> None:
    targets = np.random.default_rng(0).integers(0, 4, shape[:1] + shape[2:] if len(shape) > 1 else ())
    if targets.ndim:
        targets.flat[::3] = ignored
    for reduction, smoothing in itertools.product(("mean", "sum", "none"), (0.0, 0.2)):
        given = {"ignore_index": ignored, "reduction": reduction, "label_smoothing": smoothing}
        operation_like_torch(
            lambda a, g=given: functional.cross_entropy(a, targets, **g),
            lambda a, g=given: torch_functional.cross_entropy(a, torch.from_numpy(np.asarray(targets)), **g),
            shape,
            finite_differences=targets.ndim > 0,
        )


def test_cross_entropy_of_one_in_float32_and_of_extremes() -> None:
    logits = np.array([[1000.0, -1000.0], [0.0, 1000.0]], np.float32)
    x, reference = Tensor(logits, requires_grad=True), torch.tensor(logits, requires_grad=True)
    loss = functional.cross_entropy(x, [1, 1])
    expected = torch_functional.cross_entropy(reference, torch.tensor([1, 1]))
    loss.backward()
    expected.backward()
    assert loss.dtype == np.float32 and loss.item() == expected.item() == 1000
    assert x.grad is not None and reference.grad is not None
    np.testing.assert_array_equal(x.grad, reference.grad.numpy())
    assert logits[0, 0] == 1000  # the caller's logits stay as they were


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse(reduction: str, operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(
        lambda a, b: functional.mse_loss(a, b, reduction),
        lambda a, b: torch_functional.mse_loss(a, b, reduction=reduction),
        (3, 4),
        (3, 4),
    )


def test_dropout_keeps_the_expected_value_and_drops_what_it_says() -> None:
    x = Tensor(np.ones(100_000), requires_grad=True)
    for p in (0.2, 0.5, 0.9):
        x.grad = None
        y = functional.dropout(x, p, generator=np.random.default_rng(0))
        y.sum().backward()
        assert abs(y.numpy().mean() - 1) < 0.02
        assert abs((y.numpy() == 0).mean() - p) < 0.01
        np.testing.assert_allclose(np.unique(y.numpy()), [0, 1 / (1 - p)])
        np.testing.assert_array_equal(x.grad, y.numpy())  # dropped places get no gradient, the others the same factor


def test_dropout_at_its_ends() -> None:
    x = Tensor(np.ones((2, 3), np.float32))
    assert functional.dropout(x, 0.0) is x and functional.dropout(x, 0.5, training=False) is x
    assert not functional.dropout(x, 1.0, generator=np.random.default_rng(0)).numpy().any()
    same = [functional.dropout(x, 0.5, generator=np.random.default_rng(3)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert same[0].dtype == np.float32


def ones(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (
            lambda: functional.linear(ones(2, 3), ones(4, 5)),
            r"^linear: received x \(2, 3\) and weight \(4, 5\); expected",
        ),
        (
            lambda: functional.linear(ones(2, 5), ones(4, 5), ones(5)),
            r"^linear: received bias \(5,\) with weight \(4, 5\)",
        ),
        (
            lambda: functional.linear(ones(2, 5), Tensor(np.ones((4, 5), np.float32))),
            r"^linear: received float64 and float32; expected one type",
        ),
        (lambda: functional.embedding([0, 7], ones(5, 2)), r"^embedding: received id 7; expected ids from 0 to 4\.$"),
        (lambda: functional.embedding([0, -1], ones(5, 2)), r"^embedding: received id -1; expected ids from 0 to 4\.$"),
        (
            lambda: functional.embedding([0.5], ones(5, 2)),
            r"^embedding: received ids of float64; expected whole numbers",
        ),
        (
            lambda: functional.cross_entropy(ones(2, 3), [0]),
            r"^cross_entropy: received \(2, 3\) .* with targets \(1,\)",
        ),
        (
            lambda: functional.cross_entropy(ones(2, 3), [0, 3]),
            r"^cross_entropy: received target 3 at place 1; expected classes from 0 to 2, or ignore_index=-100\.$",
        ),
        (
            lambda: functional.nll_loss(ones(2, 3), [-1, 0]),
            r"^nll_loss: received target -1 at place 0; expected classes",
        ),
        (lambda: functional.cross_entropy(ones(1, 3), [0.0]), r"^cross_entropy: received targets of float64; expected"),
        (
            lambda: functional.cross_entropy(ones(1, 3), [0], reduction="max"),
            r"^reduction: received 'max'; expected one",
        ),
        (
            lambda: functional.cross_entropy(ones(1, 3), [0], label_smoothing=2),
            r"^label_smoothing: received 2; expected",
        ),
        (lambda: functional.layer_norm(ones(2, 3), 4), r"^layer_norm: received x \(3,\); expected \(4,\)"),
        (
            lambda: functional.layer_norm(ones(2, 3), 3, ones(2)),
            r"^layer_norm: received weight \(2,\); expected \(3,\)",
        ),
        (
            lambda: functional.mse_loss(ones(2, 1), ones(2)),
            r"^mse_loss: received \(2, 1\) and \(2,\); expected one shape",
        ),
        (
            lambda: functional.linear(ones(2), Tensor(np.ones((3, 2), np.float32))),
            r"^linear: received float64 and float32; expected one type; convert arrays with astype, modules with to\.$",
        ),
        (lambda: functional.dropout(ones(2), 0.5), r"^dropout: received no generator; expected"),
        (lambda: functional.dropout(ones(2), 1.5), r"^p: expected a probability from 0 to 1, received 1\.5"),
    ],
)
def test_says_what_is_wrong(fails: Callable[[], Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()
