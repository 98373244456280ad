"""What one update of the weights did, whichever engine did it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from seesay.errors import TrainingDiverged

NOTHING: Mapping[str, float] = MappingProxyType({})


class Step(NamedTuple):
    """What one update did; `loss` is the mean over its `tokens`, the norm is the gradient's before clipping.

    `sums` are whatever else the objective tells, summed over the captions that it counts as "captions".
    """

    number: int
    loss: float
    tokens: int
    learning_rate: float
    gradient_norm: float
    sums: Mapping[str, float] = NOTHING

    @property
    def means(self) -> dict[str, float]:
        """What else the objective tells, per caption."""
        return means_of(self.sums)


def means_of(sums: Mapping[str, float]) -> dict[str, float]:
    """Sums over captions as means, without the number of captions; empty where nothing was told.

    >>> means_of({"captions": 4, "reward": 6.0}), means_of({})
    ({'reward': 1.5}, {})
    """
    count = sums.get("captions", 0)
    return {name: value / count for name, value in sums.items() if name != "captions"} if count else {}


def seed_of(seed: int, number: int) -> int:
    """The seed of one step: the same for the same pair, unlike for neighbours.

    >>> seed_of(1, 2) == seed_of(1, 2), seed_of(1, 2) == seed_of(1, 3)
    (True, False)
    """
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)


def check_finite(step: Step, ids: Sequence[str]) -> None:
    """Raises TrainingDiverged, before anything is updated, where loss or gradient is not finite; `ids` is its batch."""
    if math.isfinite(step.loss) and math.isfinite(step.gradient_norm):
        return
    raise TrainingDiverged(
        f"step {step.number}: loss is {step.loss:g}, gradient norm {step.gradient_norm:g}, "
        f"learning rate {step.learning_rate:g}; batch ids {', '.join(ids[:8])}. The weights were left as they were. "
        "Train anew with a lower learning rate, or look at what these were learned from."
    )
