"""Learning-rate schedules: plain functions from the number of the step, counted from 1, to the rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from seesay.errors import UnknownName

Schedule = Callable[[int], float]
DECAYS = ("constant", "cosine", "linear")


def warm_up_and_decay(peak: float, *, warmup: int, total: int, decay: str = "cosine", floor: float = 0.0) -> Schedule:
    """Rise in a straight line to `peak` over `warmup` steps, then fall to `floor * peak` at step `total`.

    `decay` is "constant" (no fall), "cosine" (half a period, Loshchilov and Hutter 2017) or "linear".

    >>> schedule = warm_up_and_decay(1.0, warmup=2, total=12, decay="linear")
    >>> [schedule(step) for step in (1, 2, 7, 12)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if decay not in DECAYS:
        raise UnknownName("decay", decay, DECAYS)

    def rate(step: int) -> float:
        if step < warmup:
            return peak * step / warmup
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        left = {"constant": 1.0, "cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done}[decay]
        return peak * (floor + (1 - floor) * left)

    return rate


def noam(peak: float, *, warmup: int) -> Schedule:
    """Rise in a straight line to `peak` over `warmup` steps, then fall as one over the step's root.

    Vaswani et al. 2017, eq. 3, has peak = (size * warmup) ** -0.5.

    >>> [noam(1.0, warmup=4)(step) for step in (1, 4, 16)]
    [0.25, 1.0, 0.5]
    """
    top = max(1, warmup)
    return lambda step: peak * min(step / top, math.sqrt(top / step))


def stepwise(rate: float, factors: Sequence[tuple[int, float]], *, epoch_steps: int, warmup: int = 0) -> Schedule:
    """`rate` times the factor of the epoch: each of `factors` holds from its epoch on, counted from 1.

    An epoch has `epoch_steps` steps; before the first of the factors' epochs the rate is whole, but for `warmup` steps.

    >>> schedule = stepwise(1.0, [(1, 0.25), (2, 1.0), (4, 0.2)], epoch_steps=10)
    >>> [schedule(step) for step in (1, 10, 11, 30, 31, 99)]
    [0.25, 0.25, 1.0, 1.0, 0.2, 0.2]
    """

    def at(step: int) -> float:
        epoch = (step - 1) // epoch_steps + 1
        factor = next((factor for start, factor in reversed(factors) if start <= epoch), 1.0)
        return rate * factor * min(1.0, step / max(1, warmup))

    return at


def averaging_weight(decay: float, step: int) -> float:
    """How far a moving average of the weights moves towards them at `step`, from 1.

    The first steps count more: 1 - min(decay, (1 + step) / (10 + step)), so that the random start is soon forgotten.

    >>> averaging_weight(0.9, 8), round(averaging_weight(0.9, 1000), 6)
    (0.5, 0.1)
    """
    return 1 - min(decay, (1 + step) / (10 + step))
