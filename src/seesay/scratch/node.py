"""A value that knows what it was made from, and the way back through that (reverse mode: Linnainmaa 1970)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from seesay.errors import DataError
from seesay.scratch.arrays import Array

AllBack: TypeAlias = Callable[[Array], Sequence[Array | None]]


class Node:
    """A value, its gradient where it is a leaf, and the closures that lead to what it was made from; see Tensor.

    Raises DataError unless the value is of float32 or float64, or of whole numbers or truth values without a gradient.

    >>> Node([1.0, 2.0]).data
    array([1., 2.])
    """

    __slots__ = ("__weakref__", "_back", "_parents", "data", "grad", "requires_grad")
    __array_ufunc__ = None  # array + tensor asks the tensor

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data: Array = as_array(data)
        dtype = self.data.dtype
        if dtype.char not in "fd" and dtype.kind not in "biu":
            raise DataError(f"Tensor: received {dtype}; expected float32, float64 or whole numbers; convert it first.")
        if requires_grad and dtype.kind != "f":
            raise DataError(f"Tensor: received {dtype} with requires_grad; expected float32 or float64.")
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self._parents: tuple[Node, ...] = ()
        self._back: AllBack | None = None

    def backward(self, gradient: Any = None) -> None:
        """Adds to each leaf's `grad` the gradient of this value, weighted by `gradient` (by 1 where it is one number).

        The graph is taken down on the way, so that memory is free as soon as it can be: a second `backward` through any
        part of it raises DataError. The walk is a loop: a graph of any depth will do.
        """
        if not self.requires_grad:
            raise DataError("backward: received a tensor that leads to no leaf with requires_grad; expected one.")
        if gradient is None:
            if self.data.size != 1:
                shape = self.data.shape
                raise DataError(f"backward: received {shape} and no gradient; expected one number: sum or weight it.")
            gradient = np.ones_like(self.data)
        d = np.asarray(gradient.data if isinstance(gradient, Node) else gradient)
        if d.shape != self.data.shape or d.dtype != self.data.dtype:
            wanted = f"{self.data.shape} of {self.data.dtype}"
            raise DataError(f"backward: received a gradient {d.shape} of {d.dtype}; expected {wanted}.")
        _walk(_order(self), d)

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.data.ndim

    def item(self) -> Any:
        """The value of a tensor of one, as a plain number."""
        if self.data.size != 1:
            raise DataError(f"item: received a tensor {self.shape}; expected one value.")
        return self.data.item()

    def numpy(self) -> Array:
        """The array itself, not a copy."""
        return self.data

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """For copy and pickle: a copy of a result would lead to copies of its leaves, whose gradients nobody sees."""
        if self._back is not None:
            raise DataError("copy: received a result of operations; expected a leaf; copy its detach() instead.")
        kept = {"data": self.data, "grad": self.grad, "requires_grad": self.requires_grad}
        return None, kept | {"_parents": (), "_back": None}

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{', requires_grad=True' if self.requires_grad else ''})"

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.data, dtype, copy=copy)

    def __lt__(self, other: Any) -> Array:
        return np.asarray(self.data < as_array(other))

    def __le__(self, other: Any) -> Array:
        return np.asarray(self.data <= as_array(other))

    def __gt__(self, other: Any) -> Array:
        return np.asarray(self.data > as_array(other))

    def __ge__(self, other: Any) -> Array:
        return np.asarray(self.data >= as_array(other))

    def __eq__(self, other: Any) -> Array:  # type: ignore[override]
        return np.asarray(self.data == as_array(other))

    def __ne__(self, other: Any) -> Array:  # type: ignore[override]
        return np.asarray(self.data != as_array(other))

    __hash__ = object.__hash__


def as_array(x: Any) -> Array:
    """The array of a Tensor, or of anything that NumPy makes one of; DataError where it makes none.

    >>> as_array(Node([1.0]))
    array([1.])
    """
    if isinstance(x, Node):
        return x.data
    try:
        return np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as fault:  # ragged lists; torch's tensors that need a gradient
        reason = str(fault).partition("\n")[0]
        raise DataError(f"received {type(x).__name__} ({reason:.80}); expected an array or what makes one.") from None


def remember(result: Node, parents: Sequence[Node], back: AllBack) -> None:
    """Makes a result lead to its parents: `back` turns its gradient into theirs, None for none.

    >>> x, y = Node(np.ones(2), requires_grad=True), Node(np.full(2, 3.0))
    >>> remember(y, [x], lambda d: [3 * d])
    >>> y.backward(np.ones(2)); x.grad
    array([3., 3.])
    """
    result.requires_grad = True
    result._parents, result._back = tuple(parents), back


def _released(d: Array) -> Sequence[Array | None]:
    raise AssertionError  # only marks a node: `_order` refuses it


def _order(root: Node) -> list[Node]:
    """Everything that the root was made from, each after all it was itself made from; the root is last."""
    order: list[Node] = []
    seen: set[int] = set()
    waiting: list[tuple[Node, bool]] = [(root, False)]
    while waiting:
        node, parents_done = waiting.pop()
        if parents_done:
            order.append(node)
        elif id(node) not in seen:
            if node._back is _released:
                raise DataError("backward: received a graph already walked; expected a new one: run forward again.")
            seen.add(id(node))
            waiting.append((node, True))
            waiting.extend((parent, False) for parent in node._parents)
    return order


def _walk(order: list[Node], gradient: Array) -> None:
    """Hands gradients from the last node to the first, and takes each node's memory away once it is done."""
    pending: dict[int, tuple[Array, bool]] = {id(order[-1]): (gradient, False)}  # and whether it may be added to
    while order:
        node = order.pop()
        d, ours = pending.pop(id(node), (None, False))
        if node._back is None:
            if d is not None:
                _keep(node, d, ours)
            continue
        back, parents = node._back, node._parents
        node._back, node._parents = _released, ()
        if d is None:
            continue
        for parent, part in zip(parents, back(d), strict=True):
            if part is not None and parent.requires_grad:
                _hand_over(pending, id(parent), np.asarray(part), d)


def _hand_over(pending: dict[int, tuple[Array, bool]], key: int, part: Array, d: Array) -> None:
    if key not in pending:
        # Fresh memory may be added to in place; a view of what others read as well may not.
        pending[key] = (part, part.flags.writeable and not np.may_share_memory(part, d))
        return
    held, ours = pending[key]
    if ours:
        held += part
    else:
        pending[key] = (np.asarray(held + part), True)


def _keep(leaf: Node, d: Array, ours: bool) -> None:
    if leaf.grad is None:
        leaf.grad = d if ours else np.array(d, order="C")
    else:
        leaf.grad += d
