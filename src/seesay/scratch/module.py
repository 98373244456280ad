"""What layers and models are made of: attributes that are parameters or modules are found, named and moved by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from seesay.errors import CheckpointError, DataError
from seesay.scratch.arrays import Array, expect_float, generator_from
from seesay.scratch.tensor import Tensor

M = TypeVar("M", bound="Module")


class Parameter(Tensor):
    """A Tensor that a module learns.

    >>> Parameter(np.zeros(2)).requires_grad
    True
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)


class Module:
    """A part of a model. Give it Parameters and Modules as attributes, in torch's order, and a `forward`.

    Names are those of torch.nn: the attribute's, with those of the modules above and dots before it, so that
    `state_dict` moves weights either way.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter(np.array([2.0]))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> scale(np.array([3.0])).numpy(), list(scale.state_dict())
    (array([6.]), ['factor'])
    """

    forward: Callable[..., Any]

    def __init__(self) -> None:
        self.training = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `forward` returns."""
        if not hasattr(self, "forward"):
            raise DataError(f"{type(self).__name__}: received a call without a forward; call the modules inside it.")
        return self.forward(*args, **kwargs)

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, by name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters directly inside, by name."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Parameter))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module, named `prefix`, and all inside it, each before those it holds."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it."""
        return (module for _, module in self.named_modules())

    def _all_parameters(self) -> Iterator[tuple[str, Parameter]]:
        for prefix, module in self.named_modules():
            for name, parameter in module.own_parameters():
                yield f"{prefix}.{name}" if prefix else name, parameter

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter by name; one that stands in two places comes once."""
        seen: set[int] = set()
        for name, parameter in self._all_parameters():
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self) -> Iterator[Parameter]:
        """Every parameter once."""
        return (parameter for _, parameter in self.named_parameters())

    def state_dict(self) -> dict[str, Array]:
        """The parameters' arrays by name, not copies."""
        return {name: parameter.data for name, parameter in self._all_parameters()}

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Writes these arrays into the parameters.

        Raises CheckpointError, naming them, where some are missing or unknown or of another shape or dtype; nothing
        is written then.
        """
        held = dict(self._all_parameters())
        missing, unknown = [n for n in held if n not in arrays], [n for n in arrays if n not in held]
        if missing or unknown:
            received = f"missing {', '.join(missing) or 'none'}; unexpected {', '.join(unknown) or 'none'}"
            raise CheckpointError(f"state dict: {received}; expected the names of this {type(self).__name__}.")
        for name, parameter in held.items():
            array = np.asarray(arrays[name])
            if array.shape != parameter.shape or array.dtype != parameter.dtype:
                received, wanted = (f"{one.shape} of {one.dtype}" for one in (array, parameter))
                raise CheckpointError(f"state dict: received {name} {received}; expected {wanted}.")
        for name, parameter in held.items():
            parameter.data[...] = arrays[name]

    def train(self: M, mode: bool = True) -> M:
        """Turns dropout on, or off with False, everywhere inside; returns this module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Turns dropout off everywhere inside; returns this module."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forgets every gradient."""
        for parameter in self.parameters():
            parameter.grad = None

    def seed(self: M, seed: np.random.Generator | int) -> M:
        """Gives one generator to every module inside that draws; all that is random from here on follows from it.

        It is the one given, or one that starts from the number given. Raises DataError for anything else.
        """
        generator = generator_from(seed)
        for module in self.modules():
            if hasattr(module, "generator"):
                module.generator = generator
        return self

    def to(self: M, dtype: DTypeLike) -> M:
        """Turns every parameter into float32 or float64, in new arrays, without gradients; returns this module."""
        expect_float("dtype", dtype)
        for parameter in self.parameters():
            parameter.data, parameter.grad = parameter.data.astype(dtype), None
        return self


def expect_sizes(dtype: DTypeLike, **sizes: int) -> None:
    """Raises DataError, naming it, for a size that is no whole number from 1, and for a dtype but float32 and float64.

    >>> expect_sizes(np.float32, in_features=3)
    """
    expect_float("dtype", dtype)
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise DataError(f"{name}: received {size!r}; expected a whole number.")
        if size < 1:
            raise DataError(f"{name}: received {size}; expected 1 or more.")


class ModuleList(Module):
    """Modules in a row, named 0, 1, 2, ...

    >>> layers = ModuleList([Module(), Module()])
    >>> len(layers), [name for name, _ in layers.named_modules()]
    (2, ['', '0', '1'])
    """

    def __init__(self, modules: Sequence[Module] = ()) -> None:
        super().__init__()
        self._items = list(modules)

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules by their numbers, then those that a subclass has as attributes."""
        yield from ((str(place), module) for place, module in enumerate(self._items))
        yield from super().children()

    def append(self, module: Module) -> None:
        """Adds one at the end."""
        self._items.append(module)

    def __getitem__(self, place: int) -> Module:
        return self._items[place]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._items)


class Sequential(ModuleList):
    """Modules one after the other, each called with what the one before returned.

    >>> Sequential()(3)
    3
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        """What the last module returns."""
        for module in self:
            x = module(x)
        return x
