"""Learning-rate schedules: plain functions from the number of the step, counted from 1, to the rate."""

from __future__ import annotations

import math
from collections.abc import Callable

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
