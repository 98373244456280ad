"""An exponential moving average of the weights, which usually describes better than the last weights do."""

from __future__ import annotations

import torch
from torch import nn

from seesay.training.schedules import averaging_weight


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move every weight of `average` a little towards `model`'s.

    How far is what `averaging_weight` says.

    >>> model, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    >>> _ = model.weight.data.fill_(1.0), average.weight.data.fill_(0.0)
    >>> follow(average, model, decay=0.9, step=10**6)
    >>> round(average.weight.item(), 6)
    0.1
    """
    weight = averaging_weight(decay, step)
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
