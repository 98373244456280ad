"""Decoding state as a value: a NamedTuple of tensors, batch first, passed in and handed back.

A part may also be a value of its own kind with `len` and `select(rows)`, for whatever need not be copied row by row.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor


class Rows(Protocol):
    """A part of a state that is no tensor: rows that can be counted and selected."""

    def __len__(self) -> int:
        """How many rows there are."""

    def select(self, rows: Tensor) -> Rows:
        """The given rows, in that order; they may repeat or vanish. The part itself stays as it is."""


State = TypeVar("State", bound=tuple[Any, ...])  # of Tensor | Rows


def select(state: State, rows: Tensor) -> State:
    """The decoding state of the given batch rows, in that order.

    Rows may repeat (beams) or vanish (finished sentences); `rows` is (N,) int64.
    Works on every NamedTuple of batch-first tensors and of parts that select their own rows.

    >>> import torch
    >>> from typing import NamedTuple
    >>> class Memory(NamedTuple):
    ...     hidden: torch.Tensor
    >>> select(Memory(torch.tensor([[1.0], [2.0]])), torch.tensor([1, 1, 0])).hidden.flatten().tolist()
    [2.0, 2.0, 1.0]
    """
    return type(state)(*(p.index_select(0, rows) if isinstance(p, Tensor) else p.select(rows) for p in state))
