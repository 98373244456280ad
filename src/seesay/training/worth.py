"""What a caption is worth: its reward, and what that is held against. Nothing here needs torch.

N captions, T words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
# Sentences as ids (N, T), each up to its first <eos>, and the id of each one's picture -> what each is worth (N,).
Reward = Callable[[Integers, Sequence[str]], Floats]


@dataclass(frozen=True)
class Judge:
    """What captions are rewarded for; `open_ends` are the ids of words that no whole sentence ends with."""

    reward: Reward
    open_ends: frozenset[int] = frozenset()


def baseline(rewards: Floats, rows: Integers, kind: str) -> Floats:
    """What each of the rewards (N,) is held against: the "mean" of its picture's, or "leave_one_out", of the others.

    `rows` (N,) says which picture; a picture's only caption is held against itself, and teaches nothing.

    >>> rewards, rows = np.array([1.0, 2.0, 6.0, 5.0]), np.array([0, 0, 0, 1])
    >>> baseline(rewards, rows, "mean").tolist(), baseline(rewards, rows, "leave_one_out").tolist()
    ([3.0, 3.0, 3.0, 5.0], [4.0, 3.5, 1.5, 5.0])
    """
    count = np.bincount(rows)[rows]
    total = np.bincount(rows, rewards)[rows]
    if kind == "mean":
        return np.asarray(total / count)
    return np.where(count > 1, (total - rewards) / np.maximum(1, count - 1), rewards)


def advantages(rewards: Floats, usual: Floats, normalise: bool = False) -> Floats:
    """How much better than its baseline each caption is; normalised, their root mean square is 1.

    >>> advantages(np.array([1.0, 7.0]), np.array([4.0, 4.0]), normalise=True).tolist()
    [-1.0, 1.0]
    """
    better = rewards - usual
    size = float(np.sqrt((better**2).mean())) if normalise and len(better) else 1.0
    return np.asarray(better / size) if size else better
