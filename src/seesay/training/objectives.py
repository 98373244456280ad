"""What training minimises: an objective is `(model, batch) -> Loss`; different kinds of training differ only here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from seesay.data.batches import CaptionBatch
from seesay.data.sequences import TagBatch


class Loss(NamedTuple):
    """A sum and what it is a sum over, so that means over batches of any size come out right."""

    total: Tensor  # scalar, with gradient
    tokens: int  # or whatever else it sums over


Objective = Callable[[nn.Module, Any], Loss]  # the batch is one that the model understands


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy per real token, <eos> included, with label smoothing (Szegedy et al. 2016).

    `doubly_stochastic` weighs the penalty mean((1 - sum_t alpha_ti)^2) over captions and regions, which asks an
    attending model to look everywhere once (Xu et al. 2015, eq. 14); it is per token like the rest, and 0 turns it off.
    """

    label_smoothing: float = 0.0
    doubly_stochastic: float = 0.0

    def __call__(self, model: nn.Module, batch: CaptionBatch) -> Loss:
        """The loss of `model` on the tensors of `batch`, summed over the real target tokens."""
        forced = model(batch.features, batch.mask, batch.tokens, batch.rows)
        logits = forced.logits.float()
        total = functional.cross_entropy(logits, forced.targets, reduction="sum", label_smoothing=self.label_smoothing)
        count = len(forced.targets)
        if self.doubly_stochastic and forced.attention is not None:
            total = total + self.doubly_stochastic * count * missed(forced.attention, batch.mask[batch.rows])
        return Loss(total, count)


@dataclass(frozen=True)
class Tagging:
    """Cross-entropy per token with label smoothing; a token whose tag was never seen in training counts nothing."""

    label_smoothing: float = 0.0

    def __call__(self, model: nn.Module, batch: TagBatch) -> Loss:
        """The loss of `model` on the tensors of `batch`, summed over the real tokens."""
        logits = model(batch.ids, batch.lengths).float()
        real = torch.arange(batch.tags.shape[1], device=batch.tags.device) < batch.lengths.unsqueeze(1)
        targets = batch.tags[real]
        total = functional.cross_entropy(
            logits, targets, ignore_index=-1, reduction="sum", label_smoothing=self.label_smoothing
        )
        return Loss(total, int((targets >= 0).sum()))


def missed(attention: Tensor, mask: Tensor) -> Tensor:
    """How far regions are from being looked at once in all: mean of (1 - sum over time)^2 over real regions.

    `attention` is (N, T, R), `mask` (N, R).

    >>> import torch
    >>> missed(torch.tensor([[[0.5, 0.5]], [[1.0, 0.0]]]), torch.ones(2, 2, dtype=torch.bool)).item()
    0.375
    """
    return ((1 - attention.sum(1)) ** 2)[mask].mean()
