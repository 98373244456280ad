"""Laying rows side by side by group, and picking them up again."""

from __future__ import annotations

import pytest
import torch

from seesay.nn.groups import Groups


@pytest.mark.parametrize(
    ("index", "count"),
    [
        ([0, 0, 1, 1, 2, 2], 3),
        ([0, 1, 2], 3),
        ([2, 0, 2, 2], 4),
        ([1], 1),
        ([3, 3], 4),
        ([1, 0, 1, 0], 2),
        ([], 2),
        ([], 0),
    ],
)
def test_rows_are_found_where_they_were_laid(index: list[int], count: int) -> None:
    if index and max(index) >= count:
        count = max(index) + 1
    groups = Groups(torch.tensor(index, dtype=torch.long), count)
    rows = torch.arange(1.0, 1 + 2 * len(index)).view(len(index), 2)
    laid = groups.lay(rows)
    assert len(groups) == len(index) and laid.shape == (count, groups.width, 2)
    assert groups.width == max((index.count(group) for group in index), default=0)
    assert torch.equal(groups.pick(laid), rows)
    for group in range(count):
        own = [row.tolist() for row, where in zip(rows, index, strict=True) if where == group]
        assert laid[group].tolist() == own + [[0.0, 0.0]] * (groups.width - len(own))  # in their order, zeros after


def test_gradients_pass_both_ways() -> None:
    groups = Groups(torch.tensor([1, 0, 1]), 2)
    rows = torch.randn(3, 2, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: groups.lay(x) ** 2, rows)
    assert torch.autograd.gradcheck(lambda x: groups.pick(groups.lay(x) * 3), rows)


def test_rows_are_selected_with_their_groups() -> None:
    chosen = Groups(torch.tensor([0, 1, 2]), 3).select(torch.tensor([2, 2, 0]))
    assert chosen.index.tolist() == [2, 2, 0] and chosen.slot.tolist() == [0, 1, 0] and chosen.count == 3


def test_empty_groups_are_dropped_once_they_are_half() -> None:
    assert Groups(torch.tensor([0, 1, 2]), 4).used() is None
    groups = Groups(torch.tensor([3, 1, 3]), 4)
    kept = groups.used()
    assert kept is not None and kept.tolist() == [1, 3]
    left = groups.keep(kept)
    assert left.index.tolist() == [1, 0, 1] and left.count == 2 and left.slot.tolist() == [0, 0, 1]
