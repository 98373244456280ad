"""Captions partly of the model's own words."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch, pad
from seesay.data.questions import AskBatch
from seesay.models import Forced, build
from seesay.stages import Stage
from seesay.text.vocabulary import BOS, EOS, PAD
from seesay.training.objectives import CrossEntropy
from seesay.training.scheduled_sampling import partly_own

WORDS = 9


class Rows(NamedTuple):
    rows: Tensor


class After(nn.Module):
    """After word w it says w + 1, and 4 after <bos> and after the last word; specials seem likeliest to it."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.full((WORDS, WORDS), -20.0)
        table[:, :4] = 30.0
        for word in range(4, WORDS):
            table[word, word + 1 if word + 1 < WORDS else 4] = 20.0
        table[BOS, 4] = 20.0
        self.table = nn.Parameter(table)

    def start(self, features: Tensor, mask: Tensor) -> Rows:
        return Rows(torch.zeros(len(features), 1))

    def step(self, tokens: Tensor, state: Rows) -> tuple[Tensor, Rows]:
        return self.table[tokens].clone(), state

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        real = tokens[:, 1:] != PAD
        return Forced(self.table[tokens[:, :-1]][real], tokens[:, 1:][real], None)


def batch(*captions: list[int]) -> CaptionBatch:
    tokens = torch.from_numpy(pad(captions))
    return CaptionBatch(("a",), torch.ones(1, 1, 2), torch.ones(1, 1).bool(), tokens, torch.zeros(len(tokens)).long())


def test_all_own_words_are_the_model_s_and_ends_stay() -> None:
    some = batch([8, 8, 8], [7])
    assert partly_own(After(), some, 1.0).tolist() == [[BOS, 4, 5, 6, EOS], [BOS, 4, EOS, PAD, PAD]]
    assert some.tokens.tolist() == [[BOS, 8, 8, 8, EOS], [BOS, 7, EOS, PAD, PAD]]  # left as they were
    assert torch.equal(partly_own(After(), some, 0.0), some.tokens)


def test_a_share_of_the_words_follows_what_was_really_said_before() -> None:
    torch.manual_seed(0)
    some = batch(*[[8, 8, 8]] * 400)
    mixed = partly_own(After(), some, 0.3)
    words = mixed[:, 1:4]
    assert (words != 8).float().mean().item() == pytest.approx(0.3, abs=0.03)
    after = {8: 4, 4: 5, 5: 6, BOS: 4}
    pairs = {(int(a), int(b)) for row in mixed[:, :4] for a, b in itertools.pairwise(row)}
    assert all(b in (8, after[a]) for a, b in pairs) and (4, 5) in pairs


def test_the_targets_stay_those_of_people() -> None:
    model, some = After(), batch([8, 8])
    loss = CrossEntropy(scheduled_sampling=1.0)(model, some)
    scores = model.table.log_softmax(-1)
    assert loss.tokens == 3
    assert loss.total.item() == pytest.approx(-(scores[BOS, 8] + scores[4, 8] + scores[5, EOS]).item())


@pytest.mark.parametrize("name", ["transformer", "captioning_rnn", "up_down"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_every_weight_still_learns(name: str, precision: torch.dtype) -> None:
    settings = {"hidden_size": 8} | ({"heads": 2} if name == "transformer" else {"embedding_size": 8})
    model = build(name, settings, feature_size=2, vocabulary_size=WORDS)
    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        CrossEntropy(scheduled_sampling=0.5)(model, batch([4, 5, 6], [7])).total.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_share_grows_to_its_most() -> None:
    stage = Stage(scheduled_sampling=0.12, scheduled_sampling_growth=0.05, scheduled_sampling_every=2)
    shares = [stage.share_at(epoch) for epoch in range(8)]
    assert shares == pytest.approx([0, 0, 0.05, 0.05, 0.1, 0.1, 0.12, 0.12])


def test_questions_go_on_from_their_own_answers() -> None:
    """Two questions about one picture, drawn wholly by the model, as if each stood alone with its answer."""
    sizes = {"feature_size": 3, "vocabulary_size": WORDS, "concept_count": 2}
    model = build("ivqa", {"hidden_size": 8, "embedding_size": 8, "answer_size": 4, "dropout": 0.0}, **sizes)
    torch.nn.init.normal_(model.first_answer.weight, std=30.0)  # so that an answer decides what is said
    torch.nn.init.normal_(model.head.weight, std=30.0)
    features, mask, concepts = torch.rand(1, 2, 3), torch.ones(1, 2).bool(), torch.rand(1, 2)
    tokens = torch.from_numpy(pad([[8, 8, 8], [8, 8, 8]]))
    answers = torch.tensor([[5, PAD], [6, 7]])
    some = AskBatch(("a",), features, mask, concepts, answers, tokens, torch.zeros(2).long())
    with torch.no_grad():
        found = partly_own(model, some, 1.0)
        for row, answer in enumerate(answers):
            state = model.start(features, mask, concepts, answer[None])
            for place in range(1, 4):
                logits, state = model.step(found[row, place - 1][None], state)
                logits[:, [0, PAD, BOS, EOS]] = -torch.inf
                assert logits.softmax(-1)[0, found[row, place]] > 1e-4
    loss = CrossEntropy(scheduled_sampling=0.5)(model, some)
    assert loss.tokens == 8 and loss.total.isfinite()
