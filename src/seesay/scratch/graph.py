"""Running an operation so that it can be undone.

`apply` runs an operation of `operations.py` or `rearranging.py` and keeps its closures; `joint` does the same for one
operation of several results; under `no_grad` neither keeps anything. The way back is in `node.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import numpy as np

from seesay.errors import DataError
from seesay.scratch.arrays import Array
from seesay.scratch.node import AllBack, Node, remember
from seesay.scratch.operations import Made

JointBack: TypeAlias = Callable[[list[Array | None]], Sequence[Array | None]]
N = TypeVar("N", bound=Node)


class _Mode(threading.local):
    recording = True


_mode = _Mode()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, nothing is remembered and nothing needs a gradient; also a decorator, `@no_grad()`.

    >>> weight = Node(np.ones(2), requires_grad=True)
    >>> with no_grad():
    ...     recording([weight])
    False
    """
    before, _mode.recording = _mode.recording, False
    try:
        yield
    finally:
        _mode.recording = before


def recording(nodes: Sequence[Node]) -> bool:
    """Whether an operation on these has to be remembered.

    >>> recording([Node(np.ones(2))])
    False
    """
    return _mode.recording and any(node.requires_grad for node in nodes)


def apply(kind: type[N], operation: Callable[..., Made], operands: tuple[Any, ...], *settings: Any) -> N:
    """The result of an operation on operands (of this kind, or arrays, or numbers), remembered where need be.

    Raises DataError naming the operation, where the operands' float types differ or their shapes do not fit.

    >>> from seesay.scratch.operations import multiply
    >>> apply(Node, multiply, (Node([1.0, 2.0]), 3)).data
    array([3., 6.])
    """
    nodes = _alike(kind, operation, operands)
    try:
        value, backs = operation(*(node.data for node in nodes), *settings)
    except (ValueError, IndexError, TypeError) as error:
        shapes = " and ".join(str(node.data.shape) for node in nodes)
        raise DataError(f"{operation.__name__}: received {shapes}; expected shapes that fit: {error}.") from None
    result = kind(value)
    if recording(nodes):
        needed = [(node, back) for node, back in zip(nodes, backs, strict=True) if node.requires_grad]
        closures = [back for _, back in needed]
        remember(result, [node for node, _ in needed], lambda d: [back(d) for back in closures])
    return result


def joint(kind: type[N], values: Sequence[Array], parents: Sequence[Node], back: JointBack) -> list[N]:
    """One operation of several results. `back` is given the gradient by each, None where none came, and is run once.

    >>> x = Node(np.ones(2), requires_grad=True)
    >>> first, second = joint(Node, [x.data, 2 * x.data], [x], lambda both: [both[0] + 2 * both[1]])
    >>> _ = remember(total := Node(0.0), [first, second], lambda d: [np.ones(2), np.ones(2)])
    >>> total.backward(); x.grad
    array([3., 3.])
    """
    results = [kind(value) for value in values]
    if not recording(parents):
        return results
    # All results lead to one more node, which the walk reaches when every result has left its gradient here.
    found: list[Array | None] = [None] * len(results)
    nothing = np.zeros(0)
    meeting = Node(nothing)
    remember(meeting, parents, lambda d: back(found))

    def leave(place: int) -> AllBack:
        def put(d: Array) -> Sequence[Array | None]:
            found[place] = d
            return [nothing]

        return put

    for place, result in enumerate(results):
        remember(result, [meeting], leave(place))
    return results


def _alike(kind: type[N], operation: Callable[..., Made], operands: tuple[Any, ...]) -> list[N]:
    """The operands as nodes of one float type; numbers and whole numbers take that of the others."""
    nodes = [operand if isinstance(operand, kind) else _plain(kind, operand, operands) for operand in operands]
    types = {node.data.dtype for node in nodes}
    if len(types) == 1:
        return nodes
    floats = {dtype for dtype in types if dtype.kind == "f"}
    if len(floats) > 1:
        received = " and ".join(str(node.data.dtype) for node in nodes)
        remedy = "convert arrays with astype, modules with to"
        raise DataError(f"{operation.__name__}: received {received}; expected one type; {remedy}.")
    if not floats:
        return nodes
    (dtype,) = floats
    return [node if node.data.dtype == dtype else kind(node.data.astype(dtype)) for node in nodes]


def _plain(kind: type[N], operand: Any, operands: tuple[Any, ...]) -> N:
    """A number or an array as a node; a number takes the float type of the nodes beside it."""
    if isinstance(operand, np.generic | bool | int | float):
        for other in operands:
            if isinstance(other, kind) and other.data.dtype.kind == "f":
                return kind(np.asarray(operand, other.data.dtype))
    return kind(operand)
