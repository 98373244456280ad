"""Sequences of different lengths in one tensor: masks, turning them round, and their rows without padding.

B sequences of up to T steps, time first, or batch first where asked. Lengths (B,) are whole numbers from 0 to T in any
order, as a list, an array or a tensor; what comes back is always in the caller's order. They are wanted on the CPU:
from another device they are fetched, which waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seesay.errors import DataError
from seesay.scratch.arrays import expect_lengths

Lengths: TypeAlias = Sequence[int] | NDArray[Any] | Tensor


def counts_of(lengths: Lengths, steps: int, batch: int | None = None) -> Tensor:
    """Lengths (B,) as int64 on the CPU; raises DataError for any that are not whole numbers from 0 to `steps`.

    >>> counts_of([2, 0], steps=3)
    tensor([2, 0])
    """
    given = lengths.detach().cpu().numpy() if isinstance(lengths, Tensor) else lengths
    if not np.ndim(given):  # neither has a number of sequences
        raise DataError(f"lengths: expected (batch,) of whole numbers, received {str(lengths)[:40]}.")
    checked = expect_lengths(given, steps, len(given) if batch is None else batch)
    return torch.from_numpy(checked.astype(np.int64))


def mask_of(lengths: Lengths, steps: int, device: torch.device | str | None = None) -> Tensor:
    """True where a sequence has a step and False beyond its end: (B, T) bool.

    Raises DataError for lengths that are not whole numbers from 0 to `steps`. The mask lies where the lengths do,
    unless a device is given.

    >>> mask_of([2, 0, 3], steps=3).int().tolist()
    [[1, 1, 0], [0, 0, 0], [1, 1, 1]]
    """
    mask = torch.arange(steps) < counts_of(lengths, steps)[:, None]
    return mask.to(lengths.device if device is None and isinstance(lengths, Tensor) else device)


def reverse_padded(x: Tensor, lengths: Lengths | None = None, batch_first: bool = False) -> Tensor:
    """Each sequence of x (T, B, ...) from its own end to its start; what lies beyond the end stays where it is.

    Done twice it is x again. None for lengths means that all are T long. Gradients reach x, and repeat to the bit,
    since no two rows ever meet. Raises DataError for lengths that do not fit x.

    >>> reverse_padded(torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0]]), [3, 1], batch_first=True).tolist()
    [[3, 2, 1, 0], [4, 0, 0, 0]]
    """
    if lengths is None:
        return x.flip(1 if batch_first else 0)
    steps, batch = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    counts, time = counts_of(lengths, steps, batch), torch.arange(steps)[:, None]
    source = torch.where(time < counts, counts - 1 - time, time)
    places = _places(source, torch.arange(batch), steps, batch, batch_first)
    return x.flatten(0, 1).index_select(0, (places.T if batch_first else places).flatten().to(x.device)).view(x.shape)


def _places(time: Tensor, sequence: Tensor, steps: int, batch: int, batch_first: bool) -> Tensor:
    """Where a step of a sequence lies when the first two axes are one."""
    return sequence * steps + time if batch_first else time * batch + sequence


class Packing:
    """The rows of B sequences without padding: those of step 0 first, the longest sequence first within a step.

    This is the order in which torch's own recurrent kernels take them, `batch_sizes` being the rows of each step. A
    sequence of length 0 has no row and comes last.

    >>> packing = Packing([1, 0, 2], steps=2)
    >>> x = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])  # (T, B, F)
    >>> rows = packing.pack(x)
    >>> rows.flatten().tolist(), packing.batch_sizes.tolist()
    ([3.0, 1.0, 6.0], [2, 1])
    >>> packing.unpack(rows).squeeze(2).tolist()
    [[1.0, 0.0, 3.0], [0.0, 0.0, 6.0]]
    >>> packing.sort(torch.tensor([[7.0], [8.0], [9.0]])).flatten().tolist()
    [9.0, 7.0, 8.0]
    """

    def __init__(
        self, lengths: Lengths, steps: int, batch_first: bool = False, device: torch.device | str | None = None
    ) -> None:
        counts = counts_of(lengths, steps)
        self.steps, self.batch, self.batch_first = steps, len(counts), batch_first
        order = counts.argsort(descending=True, stable=True)
        time = torch.arange(steps)[:, None]
        at_work = time < counts[order]
        sizes = at_work.sum(1)
        self.batch_sizes = sizes[sizes > 0]  # int64 on the CPU, as torch's kernels want them
        place = order.new_empty(self.batch)
        place[order] = torch.arange(self.batch)
        rows = _places(time, order, steps, self.batch, batch_first)[at_work]
        where = lengths.device if device is None and isinstance(lengths, Tensor) else device
        self._order, self._place, self._rows = (indices.to(where) for indices in (order, place, rows))

    def pack(self, x: Tensor) -> Tensor:
        """Rows (N, ...) of x (T, B, ...)."""
        return x.flatten(0, 1).index_select(0, self._rows)

    def unpack(self, rows: Tensor) -> Tensor:
        """Rows (N, ...) back in their places (T, B, ...), zeros beyond each sequence's end."""
        lead = (self.batch, self.steps) if self.batch_first else (self.steps, self.batch)
        whole = rows.new_zeros(self.steps * self.batch, *rows.shape[1:])
        return whole.index_copy(0, self._rows, rows).view(*lead, *rows.shape[1:])

    def sort(self, state: Tensor) -> Tensor:
        """A state (..., B, H) with the longest sequence first."""
        return state.index_select(-2, self._order)

    def restore(self, state: Tensor) -> Tensor:
        """A sorted state (..., B, H) in the caller's order."""
        return state.index_select(-2, self._place)
