"""How unlikely a model finds words, in a few passes over its logits.

P words, V vocabulary size. Logits over a large vocabulary are the largest array of a training step: torch's own loss
writes a second one of that size on the way forth and two on the way back, this one a single one on the way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NEAR = 1 << 18  # so many numbers stay in a processor's cache from one pass over them to the next


def word_losses(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (P,) of each word from `logits` (P, V) and `targets` (P,), with label smoothing.

    Szegedy et al. 2016 (label smoothing); in float32 at least. A logit may be -inf where no target is, without label
    smoothing: the word is then impossible. On other devices than processors it is torch's own.

    >>> word_losses(torch.zeros(2, 4), torch.tensor([3, 0])).tolist()
    [1.3862943649291992, 1.3862943649291992]
    """
    if logits.device.type != "cpu":
        wide = logits.to(_wide(logits))
        return functional.cross_entropy(wide, targets, reduction="none", label_smoothing=label_smoothing)
    losses: Tensor = _WordLosses.apply(logits, targets, label_smoothing)
    return losses


class _WordLosses(torch.autograd.Function):
    """Of the way forth only two numbers a word are kept: its gradient is exp(logit - greatest - log of the sum of all
    exp(logit - greatest)), less 1 at the target.

    Rows come in blocks that stay in the cache, so that memory is read once each way and written once.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """How far the targets are from the greatest, and the logarithms of the sums."""
        kind = _wide(logits)
        greatest, sums, losses = (logits.new_empty(len(logits), 1, dtype=kind) for _ in range(3))
        for rows in _blocks(logits):
            block = logits[rows].to(kind)
            torch.amax(block, 1, keepdim=True, out=greatest[rows])
            block = block - greatest[rows]
            losses[rows] = block.gather(1, targets[rows].unsqueeze(1)) * (smoothing - 1)
            if smoothing:
                losses[rows].sub_(block.mean(1, keepdim=True), alpha=smoothing)
            torch.sum(block.exp_(), 1, keepdim=True, out=sums[rows])
        ctx.save_for_backward(logits, targets, greatest, sums.log_())
        ctx.smoothing = smoothing
        return losses.add_(sums).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient (P, V) of the logits."""
        logits, targets, greatest, sums = ctx.saved_tensors
        found, given = torch.empty_like(logits), gradients[0].unsqueeze(1)
        for rows in _blocks(logits):
            narrow = found[rows]
            block = narrow if narrow.dtype == sums.dtype else narrow.to(sums.dtype)
            torch.sub(logits[rows], greatest[rows], out=block).sub_(sums[rows]).exp_()
            if ctx.smoothing:
                block.sub_(ctx.smoothing / logits.shape[1])
            block.scatter_add_(1, targets[rows].unsqueeze(1), block.new_full((len(block), 1), ctx.smoothing - 1))
            block.mul_(given[rows])
            if block is not narrow:
                narrow.copy_(block)
        return found, None, None


def _wide(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _blocks(logits: Tensor) -> Iterator[slice]:
    size = max(1, NEAR // max(1, logits.shape[1]))
    return (slice(first, first + size) for first in range(0, len(logits), size))
