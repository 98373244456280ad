"""Beginnings that captions share: found as by hand, and the same logits and gradients as word by word."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from seesay.models import build
from seesay.nn.prefixes import Prefixes
from seesay.text.vocabulary import PAD

MODELS = {
    "transformer": {"hidden_size": 8, "heads": 2, "layers": 2, "encoder_layers": 1, "feedforward_size": 16},
    "s2": {"hidden_size": 8, "heads": 2, "layers": 2, "feedforward_size": 16, "clusters": 2},
    "meshed_memory": {"hidden_size": 8, "heads": 2, "layers": 2, "feedforward_size": 16, "slots": 2},
}
# Of pictures 0, 1 and 1: the last is said twice, one is cut off, and one has nothing but its beginning.
TOKENS = torch.tensor(
    [
        [2, 5, 6, 7, 3],
        [2, 5, 6, 3, PAD],
        [2, 5, 6, PAD, PAD],
        [2, 3, PAD, PAD, PAD],
        [2, 5, 6, 3, PAD],
        [2, 5, 8, 6, 3],
        [2, 5, 8, 6, 3],
    ]
)
ROWS = torch.tensor([0, 0, 0, 0, 1, 1, 1])


def drawn(captions: int, longest: int, words: int) -> tuple[Tensor, Tensor, Tensor]:
    """Captions over few words, so that many begin alike, of any length."""
    generator = torch.Generator().manual_seed(captions)
    tokens = torch.randint(0, words, (captions, longest), generator=generator)
    lengths = torch.randint(0, longest + 1, (captions,), generator=generator)
    pictures = torch.randint(0, 3, (captions,), generator=generator)
    return tokens, torch.arange(longest) < lengths.unsqueeze(1), pictures


@pytest.mark.parametrize(
    ("captions", "longest", "words"), [(1, 1, 1), (40, 6, 2), (40, 6, 3), (7, 9, 50), (0, 3, 2), (5, 0, 2)]
)
def test_each_beginning_has_one_row(captions: int, longest: int, words: int) -> None:
    tokens, real, pictures = drawn(captions, longest, words)
    told = Prefixes(tokens, real, pictures)
    heard = [
        (picture, *row[: place + 1])
        for picture, row, some in zip(pictures.tolist(), tokens.tolist(), real.tolist(), strict=True)
        for place in range(sum(some))
    ]
    assert len(told.tokens) == len(set(heard)) <= len(heard) == len(told.spread)
    rows: dict[tuple[int, ...], int] = {}
    for beginning, row in zip(heard, told.spread.tolist(), strict=True):
        assert rows.setdefault(beginning, row) == row
        expected = (beginning[0], beginning[-1], len(beginning) - 2)
        assert (told.pictures[row], told.tokens[row], told.places[row]) == expected


@pytest.mark.parametrize("name", MODELS)
def test_logits_attention_and_gradients_are_those_of_every_word_for_itself(name: str) -> None:
    torch.manual_seed(3)
    settings = MODELS[name] | {"dropout": 0.0}
    model: Any = build(name, settings, feature_size=6, vocabulary_size=9).to(torch.float64)
    features, mask = torch.randn(2, 3, 6, dtype=torch.float64), torch.tensor([[True] * 3, [True, True, False]])
    weights = torch.randn(21, 9, dtype=torch.float64)
    found = []
    for training in (True, False):  # in training each word is for itself
        model.train(training).zero_grad()
        forced = model(features, mask, TOKENS, ROWS)
        (forced.logits.log_softmax(-1) * weights).sum().backward()
        gradients = {part: p.grad.clone() for part, p in model.named_parameters() if p.grad is not None}
        found.append((forced, gradients))
    (one, first), (two, second) = found
    assert one.logits.shape == (21, 9) and torch.equal(one.targets, two.targets)
    torch.testing.assert_close(two.logits, one.logits, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(two.attention, one.attention, rtol=1e-10, atol=1e-12)
    assert first.keys() == second.keys() and len(first) > 20
    for part in first:
        torch.testing.assert_close(second[part], first[part], rtol=1e-9, atol=1e-11)


def test_in_evaluation_only_different_words_are_computed() -> None:
    model: Any = build("transformer", MODELS["transformer"], feature_size=6, vocabulary_size=9)
    seen: list[int] = []
    model.decoder.head.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    for training in (True, False):
        forced = model.train(training)(torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool), TOKENS, ROWS)
        assert len(forced.logits) == len(forced.targets) == 21
    assert seen == [21, 4 + 5]
