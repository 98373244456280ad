"""Selecting rows of a decoding state."""

from __future__ import annotations

from typing import NamedTuple

import torch

from seesay.nn.state import select


class Memory(NamedTuple):
    hidden: torch.Tensor
    mask: torch.Tensor


def memory() -> Memory:
    return Memory(torch.arange(6.0).view(3, 2), torch.tensor([True, False, True]))


def test_rows_repeat_vanish_and_change_places() -> None:
    chosen = select(memory(), torch.tensor([2, 0, 2]))
    assert type(chosen) is Memory
    assert chosen.hidden.tolist() == [[4, 5], [0, 1], [4, 5]]
    assert chosen.mask.tolist() == [True, True, True]


def test_no_row_is_a_state_too() -> None:
    chosen = select(memory(), torch.tensor([], dtype=torch.long))
    assert chosen.hidden.shape == (0, 2) and chosen.mask.shape == (0,)


def test_a_selection_is_a_copy() -> None:
    state = memory()
    select(state, torch.tensor([0]))[0].zero_()
    assert state.hidden.tolist() == [[0, 1], [2, 3], [4, 5]]


class Shared:
    """A part that is no tensor."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: torch.Tensor) -> Shared:
        return Shared([self.rows[row] for row in rows])


class Mixed(NamedTuple):
    hidden: torch.Tensor
    shared: Shared


def test_a_part_of_another_kind_selects_its_own_rows() -> None:
    chosen = select(Mixed(torch.arange(3), Shared([7, 8, 9])), torch.tensor([2, 2, 0]))
    assert chosen.hidden.tolist() == [2, 2, 0] and chosen.shared.rows == [9, 9, 7]
