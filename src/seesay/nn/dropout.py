"""Dropout that draws its chances quickly on processors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

CHANCES = 1 << 16


class Dropout(nn.Module):
    """In training, zeros for a share `p` of the numbers, the rest scaled so that the mean stays (Srivastava et al.
    2014).

    On a processor it draws as `keep_factors` does, on other devices it is torch's own.

    >>> dropout = Dropout(0.5)
    >>> sorted(set(dropout(torch.ones(100)).tolist())), dropout.eval()(torch.ones(2)).tolist()
    ([0.0, 2.0], [1.0, 1.0])
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """x, or what dropout leaves of it."""
        if not self.training or not _dropped(self.p):
            return x
        return nn.functional.dropout(x, self.p) if x.device.type != "cpu" else x * keep_factors(x.shape, self.p, x)

    def extra_repr(self) -> str:
        """As torch's own shows itself."""
        return f"p={self.p}"


def keep_factors(shape: tuple[int, ...], p: float, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """What dropout multiplies by: 0 for a share p, else 1/(1 - p), in the dtype and on the device of `like`.

    torch draws a number of 32 bits or more for each of them on a processor, a tenth of a training step; here one draw
    of 64 bits decides on four, to a share of 1 in 65,536.

    >>> keep_factors((2, 3), 1.0, torch.ones(1)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    if p == 1:
        return like.new_zeros(shape)
    if like.device.type != "cpu":
        kept = torch.rand(shape, device=like.device, generator=generator) >= p
        return kept.to(like.dtype).mul_(1 / (1 - p))
    count, dropped = math.prod(shape), _dropped(p)
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    chances, kept = drawn.view(torch.int16)[:count].view(shape), like.new_empty(shape)
    return torch.ge(chances, dropped - CHANCES // 2, out=kept).mul_(_scale(p))  # at once as numbers: half the time


def _dropped(p: float) -> int:
    """How many of all chances are dropped, never all of them."""
    return min(round(p * CHANCES), CHANCES - 1)


def _scale(p: float) -> float:
    """What is kept on a processor is multiplied by this."""
    return CHANCES / (CHANCES - _dropped(p))


def rectified(x: Tensor, dropout: Dropout) -> Tensor:
    """`dropout(relu(x))`; in training on a processor it overwrites x, and the way back reads less.

    >>> rectified(torch.tensor([-1.0, 0.0, 2.0]), Dropout(0.0)).tolist()
    [0.0, 0.0, 2.0]
    """
    if not dropout.training or not _dropped(dropout.p) or x.device.type != "cpu" or dropout.p == 1:
        return dropout(torch.relu(x))
    kept: Tensor = _Rectified.apply(x, keep_factors(x.shape, dropout.p, x), _scale(dropout.p))
    return kept


class _Rectified(torch.autograd.Function):
    """Where the result is above zero, the number was above zero and kept: the result says all that a gradient needs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Tensor, scale: float) -> Tensor:
        """max(x, 0) times its factors, in place of x."""
        ctx.mark_dirty(x)
        x.clamp_min_(0).mul_(factors)
        ctx.save_for_backward(x)
        ctx.scale = factors.new_tensor(scale).item()  # as rounded as the factors are
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient of x."""
        (y,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradients[0], y, 0).mul_(ctx.scale), None, None


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
