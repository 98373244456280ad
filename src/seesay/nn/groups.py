"""Rows that share something, laid side by side: a picture's beams, a picture's captions, a caption's words.

Attention is one batched matrix product over groups, each with its own keys. Its queries come as plain rows, since every
other layer costs least on rows without padding; `Groups` lays them out and picks them up again.
N rows, G groups, W the most rows that a group has.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Layout(Protocol):
    """Rows that can be laid side by side, those of a group in their order."""

    index: Tensor  # (N,) the group of each row
    width: int

    def lay(self, rows: Tensor, /) -> Tensor:
        """Rows (N, ...) by group: (G, W, ...)."""

    def pick(self, laid: Tensor, /) -> Tensor:
        """What `lay` undoes."""


class Groups:
    """Row n of N belongs to group `index[n]` of `count`, where it has the place `slot[n]` of `width`.

    >>> groups = Groups(torch.tensor([0, 2, 0]), 3)
    >>> groups.width, groups.slot.tolist()
    (2, [0, 0, 1])
    >>> groups.lay(torch.tensor([[5.0], [6.0], [7.0]])).flatten(1).tolist()
    [[5.0, 7.0], [0.0, 0.0], [6.0, 0.0]]
    """

    def __init__(self, index: Tensor, count: int) -> None:
        self.index, self.count = index, count
        self.sizes = torch.bincount(index, minlength=count)  # rows of each group (G,)
        self.width = int(self.sizes.max()) if len(index) else 0
        order = index.argsort(stable=True)
        number = torch.arange(len(index), device=index.device)
        first = self.sizes.cumsum(0) - self.sizes
        self.slot = torch.empty_like(index)
        self.slot[order] = number - first[index[order]]
        self._place = index * self.width + self.slot
        # Where every group is full and the rows come in order, laying out is but another view of the same memory.
        self._full = len(index) == count * self.width and torch.equal(self._place, number)

    def __len__(self) -> int:
        return len(self.index)

    def lay(self, rows: Tensor) -> Tensor:
        """Rows (N, ...) by group: (G, W, ...), zeros where a group has fewer."""
        if self._full:
            return rows.view(self.count, self.width, *rows.shape[1:])
        laid = rows.new_zeros(self.count * self.width, *rows.shape[1:]).index_copy(0, self._place, rows)
        return laid.view(self.count, self.width, *rows.shape[1:])

    def pick(self, laid: Tensor) -> Tensor:
        """What `lay` undoes: the rows (N, ...) out of (G, W, ...)."""
        flat = laid.flatten(0, 1)
        return flat if self._full else flat.index_select(0, self._place)

    def select(self, rows: Tensor) -> Groups:
        """The groups of the given rows, in that order; `count` stays, though some may be empty now."""
        return Groups(self.index.index_select(0, rows), self.count)

    def used(self) -> Tensor | None:
        """The groups worth keeping, where most are empty; None where most are not.

        Dropping the empty ones copies the keys of the rest; done at every halving, all the copies together cost no more
        than one of the whole.
        """
        kept = self.sizes.nonzero().flatten()
        return kept if 2 * len(kept) <= self.count else None

    def keep(self, groups: Tensor) -> Groups:
        """The same rows when only these groups, all the used ones, are left and counted anew."""
        renamed = torch.zeros(self.count, dtype=torch.long, device=groups.device)
        renamed[groups] = torch.arange(len(groups), device=groups.device)
        return Groups(renamed[self.index], len(groups))
