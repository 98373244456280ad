"""Losses by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch, pad
from seesay.models import Forced
from seesay.text.vocabulary import PAD
from seesay.training.objectives import CrossEntropy, missed

WORDS = 8


class Fixed(nn.Module):
    """A model whose logits depend on the target's place alone."""

    def __init__(self, attention: Tensor | None = None) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        targets = tokens[:, 1:]
        table = torch.randn(20, WORDS, generator=torch.Generator().manual_seed(0))
        places = torch.arange(targets.shape[1]).expand_as(targets)
        real = targets != PAD
        return Forced(table[places[real]], targets[real], self.attention)


def batch(*captions: list[int]) -> CaptionBatch:
    rows = torch.zeros(len(captions), dtype=torch.long)
    mask = torch.tensor([[True, True, False]])
    return CaptionBatch(("a",), torch.zeros(1, 3, 2), mask, torch.from_numpy(pad(captions)), rows)


def by_hand(*captions: list[int], smoothing: float = 0.0) -> float:
    table = torch.randn(20, WORDS, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    total = 0.0
    for caption in captions:
        for place, word in enumerate([*caption, 3]):
            total -= (1 - smoothing) * float(table[place, word]) + smoothing * float(table[place].mean())
    return total


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_cross_entropy_is_a_sum_over_real_tokens(smoothing: float) -> None:
    loss = CrossEntropy(smoothing)(Fixed(), batch([4, 5], [6], []))
    assert loss.tokens == 6
    assert float(loss.total) == pytest.approx(by_hand([4, 5], [6], [], smoothing=smoothing), rel=1e-5)


def test_batches_add_up() -> None:
    objective = CrossEntropy(0.1)
    together = objective(Fixed(), batch([4, 5, 6, 7], [6]))
    parts = [objective(Fixed(), batch([4, 5, 6, 7])), objective(Fixed(), batch([6]))]
    assert float(together.total) == pytest.approx(sum(float(part.total) for part in parts), rel=1e-6)
    assert together.tokens == sum(part.tokens for part in parts)


def test_the_doubly_stochastic_penalty_by_hand() -> None:
    # One caption of two words and <eos>; the regions get 1.5, 0.5 and 1 looks in all, and the third is masked.
    attention = torch.tensor([[[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.5, 0.0, 0.5]]])
    plain = CrossEntropy()(Fixed(attention), batch([4, 5]))
    asked = CrossEntropy(doubly_stochastic=2.0)(Fixed(attention), batch([4, 5]))
    assert asked.tokens == 3
    assert float(asked.total - plain.total) == pytest.approx(2.0 * 3 * 0.25, rel=1e-5)


def test_a_model_that_does_not_attend_has_no_penalty() -> None:
    plain, asked = (CrossEntropy(doubly_stochastic=weight)(Fixed(), batch([4])).total for weight in (0.0, 2.0))
    assert torch.equal(plain, asked)


def test_looking_everywhere_once_misses_nothing() -> None:
    assert missed(torch.eye(3).unsqueeze(0), torch.ones(1, 3, dtype=torch.bool)).item() == 0
