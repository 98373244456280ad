"""Dropout that draws its chances quickly on processors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANCES = 1 << 16


class Dropout(nn.Module):
    """In training, zeros for a share `p` of the numbers, the rest scaled so that the mean stays (Srivastava et al.
    2014).

    torch draws a number of 32 bits or more for each of them on a processor, a tenth of a training step; here one draw
    of 64 bits decides on four, to a share of 1 in 65,536. On other devices it is torch's own.

    >>> dropout = Dropout(0.5)
    >>> sorted(set(dropout(torch.ones(100)).tolist())), dropout.eval()(torch.ones(2)).tolist()
    ([0.0, 2.0], [1.0, 1.0])
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.dropped = min(round(p * CHANCES), CHANCES - 1)

    def forward(self, x: Tensor) -> Tensor:
        """x, or what dropout leaves of it."""
        if not self.training or not self.dropped:
            return x
        if x.device.type != "cpu":
            return nn.functional.dropout(x, self.p)
        count = x.numel()
        drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)
        kept = (drawn[:count] >= self.dropped - CHANCES // 2).view(x.shape)
        return x * kept.to(x.dtype).mul_(CHANCES / (CHANCES - self.dropped))

    def extra_repr(self) -> str:
        """As torch's own shows itself."""
        return f"p={self.p}"
