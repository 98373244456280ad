"""Sequences of different lengths: which of them share a batch, and how they are laid out there.

N sequences whose steps lie one after another, B of them in a batch of T steps, P steps without the filling.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from seesay.data.batches import batches

_WINDOW = 16  # batches among which sequences of like length are put together

Batch = TypeVar("Batch")
Kind = TypeVar("Kind", bound=np.generic)


class Ragged(ABC, Generic[Batch]):
    """Sequences ready to be cut into batches: what has `lengths` and makes a `batch` of some is cut here."""

    lengths: NDArray[np.int64]  # (N,)

    @abstractmethod
    def batch(self, chosen: NDArray[np.intp]) -> Batch:
        """The sequences of these numbers (B,)."""

    def __len__(self) -> int:
        return len(self.lengths)

    def in_order(self, size: int) -> Iterator[Batch]:
        """Every sequence once, in the order given; for evaluation."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))

    def shuffled(self, size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from the `start`-th on; they depend on `seed` and `epoch` alone.

        Sequences of like length share a batch, as a recurrent network takes as many steps as the longest has.
        """
        for chosen in shuffled_rows(self.lengths, size, seed=seed, epoch=epoch)[start:]:
            yield self.batch(chosen)


def shuffled_rows(lengths: NDArray[np.int64], size: int, *, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Which sequences of these lengths (N,) share the batches of one epoch, batch by batch.

    Those of like length do, as a recurrent network takes as many steps as the longest has; batches come in any order.

    >>> [rows.tolist() for rows in shuffled_rows(np.array([9, 1, 9, 1]), 2, seed=1, epoch=0)]
    [[1, 3], [0, 2]]
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    window = size * _WINDOW
    for low in range(0, len(order), window):
        part = order[low : low + window]
        order[low : low + window] = part[np.argsort(lengths[part], kind="stable")]
    places = random.permutation(batches(len(lengths), size))
    return [order[place * size : (place + 1) * size] for place in places.tolist()]


def rows_of(
    lengths: NDArray[np.int64], chosen: NDArray[np.intp], least: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where the steps of the chosen ones (B,) of sequences that lie one after another stand, and how they are laid out.

    The first (P,) are the rows of their steps among those of all sequences of these lengths (N,); the second (B, T)
    says where these go in a batch that is filled up to the longest, or to `least` steps.

    >>> rows, real = rows_of(np.array([1, 3, 2]), np.array([2, 0]))
    >>> rows.tolist(), real.tolist()
    ([4, 5, 0], [[True, True], [True, False]])
    """
    starts, own = np.cumsum(lengths) - lengths, lengths[chosen]
    steps = np.arange(max(least, own.max()))
    real = steps < own[:, None]
    return (starts[chosen, None] + steps)[real], real


def filled(values: NDArray[Kind], real: NDArray[np.bool_], other: float) -> NDArray[Kind]:
    """The values (P, ...) of all steps laid out as `real` (B, T) says, (B, T, ...), and `other` elsewhere.

    >>> filled(np.array([7, 8, 9]), np.array([[True, True], [True, False]]), -1).tolist()
    [[7, 8], [9, -1]]
    """
    found = np.full((*real.shape, *values.shape[1:]), other, dtype=values.dtype)
    found[real] = values
    return found


def digest_of(ids: NDArray[Any], *others: NDArray[Any]) -> str:
    """SHA-256 over the shape of `ids` and the whole numbers of all arrays, as hexadecimal.

    >>> digest_of(np.zeros((2, 1), int)) == digest_of(np.zeros((1, 2), int))
    False
    """
    digest = hashlib.sha256(str(ids.shape).encode())
    for array in (ids, *others):
        digest.update(array.astype("<i8").tobytes())
    return digest.hexdigest()
