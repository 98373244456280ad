"""What training minimises: an objective is `(model, batch) -> Loss`; different kinds of training differ only here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from seesay.data.batches import CaptionBatch
from seesay.data.frames import FrameBatch
from seesay.data.questions import AskBatch
from seesay.data.sequences import TagBatch
from seesay.text.vocabulary import PAD
from seesay.training.likelihood import word_losses
from seesay.training.scheduled_sampling import partly_own
from seesay.training.step import NOTHING


class Loss(NamedTuple):
    """A sum and what it is a sum over, so that means over batches of any size come out right."""

    total: Tensor  # scalar, with gradient
    tokens: int  # or whatever else it sums over
    sums: Mapping[str, float] = NOTHING  # for the log: over the captions that "captions" counts


Objective = Callable[[nn.Module, Any], Loss]  # the batch is one that the model understands


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy per real token, <eos> included, with label smoothing (Szegedy et al. 2016).

    `doubly_stochastic` weighs the penalty mean((1 - sum_t alpha_ti)^2) over captions and regions, which asks an
    attending model to look everywhere once (Xu et al. 2015, eq. 14); it is per token like the rest, and 0 turns it off.
    `scheduled_sampling` is the share of the words already said that the model draws itself (Bengio et al. 2015).
    """

    label_smoothing: float = 0.0
    doubly_stochastic: float = 0.0
    scheduled_sampling: float = 0.0

    def __call__(self, model: nn.Module, batch: CaptionBatch | AskBatch) -> Loss:
        """The loss of `model` on the tensors of `batch`, summed over the real target tokens."""
        forced, targets = self._forced(model, batch)
        total = word_losses(forced.logits, targets, self.label_smoothing).sum()
        count = len(targets)
        if self.doubly_stochastic and forced.attention is not None:
            total = total + self.doubly_stochastic * count * missed(forced.attention, batch.mask[batch.rows])
        return Loss(total, count)

    def _forced(self, model: nn.Module, batch: CaptionBatch | AskBatch) -> tuple[Any, Tensor]:
        """Teacher forcing, and the words of the captions: what was said before may be the model's own."""
        if not self.scheduled_sampling:
            forced = model(*batch.inputs)
            return forced, forced.targets
        said = partly_own(model, batch, self.scheduled_sampling)
        targets = batch.tokens[:, 1:]
        return model(*replace(batch, tokens=said).inputs), targets[targets != PAD]


@dataclass(frozen=True)
class Tagging:
    """The model's own loss, cross-entropy by token or by sequence; a token whose tag was never seen in training counts
    nothing.
    """

    label_smoothing: float = 0.0

    def __call__(self, model: Any, batch: TagBatch | FrameBatch) -> Loss:
        """The loss of `model` on the tensors of `batch`, summed over the real tokens, and how many these are."""
        logits = model(*batch.inputs).float()
        real = torch.arange(batch.tags.shape[1], device=batch.tags.device) < batch.lengths.unsqueeze(1)
        targets = batch.tags[real]
        return Loss(model.loss(logits, batch.lengths, targets, self.label_smoothing), int((targets >= 0).sum()))


@dataclass(frozen=True)
class Naming:
    """Cross-entropy of a yes or no for each concept of each picture (a logistic regression each, trained together)."""

    def __call__(self, model: nn.Module, batch: Any) -> Loss:
        """The loss of `model` on the tensors of `batch`, summed over pictures and concepts."""
        logits = model(batch.features, batch.mask).float()
        total = functional.binary_cross_entropy_with_logits(logits, batch.concepts.float(), reduction="sum")
        return Loss(total, logits.numel())


@dataclass(frozen=True)
class Classifying:
    """Cross-entropy of a text's label, with label smoothing."""

    label_smoothing: float = 0.0

    def __call__(self, model: nn.Module, batch: Any) -> Loss:
        """The loss of `model` on the tensors of `batch`, summed over texts; a label of -1 counts nothing."""
        logits = model(batch.ids, batch.lengths).float()
        total = functional.cross_entropy(
            logits, batch.labels, ignore_index=-1, reduction="sum", label_smoothing=self.label_smoothing
        )
        return Loss(total, int((batch.labels >= 0).sum()))


# What each task's loss on development data is: that of its training, without what only helps to learn.
PLAIN: dict[str, Objective] = {
    "caption": CrossEntropy(),
    "ask": CrossEntropy(),
    "concepts": Naming(),
    "tag": Tagging(),
    "classify": Classifying(),
}


def missed(attention: Tensor, mask: Tensor) -> Tensor:
    """How far regions are from being looked at once in all: mean of (1 - sum over time)^2 over real regions.

    `attention` is (N, T, R), `mask` (N, R).

    >>> import torch
    >>> missed(torch.tensor([[[0.5, 0.5]], [[1.0, 0.0]]]), torch.ones(2, 2, dtype=torch.bool)).item()
    0.375
    """
    return ((1 - attention.sum(1)) ** 2)[mask].mean()
