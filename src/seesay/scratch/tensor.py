"""An array that remembers how it was made, so that gradients find their way back. NumPy alone.

What an operation does and how it is undone stands in `operations.py` and `rearranging.py`; how it is remembered in
`graph.py`; the way back in `node.py`. Names are torch's; what torch calls `dim` is `axis`, as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from seesay.scratch import graph, rearranging
from seesay.scratch import operations as ops
from seesay.scratch.arrays import Array
from seesay.scratch.graph import JointBack
from seesay.scratch.graph import no_grad as no_grad
from seesay.scratch.node import Node, as_array

Operand: TypeAlias = Any  # a Tensor, an array or a number
Axes: TypeAlias = ops.Axes


class Tensor(Node):
    """An array of float32 or float64, or of whole numbers or truth values, which have no gradient.

    `data` is the array itself, not a copy: writing to it is how a leaf's values change. `grad` is None until `backward`
    reaches a leaf that requires it; further `backward` add to it. Operands may be Tensors, arrays or numbers; their
    float types must agree. Comparisons give plain arrays.

    Raises DataError for other dtypes, operands of two float types, and shapes that do not fit, naming the operation.

    >>> x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x[1] * 2).max().backward()
    >>> x.grad.tolist()
    [[0.0, 0.0], [0.0, 2.0]]
    """

    __slots__ = ()

    def detach(self) -> Tensor:
        """The same values, without their past."""
        return Tensor(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(unbind(self))

    def __add__(self, other: Operand) -> Tensor:
        return _apply(ops.add, (self, other))

    def __sub__(self, other: Operand) -> Tensor:
        return _apply(ops.subtract, (self, other))

    def __rsub__(self, other: Operand) -> Tensor:
        return _apply(ops.subtract, (other, self))

    def __mul__(self, other: Operand) -> Tensor:
        return _apply(ops.multiply, (self, other))

    def __truediv__(self, other: Operand) -> Tensor:
        return _apply(ops.divide, (self, other))

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _apply(ops.divide, (other, self))

    def __pow__(self, other: Operand) -> Tensor:
        return _apply(ops.power, (self, other))

    def __rpow__(self, other: Operand) -> Tensor:
        return _apply(ops.power, (other, self))

    def __matmul__(self, other: Operand) -> Tensor:
        return _apply(ops.matmul, (self, other))

    def __rmatmul__(self, other: Operand) -> Tensor:
        return _apply(ops.matmul, (other, self))

    def __neg__(self) -> Tensor:
        return _apply(ops.negative, (self,))

    __radd__, __rmul__ = __add__, __mul__

    def exp(self) -> Tensor:
        """e to the power of each value."""
        return _apply(ops.exp, (self,))

    def log(self) -> Tensor:
        """The natural logarithm."""
        return _apply(ops.log, (self,))

    def sqrt(self) -> Tensor:
        """The square root."""
        return _apply(ops.sqrt, (self,))

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return _apply(ops.tanh, (self,))

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)), without overflow."""
        return _apply(ops.sigmoid, (self,))

    def relu(self) -> Tensor:
        """max(x, 0)."""
        return _apply(ops.relu, (self,))

    def abs(self) -> Tensor:
        """The distance from 0."""
        return _apply(ops.absolute, (self,))

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The sum over an axis or several, over all where None."""
        return _apply(ops.sums, (self,), axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The mean over an axis or several, over all where None."""
        return _apply(ops.mean, (self,), axis, keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The maximum; equals share the gradient evenly, as torch.amax."""
        return _apply(ops.largest, (self,), axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The minimum; equals share the gradient evenly, as torch.amin."""
        return _apply(ops.smallest, (self,), axis, keepdims)

    def var(self, axis: Axes = None, correction: int = 1, keepdims: bool = False) -> Tensor:
        """The variance; `correction` is taken from the count."""
        return _apply(ops.variance, (self,), axis, correction, keepdims)

    def reshape(self, *shape: Any) -> Tensor:
        """The same values in another shape; one size may be -1."""
        return _apply(rearranging.reshape, (self,), _spelled(shape))

    def permute(self, *axes: Any) -> Tensor:
        """All axes in another order."""
        return _apply(rearranging.permute, (self,), _spelled(axes))

    def transpose(self, first: int, second: int) -> Tensor:
        """Two axes change places."""
        return _apply(rearranging.swap, (self,), first, second)

    view, swapaxes = reshape, transpose

    @property
    def T(self) -> Tensor:  # noqa: N802
        """All axes in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Tensor:  # noqa: N802
        """Each matrix transposed: the last two axes change places."""
        return self.transpose(-1, -2)

    def flatten(self, start: int = 0, end: int = -1) -> Tensor:
        """One axis of those from `start` to `end`."""
        return _apply(rearranging.flatten, (self,), start, end)

    def squeeze(self, axis: Axes = None) -> Tensor:
        """Without these axes, which must be of size 1; without all such where None."""
        return _apply(rearranging.squeeze, (self,), axis)

    def unsqueeze(self, axis: int) -> Tensor:
        """With a new axis of size 1 at this place."""
        return _apply(rearranging.unsqueeze, (self,), axis)

    def expand(self, *shape: Any) -> Tensor:
        """Axes of size 1, or new ones in front, repeated to this shape; -1 leaves one as it is."""
        return _apply(rearranging.expand, (self,), _spelled(shape))

    def masked_fill(self, mask: Any, value: float) -> Tensor:
        """`value` where the mask is true."""
        return _apply(rearranging.masked_fill, (self,), as_array(mask), value)

    def where(self, condition: Any, other: Operand) -> Tensor:
        """These values where the condition is true, the other's elsewhere."""
        return where(condition, self, other)

    def gather(self, dim: int, index: Any) -> Tensor:
        """The values at these places along `dim`, as torch.gather."""
        return _apply(rearranging.gather, (self,), dim, as_array(index))

    def __getitem__(self, key: Any) -> Tensor:
        if isinstance(key, tuple):
            key = tuple(part.data if isinstance(part, Tensor) else part for part in key)
        return _apply(rearranging.index, (self,), key.data if isinstance(key, Tensor) else key)


def as_tensor(x: Operand) -> Tensor:
    """A Tensor as it is, anything else as a Tensor that needs no gradient.

    >>> as_tensor([1.0, 2.0]).shape
    (2,)
    """
    return x if isinstance(x, Tensor) else Tensor(x)


def where(condition: Any, a: Operand, b: Operand) -> Tensor:
    """a where the condition is true, b elsewhere; all three broadcast.

    >>> where([True, False], Tensor([1.0, 2.0]), 0).numpy()
    array([1., 0.])
    """
    return _apply(rearranging.where, (a, b), as_array(condition))


def maximum(a: Operand, b: Operand) -> Tensor:
    """The larger of the two, place by place; equals share the gradient in halves.

    >>> maximum(Tensor([1.0, 5.0]), 3).numpy()
    array([3., 5.])
    """
    return _apply(ops.maximum, (a, b))


def concat(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """One after the other along an axis that they have; `cat` is the same.

    >>> concat([Tensor([1.0]), Tensor([2.0, 3.0])]).numpy()
    array([1., 2., 3.])
    """
    return _apply(rearranging.concat, tuple(tensors), axis)


cat = concat


def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """Tensors of one shape along a new axis.

    >>> stack([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])], axis=1).numpy().tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    return _apply(rearranging.stack, tuple(tensors), axis)


def flip(x: Operand, axis: int | tuple[int, ...]) -> Tensor:
    """Backwards along these axes.

    >>> flip([1.0, 2.0], 0).numpy()
    array([2., 1.])
    """
    return _apply(rearranging.flip, (x,), axis)


def unbind(x: Operand, axis: int = 0) -> list[Tensor]:
    """The parts along an axis, which they lose: cheaper than x[0], x[1], ..., whose gradients are each as large as x.

    >>> [part.item() for part in unbind([1.0, 2.0])]
    [1.0, 2.0]
    """
    return _pieces(x, lambda a: rearranging.unbind(a, axis))


def split(x: Operand, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parts of these sizes along an axis; a single number is the size of each but perhaps the last.

    >>> [part.shape for part in split(Tensor([1.0, 2.0, 3.0]), [1, 2])]
    [(1,), (2,)]
    """
    return _pieces(x, lambda a: rearranging.split(a, sizes, axis))


def chunk(x: Operand, count: int, axis: int = 0) -> list[Tensor]:
    """At most `count` parts along an axis, of one size but perhaps the last, as torch.chunk.

    >>> [part.shape for part in chunk(Tensor([1.0, 2.0, 3.0]), 2)]
    [(2,), (1,)]
    """
    return _pieces(x, lambda a: rearranging.chunk(a, count, axis))


def joint(values: Sequence[Array], parents: Sequence[Tensor], back: JointBack) -> list[Tensor]:
    """One operation of several results, undone by hand; see `graph.joint`.

    >>> x = Tensor([3.0], requires_grad=True)
    >>> (square,) = joint([x.data**2], [x], lambda gradients: [2 * x.data * gradients[0]])
    >>> square.backward(); x.grad
    array([6.])
    """
    return graph.joint(Tensor, values, parents, back)


def _apply(operation: Callable[..., ops.Made], operands: tuple[Operand, ...], *settings: Any) -> Tensor:
    return graph.apply(Tensor, operation, operands, *settings)


def _pieces(x: Operand, take: Callable[[Array], rearranging.Pieces]) -> list[Tensor]:
    x = as_tensor(x)
    values, back = take(x.data)
    return joint(values, [x], lambda gradients: [back(gradients)])


def _spelled(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    return tuple(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
