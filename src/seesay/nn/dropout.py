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


class RegionDropout(nn.Module):
    """In training, hides a share of a picture's regions, but never the last one it has.

    >>> hide = RegionDropout(0.9)
    >>> hide(torch.ones(2, 5, dtype=torch.bool)).any(1).tolist(), hide.eval()(torch.tensor([[True, False]])).tolist()
    ([True, True], [[True, False]])
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, mask: Tensor) -> Tensor:
        """The mask (B, R) of the regions that are left; a picture that would have none keeps all."""
        if not (self.training and self.share):
            return mask
        kept = mask & (torch.rand(mask.shape, device=mask.device) >= self.share)
        return torch.where(kept.any(1, keepdim=True), kept, mask)


class WordDropout(nn.Module):
    """In training, makes a share of the words already said the unknown one; the one that begins stays (Iyyer et al.
    2015).

    >>> WordDropout(0.5, unknown=0, begin=2).eval()(torch.tensor([[2, 7, 8]])).tolist()
    [[2, 7, 8]]
    """

    def __init__(self, share: float, *, unknown: int, begin: int) -> None:
        super().__init__()
        self.share, self.unknown, self.begin = share, unknown, begin

    def forward(self, tokens: Tensor) -> Tensor:
        """The ids (N, T) of the words as they are heard."""
        if not (self.training and self.share):
            return tokens
        lost = torch.rand(tokens.shape, device=tokens.device) < self.share
        return tokens.where(~lost | (tokens == self.begin), self.unknown)
