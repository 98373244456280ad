"""Losses by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch, pad
from seesay.data.sequences import TagBatch
from seesay.data.texts import TextBatch
from seesay.models import Forced, build
from seesay.text.vocabulary import PAD
from seesay.training.objectives import Classifying, CrossEntropy, Tagging, missed

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


class Labelling(nn.Module):
    """A model that finds the same logits for every text."""

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return torch.tensor([2.0, 0.0, -1.0]).expand(len(lengths), -1)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_classifying_is_a_sum_over_texts_with_a_known_label(smoothing: float) -> None:
    ids, lengths = torch.ones(4, 2, 1, dtype=torch.long), torch.tensor([2, 1, 0, 2])
    some = TextBatch(("a", "b", "c", "d"), ids, lengths, torch.tensor([0, 2, -1, 0]))
    loss = Classifying(smoothing)(Labelling(), some)
    shares = torch.tensor([2.0, 0.0, -1.0]).log_softmax(-1)
    told = -(1 - smoothing) * (2 * shares[0] + shares[2]) - smoothing * 3 * shares.mean()
    assert loss.tokens == 3 and float(loss.total) == pytest.approx(float(told), rel=1e-6)


def test_texts_of_unknown_labels_alone_weigh_nothing() -> None:
    some = TextBatch(("a",), torch.ones(1, 1, 1, dtype=torch.long), torch.tensor([1]), torch.tensor([-1]))
    loss = Classifying()(Labelling(), some)
    assert (loss.tokens, float(loss.total)) == (0, 0.0)


def tag_batch(*lengths: int) -> TagBatch:
    """Sentences of these lengths; every third word has a tag that nobody knows."""
    generator = torch.Generator().manual_seed(4)
    steps = max(lengths)
    ids = torch.randint(2, 9, (len(lengths), steps, 1), generator=generator)
    tags = torch.randint(0, 3, (len(lengths), steps), generator=generator)
    tags[:, 2::3] = -1
    return TagBatch(("a",) * len(lengths), ids, torch.tensor(lengths), tags)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_tags_count_word_by_word_and_unknown_ones_not_at_all(smoothing: float) -> None:
    model = build("bilstm_tagger", {"hidden_size": 4}, sizes=(9,), tags=3).eval().requires_grad_(False)
    batch = tag_batch(5, 0, 2)
    loss = Tagging(smoothing)(model, batch)
    chances = model(batch.ids, batch.lengths).log_softmax(-1)
    known = [0, 1, 3, 4, 5, 6]  # of the five words of the first and the two of the third sentence, all but the third
    gold = [*batch.tags[0].tolist(), *batch.tags[2, :2].tolist()]
    expected = -sum((1 - smoothing) * chances[n, gold[n]] + smoothing * chances[n].mean() for n in known)
    assert loss.tokens == 6
    assert loss.total.item() == pytest.approx(float(expected), rel=1e-5)


def test_with_a_crf_the_loss_is_that_of_whole_sentences() -> None:
    model = build("bilstm_tagger", {"hidden_size": 4, "crf": True}, sizes=(9,), tags=3).eval().requires_grad_(False)
    model.crf.transitions.copy_(torch.tensor([[2.0, -1.0, 0.0], [0.5, 0.0, -2.0], [1.0, 1.0, 1.0]]))
    batch = tag_batch(4, 2)
    loss = Tagging()(model, batch)
    logits = model(batch.ids, batch.lengths)
    first, second = logits[:4].unsqueeze(0), logits[4:].unsqueeze(0)
    parts = [
        model.crf.log_likelihood(rows, torch.tensor([length]), batch.tags[row : row + 1, :length])
        for row, (rows, length) in enumerate(((first, 4), (second, 2)))
    ]
    assert loss.tokens == 5
    assert loss.total.item() == pytest.approx(-sum(part.item() for part in parts), rel=1e-5)
