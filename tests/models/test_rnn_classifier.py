"""The classifier against what its parts say of each text alone, and what padding may not do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from seesay.errors import RecipeError
from seesay.models.rnn_classifier import POOLINGS, Config, Model
from seesay.text.lexicon import UNK

TEXTS = [[4, 9, 2], [7], [], [3, 3, 8, 5, 6], [2, 6]]
KINDS = list(itertools.product(("lstm", "gru", "rnn"), POOLINGS, (True, False)))


def make(**settings: Any) -> Model:
    torch.manual_seed(1)
    sizes = {"embedding_size": 5, "feature_size": 3, "hidden_size": 4, "attention_size": 6}
    model = Model(Config(**{**sizes, **settings}), sizes=(10, 7), labels=3).double()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.7)
    return model.eval()


def batch_of(texts: list[list[int]], steps: int = 0, fill: int = 0) -> tuple[Tensor, Tensor]:
    """Ids (B, T, 2), the second one of each word following from its first, and lengths; `fill` is beyond an end."""
    lengths = torch.tensor([len(text) for text in texts])
    ids = torch.full((len(texts), max(steps, *map(len, texts)), 2), fill)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor([(word, word % 6 + 1) for word in text]).reshape(-1, 2)
    return ids, lengths


def by_hand(model: Model, text: list[int]) -> Tensor:
    """The logits of one text, from torch's own layers with the same weights and no padding."""
    config, zeros = model.config, torch.zeros(model.head.in_features, dtype=torch.double)
    if not text:
        return model.head(zeros)
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[config.cell]
    layer = kind(
        8, config.hidden_size, config.num_layers, batch_first=True, bidirectional=config.bidirectional
    ).double()
    layer.load_state_dict(model.rnn.state_dict())
    ids = torch.tensor([(word, word % 6 + 1) for word in text])
    said, _ = layer(torch.cat([table.weight[ids[:, i]] for i, table in enumerate(model.embeddings)], -1)[None])
    said = said[0]  # (T, H)
    if config.pooling == "max":
        return model.head(torch.stack([row.max() for row in said.T]))
    if config.pooling == "attention":
        scores = torch.tanh(said @ model.key.weight.T + model.key.bias) @ model.score.weight[0]
        return model.head(torch.softmax(scores, 0) @ said)
    half = config.hidden_size
    return model.head(torch.cat([said[-1, :half], said[0, half:]]))  # backwards it ends at the first word


@pytest.mark.parametrize(("cell", "pooling", "bidirectional"), KINDS)
def test_each_text_is_what_its_words_alone_say(cell: str, pooling: str, bidirectional: bool) -> None:
    model = make(cell=cell, pooling=pooling, bidirectional=bidirectional, num_layers=2)
    expected = torch.stack([by_hand(model, text) for text in TEXTS])
    for steps, fill in ((5, 0), (9, 0), (9, 3)):  # neither how much is filled up nor what with matters
        torch.testing.assert_close(model(*batch_of(TEXTS, steps, fill)), expected, rtol=1e-10, atol=1e-10)
    alone = torch.cat([model(*batch_of([text])) for text in TEXTS])  # a batch of 1, with and without words
    torch.testing.assert_close(alone, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_texts_without_words_train_the_last_layer_alone(pooling: str) -> None:
    model = make(pooling=pooling).train()
    ids, lengths = batch_of([[], []])
    assert ids.shape[1] == 0
    logits = model(ids, lengths)
    assert torch.equal(logits, model.head.bias.expand(2, -1))
    logits.square().sum().backward()
    gradients = {name: part.grad for name, part in model.named_parameters() if part.grad is not None}
    assert all(bool(gradient.isfinite().all()) for gradient in gradients.values())
    assert {name for name, gradient in gradients.items() if gradient.any()} == {"head.bias"}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_half_precision_comes_close_with_and_without_words(pooling: str) -> None:
    model = make(pooling=pooling).float()
    with torch.autocast("cpu", torch.bfloat16):
        halved = model(*batch_of(TEXTS, steps=8)).float()
    torch.testing.assert_close(halved, model(*batch_of(TEXTS)), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradients_are_those_of_finite_differences(pooling: str) -> None:
    model = make(pooling=pooling, embedding_size=2, feature_size=1, hidden_size=2, attention_size=2)
    ids, lengths = batch_of(TEXTS)
    names = [name for name, _ in model.named_parameters()]

    def logits(*parts: Tensor) -> Tensor:
        return torch.func.functional_call(model, dict(zip(names, parts, strict=True)), (ids, lengths))

    assert torch.autograd.gradcheck(logits, tuple(model.parameters()))


def test_padding_has_no_embedding_and_gets_no_gradient() -> None:
    model = make()
    model(*batch_of(TEXTS)).sum().backward()
    for table in model.embeddings:
        assert not table.weight.grad[0].any() and table.weight.grad[1:].any()


def test_dropout_and_hidden_words_are_for_training_alone() -> None:
    model = make(dropout=0.5, word_dropout=0.9)
    batch = batch_of(TEXTS)
    assert torch.equal(model(*batch), model(*batch))
    model.train()
    assert not torch.equal(model(*batch), model(*batch))
    torch.manual_seed(3)
    first = model(*batch)
    torch.manual_seed(3)
    assert torch.equal(model(*batch), first)


def test_a_hidden_word_keeps_its_other_ids_and_padding_stays() -> None:
    model = make(word_dropout=0.999_999).train()
    words = torch.tensor([[4, 9, 0]])
    assert model._hidden(words).tolist() == [[UNK, UNK, 0]]
    assert model.eval()._hidden(words).tolist() == [[4, 9, 0]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cell": "lstn"}, "model.cell: received 'lstn'; expected 'lstm', 'gru', 'rnn'"),
        ({"pooling": "mean"}, "model.pooling: received 'mean'; expected 'last', 'max', 'attention'"),
    ],
    ids=["cell", "pooling"],
)
def test_a_kind_that_there_is_not_is_told(settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(RecipeError, match=expected):
        make(**settings)
