"""Decoding state as a value: a NamedTuple of tensors, batch first, passed in and handed back."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor

State = TypeVar("State", bound=tuple[Tensor, ...])


def select(state: State, rows: Tensor) -> State:
    """The decoding state of the given batch rows, in that order.

    Rows may repeat (beams) or vanish (finished sentences); `rows` is (N,) int64.
    Works on every NamedTuple of batch-first tensors.

    >>> import torch
    >>> from typing import NamedTuple
    >>> class Memory(NamedTuple):
    ...     hidden: torch.Tensor
    >>> select(Memory(torch.tensor([[1.0], [2.0]])), torch.tensor([1, 1, 0])).hidden.flatten().tolist()
    [2.0, 2.0, 1.0]
    """
    return type(state)(*(part.index_select(0, rows) for part in state))
