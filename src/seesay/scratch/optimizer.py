"""What the optimisers of `optim.py` have in common: groups of parameters, steps in blocks, and a state to be kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from seesay.errors import CheckpointError, DataError
from seesay.scratch.arrays import Array
from seesay.scratch.tensor import Tensor

_NUMBERS = (int, float, np.integer, np.floating)
BLOCK = 1 << 15  # values: measured fastest of 2^12 to 2^20; a step's blocks stay in a core's own cache

Group: TypeAlias = dict[str, Any]  # "params", and the settings of this group
Slots: TypeAlias = dict[str, Array]  # what is remembered of one parameter


class Optimizer(ABC):
    """What the optimisers have in common: groups, gradients, and a state that a checkpoint can hold.

    `parameters` are Tensors, or dicts with "params" and settings of their own. `param_groups` holds those settings;
    changing `param_groups[0]["lr"]` between steps is how a schedule acts.

    Raises DataError for no parameters, one given twice, an unknown setting, or one out of its range.
    """

    def __init__(self, parameters: Iterable[Tensor] | Iterable[Group], defaults: dict[str, Any]) -> None:
        given: list[Any] = [parameters] if isinstance(parameters, Tensor) else list(parameters)
        groups = given if given and isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[Group] = []
        for group in groups:
            if not isinstance(group, dict):
                raise DataError(f"parameters: received {type(group).__name__} among groups; expected dicts alone.")
            unknown = set(group) - set(defaults) - {"params"}
            if unknown or "params" not in group:
                raise DataError(f"group: received {sorted(group)}; expected params and any of {sorted(defaults)}.")
            params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
            self.param_groups.append(defaults | group | {"params": params})
        tensors = [tensor for group in self.param_groups for tensor in group["params"]]
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise DataError(f"parameters: received {type(tensor).__name__}; expected Tensors, as `parameters()`.")
        if not tensors or len({id(tensor) for tensor in tensors}) < len(tensors):
            raise DataError(f"parameters: received {len(tensors)}, or one twice; expected at least one, each once.")
        for group in self.param_groups:
            _expect_settings(group)
        self.state: list[Slots] = [{} for _ in tensors]
        self._scratch: dict[np.dtype[Any], Array] = {}

    def zero_grad(self) -> None:
        """Forgets every gradient."""
        for _, _, tensor in self._numbered():
            tensor.grad = None

    def step(self) -> None:
        """Moves every parameter that has a gradient."""
        for number, group, tensor in self._numbered():
            if tensor.grad is None:
                continue
            _expect_movable(number, tensor, tensor.grad)
            slots = self.state[number]
            if not slots.keys() >= set(self.slots(group)) or not slots:
                # Also on the way: a changed setting may ask for one more, as momentum does where there was none.
                slots = self.state[number] = self._fresh(group, tensor) | slots
            slots["step"] += 1
            held = [slots[name] for name in self.slots(group)]
            self._move(tensor, tensor.grad, held, self.rule(group, int(slots["step"])))

    def _move(self, tensor: Tensor, gradient: Array, held: list[Array], rule: Callable[..., None]) -> None:
        if tensor.dtype not in self._scratch:
            self._scratch[tensor.dtype] = np.empty((2, BLOCK), tensor.dtype)
        a, b = self._scratch[tensor.dtype]
        flat = [_flat(array) for array in (tensor.data, gradient, *held)]
        for start in range(0, tensor.data.size, BLOCK):
            blocks = [array[start : start + BLOCK] for array in flat]
            size = len(blocks[0])
            rule(*blocks[:2], a[:size], b[:size], *blocks[2:])
        if not tensor.data.flags.c_contiguous:  # `flat` was a copy then
            tensor.data[...] = flat[0].reshape(tensor.shape)

    @abstractmethod
    def slots(self, group: Group) -> tuple[str, ...]:
        """Names of what is remembered of each parameter of this group, in its shape."""

    @abstractmethod
    def rule(self, group: Group, step: int) -> Callable[..., None]:
        """What moves a block, given it, its gradient (not to be written to), two scratch blocks, and its slots.

        `step` counts from 1.
        """

    def state_dict(self) -> dict[str, Array]:
        """What is remembered, as arrays named "number of the parameter/name"; settings are not among them."""
        return {f"{number}/{name}": array for number, slots in enumerate(self.state) for name, array in slots.items()}

    def load_state_dict(self, arrays: Mapping[str, Array]) -> None:
        """Goes on from where `state_dict` was taken, to the last bit.

        Raises CheckpointError, naming the array, where one does not belong to these parameters; nothing changes then.
        """
        fresh = [self._fresh(group, tensor) for _, group, tensor in self._numbered()]
        wanted = {f"{number}/{name}": array for number, slots in enumerate(fresh) for name, array in slots.items()}
        found: list[Slots] = [{} for _ in fresh]
        for name, array in arrays.items():
            like = wanted.get(name)
            if not isinstance(array, np.ndarray):
                raise CheckpointError(
                    f"optimizer state: received {name} {type(array).__name__}; expected arrays, as state_dict() gives."
                )
            if like is None or like.shape != array.shape or like.dtype != array.dtype:
                expected = "no such array" if like is None else f"{like.shape} of {like.dtype}"
                received = f"{name} {array.shape} of {array.dtype}"
                raise CheckpointError(f"optimizer state: received {received}; expected {expected}.")
            place, _, slot = name.partition("/")
            found[int(place)][slot] = np.array(array, order="C")
        for number, slots in enumerate(found):
            if slots and slots.keys() != fresh[number].keys():
                missing = sorted(f"{number}/{name}" for name in fresh[number].keys() - slots.keys())
                raise CheckpointError(f"optimizer state: received nothing for {', '.join(missing)}; expected all.")
        self.state = found

    def _fresh(self, group: Group, tensor: Tensor) -> Slots:
        slots: Slots = {"step": np.zeros((), np.int64)}
        return slots | {name: np.zeros(tensor.shape, tensor.dtype) for name in self.slots(group)}

    def _numbered(self) -> Iterator[tuple[int, Group, Tensor]]:
        number = 0
        for group in self.param_groups:
            for tensor in group["params"]:
                yield number, group, tensor
                number += 1


def _flat(array: Array) -> Array:
    return np.ascontiguousarray(array).reshape(-1)


def _expect_movable(number: int, tensor: Tensor, gradient: Array) -> None:
    if gradient.shape != tensor.shape or gradient.dtype != tensor.dtype:
        received, wanted = (f"{one.shape} of {one.dtype}" for one in (gradient, tensor))
        raise DataError(f"grad: received {received} for parameter {number}; expected {wanted}.")
    if not tensor.data.flags.writeable:
        raise DataError(f"parameter {number}: received a read-only array {tensor.shape}; expected a copy of it.")


def _expect_settings(group: Group) -> None:
    for name, value in group.items():
        numbers = tuple(value) if name == "betas" and isinstance(value, tuple | list) else (value,)
        if name != "params" and not all(isinstance(number, _NUMBERS) for number in numbers):
            raise DataError(f"{name}: received {value!r:.60}; expected a number, not an array.")
        if name == "betas" and len(numbers) != 2:
            raise DataError(f"betas: received {value}; expected two.")
        if name in ("lr", "eps", "weight_decay") and not value >= 0:
            raise DataError(f"{name}: received {value}; expected 0 or more.")
        if name in ("betas", "momentum") and not all(0 <= number < 1 for number in numbers):
            raise DataError(f"{name}: received {value}; expected 0 or more and below 1.")
