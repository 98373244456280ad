"""Every operation equals torch in float64, result and gradients, and finite differences; what a graph keeps."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from seesay.errors import DataError
from seesay.scratch import tensor as t
from seesay.scratch.rearranging import SCATTERED, scatter_rows
from seesay.scratch.tensor import Tensor, no_grad

ROWS, MASK = np.array([2, 0, 2]), np.array([[True, False, True], [False, False, True]])
POSITIVE = np.random.default_rng(1).uniform(0.5, 2, (2, 3))
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
PLACES = np.array([[0, 2, 2], [1, 1, 0]])

BROADCASTING = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((4, 1, 3), (2, 1)), ((), (2, 3)), ((2, 3), (1, 1))]
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1),
    "power": lambda a, b: (a * a + 1) ** b,
}
# Name: what both engines are asked, and the operands.
SAME: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "with numbers": (lambda a: 3 - (2 * a + 1) / 4 - (1 / (a * a + 1)) * 2 + (a - 1), ((2, 3),)),
    "power of a number": (lambda a: a**3 + a**2 + a**1 + a**0, ((2, 3),)),
    "root by power": (lambda a: a**0.5 + a**-1.5, (POSITIVE,)),
    "number to the power": (lambda a: 2.0**a, ((2, 3),)),
    "negative": (lambda a: -a, ((2, 3),)),
    "used twice": (lambda a: a * a + a, ((2, 3),)),
    "used by many": (lambda a: a.exp() * a.tanh() + a.sigmoid() / (a * a + 2) - a, ((3,),)),
    "exp": (lambda a: a.exp(), ((2, 3),)),
    "log": (lambda a: a.log(), (POSITIVE,)),
    "sqrt": (lambda a: a.sqrt(), (POSITIVE,)),
    "tanh": (lambda a: a.tanh(), ((2, 3),)),
    "sigmoid": (lambda a: a.sigmoid(), ((2, 3),)),
    "relu": (lambda a: a.relu(), ((4, 5),)),
    "abs": (lambda a: a.abs(), ((4, 5),)),
    "matrices": (lambda a, b: a @ b, ((2, 3), (3, 4))),
    "vectors": (lambda a, b: a @ b, ((3,), (3,))),
    "vector, matrix": (lambda a, b: a @ b, ((3,), (3, 4))),
    "matrix, vector": (lambda a, b: a @ b, ((2, 3), (3,))),
    "batch, vector": (lambda a, b: a @ b, ((5, 2, 3), (3,))),
    "vector, batch": (lambda a, b: a @ b, ((3,), (5, 3, 4))),
    "batch, matrix": (lambda a, b: a @ b, ((5, 2, 3), (3, 4))),
    "two lead axes, matrix": (lambda a, b: a @ b, ((6, 5, 2, 3), (3, 4))),
    "matrix, batch": (lambda a, b: a @ b, ((2, 3), (5, 3, 4))),
    "batches": (lambda a, b: a @ b, ((5, 2, 3), (5, 3, 4))),
    "broadcast batches": (lambda a, b: a @ b, ((6, 1, 2, 3), (5, 3, 4))),
    "matrix transposed": (lambda a, b: a.mT @ b.T, ((5, 3, 2), (4, 3))),
    "slice": (lambda a: a[1:, ::2], ((3, 4),)),
    "row": (lambda a: a[1], ((3, 4),)),
    "last": (lambda a: a[-1, -2], ((3, 4),)),
    "new axis": (lambda a: a[:, None, 1:3], ((3, 4),)),
    "ellipsis": (lambda a: a[..., 1], ((2, 3, 4),)),
    "rows, one twice": (lambda a: a[ROWS], ((3, 4),)),
    "rows from the end": (lambda a: a[np.array([-1, 0, -1])], ((3, 4),)),
    "a table of rows": (lambda a: a[np.array([[0, 1], [1, 1]])], ((3, 2, 2),)),
    "pairs, one twice": (lambda a: a[ROWS, np.array([1, 1, 1])], ((3, 4),)),
    "slice and rows": (lambda a: a[:, ROWS], ((2, 3),)),
    "mask": (lambda a: a[MASK], ((2, 3),)),
    "reshape": (lambda a: a.reshape(3, 2) * a.view((3, -1)), ((2, 3),)),
    "transpose": (lambda a: a.transpose(0, 2) + a.swapaxes(-1, 0), ((2, 3, 4),)),
    "permute": (lambda a: a.permute(2, 0, 1) * a.permute((-1, 0, 1)), ((2, 3, 4),)),
    "T": (lambda a: a.T @ a, ((2, 3),)),
    "flatten": (lambda a: a.flatten() + a.flatten(1).flatten() + a.flatten(0, 1).flatten(), ((2, 3, 4),)),
    "squeeze": (lambda a: a.squeeze() + a.squeeze(1), ((2, 1, 3),)),
    "unsqueeze": (lambda a: a.unsqueeze(0) * a.unsqueeze(-1).transpose(0, 2), ((2, 2),)),
    "expand": (lambda a: a.expand(4, 2, 3) + a.expand(2, -1), ((2, 1),)),
    "masked fill": (lambda a: a.masked_fill(_like(a, MASK), -2.0), ((2, 3),)),
    "masked fill, broadcast": (lambda a: a.masked_fill(_like(a, MASK[:1]), 0), ((2, 3),)),
    "gather": (lambda a: a.gather(1, _like(a, PLACES)), ((2, 3),)),
    "gather less": (lambda a: a.gather(0, _like(a, PLACES[1:, :2])), ((2, 3),)),
    "broadcast gradient kept": (lambda a: a + a.sum() + a.mean(), ((2, 3),)),
}


def _like(a: Any, array: Any) -> Any:
    return array if isinstance(a, Tensor) else torch.from_numpy(array)


@pytest.mark.parametrize("shapes", BROADCASTING, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_broadcasting(name: str, shapes: Any, operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(BINARY[name], BINARY[name], *shapes)


@pytest.mark.parametrize("name", SAME)
def test_same_as_torch(name: str, operation_like_torch: Callable[..., None]) -> None:
    function, given = SAME[name]
    operation_like_torch(function, function, *given)


@pytest.mark.parametrize(("rows", "width"), [(1, SCATTERED + 1), (700, SCATTERED // 256), (5, 0), (0, 3)])
def test_rows_gather_their_gradients_in_several_goes(rows: int, width: int) -> None:
    random = np.random.default_rng(0)
    ids, d = random.integers(-4, 4, (2, rows)), random.standard_normal((2, rows, width))
    expected = np.zeros((4, width))
    np.add.at(expected, ids, d)
    np.testing.assert_allclose(scatter_rows(ids, d, 4), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (-1, 0, 1)], ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var"])
def test_reductions(name: str, axis: Any, keepdims: bool, operation_like_torch: Callable[..., None]) -> None:
    torch_name = {"max": "amax", "min": "amin"}.get(name, name)
    over = (0, 1, 2) if axis is None else axis
    operation_like_torch(
        lambda a: getattr(a, name)(axis=axis, keepdims=keepdims),
        lambda a: getattr(torch, torch_name)(a, dim=over, keepdim=keepdims),
        (2, 3, 4),
    )


def test_variance_over_n(operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(lambda a: a.var(1, correction=0), lambda a: a.var(1, correction=0), (3, 4))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_equals_share_the_gradient_of_an_extreme(axis: Any, operation_like_torch: Callable[..., None]) -> None:
    over = (0, 1) if axis is None else axis
    for ours, theirs in (("max", torch.amax), ("min", torch.amin)):
        operation_like_torch(
            lambda a, ours=ours: getattr(a, ours)(axis), lambda a, theirs=theirs: theirs(a, over), TIES,
            finite_differences=False,
        )  # fmt: skip


@pytest.mark.parametrize("shapes", BROADCASTING, ids=str)
def test_where_and_maximum(shapes: Any, operation_like_torch: Callable[..., None]) -> None:
    condition = np.array([True, False, True])
    operation_like_torch(
        lambda a, b: t.where(condition, a, b), lambda a, b: torch.where(torch.from_numpy(condition), a, b), *shapes
    )
    operation_like_torch(t.maximum, torch.maximum, *shapes)


def test_maximum_of_equals(operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(t.maximum, torch.maximum, TIES, TIES[:, ::-1].copy(), finite_differences=False)


def test_where_takes_numbers(operation_like_torch: Callable[..., None]) -> None:
    operation_like_torch(
        lambda a: t.where(MASK, a, 0) + Tensor.where(a, ~MASK, 1) + t.maximum(a, 0),
        lambda a: torch.where(_like(a, MASK), a, 0) + torch.where(_like(a, MASK), 1, a) + a.clamp(min=0),
        (2, 3),
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_joining_and_taking_apart(axis: int, operation_like_torch: Callable[..., None]) -> None:
    same = operation_like_torch
    same(lambda a, b: t.concat([a, b, a], axis), lambda a, b: torch.cat([a, b, a], axis), (2, 3), (2, 3))
    same(lambda a, b: t.stack([a, b, a], axis), lambda a, b: torch.stack([a, b, a], axis), (2, 3), (2, 3))
    same(lambda a: t.flip(a, axis), lambda a: a.flip(axis), (2, 3))
    same(lambda a: t.flip(a, (0, 1)), lambda a: a.flip((0, 1)), (2, 3))
    same(lambda a: t.unbind(a, axis)[1], lambda a: a.unbind(axis)[1], (2, 3))
    same(lambda a: sum(t.unbind(a, axis)[:2]), lambda a: sum(a.unbind(axis)[:2]), (3, 3))  # one part stays unused
    for size in (1, 2, [1, 2, 1], [4]):
        same(
            lambda a, size=size: t.concat(t.split(a, size, axis)[::-1], axis),
            lambda a, size=size: torch.cat(a.split(size, axis)[::-1], axis),
            (4, 4),
        )
    for count in (1, 2, 3, 4, 7):
        for number in range(len(torch.ones(4).chunk(count))):
            same(
                lambda a, c=count, n=number: t.chunk(a, c, axis)[n],
                lambda a, c=count, n=number: a.chunk(c, axis)[n],
                (4, 4),
            )


def test_iterates_over_the_first_axis() -> None:
    x = Tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    first, _, last = x
    (first + 2 * last).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 1], [0, 0], [2, 2]]


def test_arrays_on_the_left() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for result, expected in ((np.ones(2) + x, [2, 3]), (np.ones((1, 2)) @ x, [3]), (np.float64(6) / x, [6, 3])):
        assert isinstance(result, Tensor) and result.requires_grad and result.numpy().tolist() == expected


def test_comparisons_are_plain_arrays() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    for found, expected in (
        (x < 2, [True, False, False]),
        (x <= 2, [True, True, False]),
        (x > Tensor([2.0]), [False, False, True]),
        (x >= 2, [False, True, True]),
        (x == np.array([1, 2, 4]), [True, True, False]),
        (x != 2, [True, False, True]),
    ):
        assert isinstance(found, np.ndarray) and found.tolist() == expected
    assert len({x, x, Tensor([1.0])}) == 2  # a tensor is a key by what it is, not by what it holds


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype: Any) -> None:
    x = Tensor(np.array([[0.5, 1.5], [2.5, 3.5]], dtype), requires_grad=True)
    y = 2 * x + 1 - np.float64(0.5) + np.array([1, 2]) + Tensor(np.array([True, False]))
    for result in (y / 3, y**2, 2**y, y.mean(), y.var(), y.max(0), y @ y, y.sigmoid(), y.masked_fill(y > 3, 1.5)):
        assert result.dtype == dtype
        y = y if result is not y else result
    (y.mean(0) * y.var(1) / y.max() + y.sum() ** 0.5 + y.sigmoid().log()).sum().backward()
    assert x.grad is not None and x.grad.dtype == dtype


def test_gradients_add_up_over_calls() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for times in (1, 2, 3):
        (x * x).sum().backward()
        assert x.grad is not None and x.grad.tolist() == [2 * times, 4 * times]


def test_leaves_never_share_a_gradient() -> None:
    a, b = (Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    gradient = np.ones(2)
    (a + b).backward(gradient)
    assert a.grad is not None and b.grad is not None
    a.grad += 5
    assert b.grad.tolist() == [1, 1] and gradient.tolist() == [1, 1]
    a.backward(gradient)
    assert a.grad.tolist() == [7, 7] and gradient.tolist() == [1, 1]


def test_a_part_of_the_graph_that_needs_none() -> None:
    x, y = Tensor([1.0], requires_grad=True), Tensor([2.0])
    (x * y + y * y + x.detach()).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2.0] and y.grad is None


def test_deep_graphs() -> None:
    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad is not None and x.grad.tolist() == [1.0]
    for _ in range(20_000):
        y = x + 1 if _ == 0 else y + 1
    del y  # a graph that nobody walks goes without a deep recursion too


def test_memory_goes_as_the_walk_proceeds() -> None:
    x = Tensor(np.ones(3), requires_grad=True)
    first = x * 2
    seen = weakref.ref(first)
    loss = (first.exp() * 3).sum()
    del first
    assert seen() is not None
    loss.backward()
    gc.collect()
    assert seen() is None  # while the loss itself is still held


def test_a_graph_is_walked_once() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    shared = x * 2
    shared.sum().backward()
    with pytest.raises(DataError, match=r"^backward: received a graph already walked; expected a new one: run forward"):
        (shared * 3).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 2]


def test_no_grad() -> None:
    x = Tensor([1.0], requires_grad=True)

    @no_grad()
    def double(x: Tensor) -> Tensor:
        return x * 2

    with no_grad():
        assert not (x * 2).requires_grad
        with no_grad():
            pass
        assert not t.unbind(x)[0].requires_grad
    assert not double(x).requires_grad and (x * 2).requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad


def test_views_are_views() -> None:
    x = Tensor(np.ones((2, 3)))
    for view in (x.T, x[0], x.reshape(3, 2), x[None], x.expand(4, 2, 3), x.squeeze(), x.detach(), Tensor(x.data)):
        assert np.shares_memory(view.numpy(), x.data)


def test_infinite_slopes_are_torch_s() -> None:
    for function in (lambda a: a**0.5, lambda a: a.sqrt(), lambda a: 0.0**a, lambda a: a**0):
        x, reference = Tensor([0.0, 4.0], requires_grad=True), torch.tensor([0.0, 4.0], requires_grad=True)
        function(x).sum().backward()
        function(reference.double()).sum().backward()
        assert x.grad is not None and reference.grad is not None
        np.testing.assert_allclose(x.grad, reference.grad.numpy(), rtol=1e-6)


def ones(*shape: int, **given: Any) -> Tensor:
    return Tensor(np.ones(shape), **given)


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda: ones(2, 3) @ ones(4, 5), r"^matmul: received \(2, 3\) and \(4, 5\); expected shapes that fit: "),
        (lambda: ones(6, 2, 3) @ ones(4, 5), r"^matmul: received \(6, 2, 3\) and \(4, 5\); expected"),
        (lambda: ones() @ ones(4, 5), r"^matmul: received \(\) and \(4, 5\); expected"),
        (lambda: ones(2, 3) + ones(4), r"^add: received \(2, 3\) and \(4,\); expected shapes that fit: "),
        (lambda: ones(2, 3).reshape(4, 2), r"^reshape: received \(2, 3\); expected"),
        (lambda: ones(2, 3)[5], r"^index: received \(2, 3\); expected shapes that fit: index 5 is out of bounds"),
        (lambda: ones(2, 3).sum(2), r"^sums: received \(2, 3\); expected .*axis 2 is out of bounds"),
        (lambda: t.concat([ones(2, 3), ones(4)]), r"^concat: received \(2, 3\) and \(4,\); expected"),
        (lambda: t.stack([ones(2), ones(3)]), r"^stack: received \(2,\) and \(3,\); expected"),
        (lambda: t.split(ones(4), [1, 2]), r"^split: received sizes \[1, 2\]; expected their sum to be 4"),
        (lambda: t.unbind(ones(4), 1), r"^axis: received 1 for a tensor \(4,\); expected one that it has"),
        (lambda: ones(2).masked_fill(np.ones((3, 2), bool), 0), r"^masked_fill: received \(2,\)"),
        (lambda: ones(2, 2).gather(0, np.array([[2, 0]])), r"^gather: received \(2, 2\).*0 to 1 are needed"),
        (lambda: ones(2) * np.ones(2, np.float32), r"^multiply: received float64 and float32; expected one type"),
        (lambda: np.ones((2, 2), np.float32) @ ones(2), r"^matmul: received float32 and float64; expected one type"),
        (lambda: Tensor(np.ones(2, np.float16)), r"^Tensor: received float16; expected float32, float64 or whole"),
        (lambda: Tensor(["a"]), r"^Tensor: received <U1; expected float32"),
        (lambda: Tensor([1], requires_grad=True), r"^Tensor: received int64 with requires_grad; expected float32 or"),
        (lambda: ones(2).item(), r"^item: received a tensor \(2,\); expected one value"),
        (lambda: ones(2).sum().backward(), r"^backward: received a tensor that leads to no leaf with requires_grad"),
        (lambda: ones(2, requires_grad=True).exp().backward(), r"^backward: received \(2,\) and no gradient; expected"),
        (
            lambda: ones(2, requires_grad=True).exp().backward(np.ones(3)),
            r"^backward: received a gradient \(3,\) of float64; expected \(2,\) of float64",
        ),
    ],
)
def test_says_what_is_wrong(fails: Callable[[], Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        fails()
