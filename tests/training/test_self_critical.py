"""The self-critical loss against policy gradients written out, baselines by hand, and rewards that it really raises."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seesay.data.batches import CaptionBatch
from seesay.decoding.search import decode
from seesay.decoding.settings import Decoding, Hypothesis
from seesay.models import Forced, build
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK
from seesay.training.loop import compute, fit
from seesay.training.self_critical import Said, SelfCritical
from seesay.training.worth import Judge, advantages, baseline

WORDS, SIZE, REGIONS = 9, 6, 3
DRAW = Decoding("sample", candidates=4, max_length=5)
MODELS = {
    "transformer": {"hidden_size": 8, "heads": 2, "layers": 2, "encoder_layers": 1, "feedforward_size": 16},
    "s2": {"hidden_size": 8, "heads": 2, "layers": 1, "feedforward_size": 16, "clusters": 2},
    "meshed_memory": {"hidden_size": 8, "heads": 2, "layers": 2, "feedforward_size": 16, "slots": 2},
    "up_down": {"hidden_size": 8, "embedding_size": 8, "attention_size": 4},
    "attend_tell": {"hidden_size": 8, "embedding_size": 8, "attention_size": 4},
    "captioning_rnn": {"hidden_size": 8, "embedding_size": 4},
}


def reward(ids: np.ndarray, pictures: Sequence[str]) -> np.ndarray:
    """Something that depends on every word and on the picture."""
    ended = np.cumsum(ids == EOS, axis=1) > 0
    return (np.where(ended, 0, ids) * np.arange(1, ids.shape[1] + 1)).sum(1) / 7 + np.array([len(p) for p in pictures])


def make(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    torch.manual_seed(3)
    return build(name, MODELS[name], feature_size=SIZE, vocabulary_size=WORDS).to(dtype)


def pictures(dtype: torch.dtype = torch.float64, count: int = 3) -> CaptionBatch:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(count, REGIONS, SIZE, generator=generator, dtype=dtype)
    mask = torch.ones(count, REGIONS, dtype=torch.bool)
    tokens = torch.tensor([[BOS, 5, EOS]] * count)
    return CaptionBatch(tuple("abcdef"[:count]), features, mask, tokens, torch.arange(count))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def token_by_token(model: Any, some: CaptionBatch, said: Said, worth: np.ndarray, asked: SelfCritical) -> Tensor:
    """-advantage * log p of every word, by stepping: each sentence alone, nothing shared."""
    total = torch.zeros((), dtype=torch.float64)
    for ids, length, picture, advantage in zip(said.ids, said.lengths, said.rows, worth, strict=True):
        state = model.start(some.features[picture : picture + 1], some.mask[picture : picture + 1])
        before = torch.tensor([BOS])
        for place, word in enumerate(ids[:length].tolist()):
            logits, state = model.step(before, state)
            scores = logits[0]
            if asked.decoding.method == "sample":
                keep = torch.ones(WORDS, dtype=torch.bool)
                keep[[UNK, PAD, BOS] + [EOS] * (place == 0)] = False
                scores = torch.where(keep, scores / asked.decoding.temperature, -torch.inf)
            total = total - advantage * scores.log_softmax(-1)[word]
            before = torch.tensor([word])
    return total


WAYS = {
    "drawn": SelfCritical(Judge(reward), DRAW),
    "against the greedy one": SelfCritical(Judge(reward), DRAW, "greedy"),
    "warm": SelfCritical(Judge(reward), Decoding("sample", candidates=3, max_length=4, temperature=2.0), "mean"),
    "beams as released": SelfCritical(Judge(reward), Decoding("beam", beam=4, max_length=5), "mean", faithful=True),
    "normalised": SelfCritical(Judge(reward), DRAW, normalise=True),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_the_policy_gradient(way: str, name: str) -> None:
    asked, model, some = WAYS[way], make(name), pictures()
    torch.manual_seed(7)
    said, greedy = asked._say(model, asked._start(model, some))
    torch.manual_seed(7)
    loss = asked(model, some)
    loss.total.backward()
    found = gradients(model)
    model.zero_grad()
    rewards = reward(said.ids, [some.ids[row] for row in said.rows])
    if greedy:
        usual = reward(greedy.ids, some.ids)[said.rows]
        assert len(greedy.ids) == len(some.ids)
    else:
        usual = baseline(rewards, said.rows, asked.baseline)
    expected = token_by_token(model.eval(), some, said, advantages(rewards, usual, asked.normalise), asked)
    expected.backward()
    assert loss.total.dtype == torch.float64
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-9)
    assert len(found) == len(gradients(model)) > 5
    for name_of, gradient in gradients(model).items():
        torch.testing.assert_close(found[name_of], gradient, rtol=1e-8, atol=1e-10)
    places = len(said.ids) * asked.decoding.max_length
    assert loss.tokens == (places if asked.faithful else said.lengths.sum())
    assert loss.sums["captions"] == len(said.ids) == len(some.ids) * asked.decoding.rows
    assert loss.sums["reward"] == pytest.approx(rewards.sum())
    assert loss.sums["baseline"] == pytest.approx(usual.sum())


class Last(NamedTuple):
    """The state of a table: nothing but how many rows there are."""

    rows: Tensor


class Table(nn.Module):
    """A language of two words at most: how likely a word is depends on the one before it alone."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(0.5 * torch.randn(7, 7, generator=generator, dtype=torch.float64))

    def start(self, features: Tensor, mask: Tensor) -> Last:
        return Last(torch.zeros(len(features), 1))

    def step(self, tokens: Tensor, state: Last) -> tuple[Tensor, Last]:
        return self.table[tokens], state

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        real = tokens[:, 1:] != PAD
        return Forced(self.table[tokens[:, :-1]][real], tokens[:, 1:][real], None)

    def chances(self) -> dict[tuple[int, ...], Tensor]:
        """Every sentence of at most two words with its probability; one of two words is cut before its end."""
        said = self.table.clone()
        said[:, [UNK, PAD, BOS]] = -torch.inf
        first = said[BOS].clone()
        first[EOS] = -torch.inf
        found = {}
        for word in (4, 5, 6):
            after = said[word].softmax(0)
            found[word,] = first.softmax(0)[word] * after[EOS]
            found |= {(word, other): first.softmax(0)[word] * after[other] for other in (4, 5, 6)}
        return found


WORTH = {(4,): 1.0, (5,): 0.0, (6,): 0.2, (4, 5): 3.0, (5, 4): 0.5}
TWO = Decoding("sample", candidates=2, max_length=2)


def worth(ids: np.ndarray, pictures: Sequence[str]) -> np.ndarray:
    sentences = (tuple(itertools.takewhile(lambda word: word != EOS, row)) for row in ids.tolist())
    return np.array([WORTH.get(sentence, 0.0) for sentence in sentences])


def expected_reward(model: Table) -> Tensor:
    return sum((chance * WORTH.get(s, 0.0) for s, chance in model.chances().items()), torch.zeros(()))


@pytest.mark.parametrize(("kind", "factor"), [("leave_one_out", 2.0), ("mean", 1.0), ("greedy", 2.0)])
def test_its_expectation_is_the_gradient_of_the_expected_reward(
    kind: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over all pairs of sentences, each as often as it is drawn; "mean" includes the caption itself: half as much."""
    model = Table()
    chances = {sentence: chance.item() for sentence, chance in model.chances().items()}
    assert sum(chances.values()) == pytest.approx(1)
    greedy = [[Hypothesis([5], 0.0, True, None)]]
    asked, some = SelfCritical(Judge(worth), TWO, kind), pictures(count=1)
    total = torch.zeros_like(model.table)
    for pair in itertools.product(chances, repeat=2):
        drawn = [[Hypothesis(list(sentence), 0.0, len(sentence) < 2, None) for sentence in pair]]
        monkeypatch.setattr(
            "seesay.training.self_critical.decode",
            lambda model, state, how, drawn=drawn: drawn if how.method == "sample" else greedy,
        )
        model.zero_grad()
        asked(model, some).total.backward()
        total -= chances[pair[0]] * chances[pair[1]] * model.table.grad
    (exact,) = torch.autograd.grad(expected_reward(model), model.table)
    assert exact.abs().max() > 0.1
    torch.testing.assert_close(total, factor * exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["leave_one_out", "mean", "greedy"])
def test_training_raises_the_expected_reward(kind: str) -> None:
    model, asked = Table(), SelfCritical(Judge(worth), Decoding("sample", candidates=8, max_length=2), kind)
    before, best = expected_reward(model).item(), max(WORTH.values())
    some = pictures(count=4)
    batches = [CaptionBatch(some.ids, *(part.numpy() for part in (some.features, some.mask, some.tokens, some.rows)))]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    steps = list(fit(model, batches * 60, asked, optimizer, lambda n: 0.1, seed=1, clip=0.0))
    after = expected_reward(model).item()
    assert before < 1.0 and after > 0.95 * best
    assert steps[-1].means["reward"] > steps[0].means["reward"] + 1


def test_baselines_by_hand() -> None:
    rewards, rows = np.array([1.0, 2.0, 6.0, 4.0, 8.0, 5.0]), np.array([0, 0, 0, 1, 1, 2])
    assert baseline(rewards, rows, "mean").tolist() == [3, 3, 3, 6, 6, 5]
    assert baseline(rewards, rows, "leave_one_out").tolist() == [4, 3.5, 1.5, 8, 4, 5]


def test_advantages_by_hand() -> None:
    rewards, usual = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])
    assert advantages(rewards, usual).tolist() == [2, -1, 0]
    assert advantages(rewards, usual, normalise=True) == pytest.approx(np.array([2, -1, 0]) / np.sqrt(5 / 3))
    assert advantages(rewards, rewards, normalise=True).tolist() == [0, 0, 0]  # nothing to tell apart: no division by 0


def test_sentences_as_ids_and_as_targets() -> None:
    found = [
        [Hypothesis([4, 5, 6], 0.0, False, None), Hypothesis([7], 0.0, True, None)],
        [Hypothesis([5, 4], 0.0, True, None)],
    ]
    said = Said.of(found)
    assert said.ids.tolist() == [[4, 5, 6], [7, EOS, EOS], [5, 4, EOS]]
    assert said.lengths.tolist() == [3, 2, 3] and said.rows.tolist() == [0, 0, 1]
    assert said.as_targets().tolist() == [[BOS, 4, 5, 6], [BOS, 7, EOS, PAD], [BOS, 5, 4, EOS]]


def test_captions_that_break_off_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [[Hypothesis(words, 0.0, ended, None) for words, ended in (([4, 5], True), ([5], True), ([5, 4], False))]]
    monkeypatch.setattr("seesay.training.self_critical.decode", lambda *_: found)
    loss = SelfCritical(Judge(reward, frozenset({5})), DRAW)(make("up_down"), pictures(count=1))
    assert (loss.sums["captions"], loss.sums["broken_ends"], loss.sums["length"]) == (3, 2, 5)


class Watched(nn.Module):
    """A model that notes in which mode it is asked, and how many pictures it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.model: Any = make("transformer", torch.float32)
        self.seen: list[tuple[str, bool, bool, int]] = []

    def note(self, what: str, count: int) -> None:
        self.seen.append((what, self.training, torch.is_grad_enabled(), count))

    def start(self, features: Tensor, mask: Tensor) -> Any:
        self.note("start", len(features))
        return self.model.start(features, mask)

    def step(self, tokens: Tensor, state: Any) -> Any:
        assert not torch.is_grad_enabled() and not self.training
        return self.model.step(tokens, state)

    def forward(self, features: Tensor, mask: Tensor, tokens: Tensor, rows: Tensor) -> Forced:
        self.note("encode and score", len(features))
        return self.model(features, mask, tokens, rows)


class Sharing(Watched):
    """One that scores from a state."""

    def force(self, state: Any, tokens: Tensor, rows: Tensor) -> Forced:
        self.note("score", len(rows))
        return self.model.force(state, tokens, rows)


SCORED = {  # 3 pictures, 12 captions
    (Watched, False): [("start", False, False, 3), ("encode and score", False, True, 3)],
    (Watched, True): [("start", False, False, 3), ("encode and score", True, True, 3)],
    (Sharing, False): [("start", False, True, 3), ("score", False, True, 12)],
    (Sharing, True): [("start", False, False, 3), ("encode and score", True, True, 3)],
}


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("kind", [Watched, Sharing])
def test_drawn_without_gradient_and_dropout_then_scored_once(kind: type[Watched], dropout: bool) -> None:
    model, some = kind().train(), pictures(torch.float32)
    SelfCritical(Judge(reward), DRAW, "greedy", dropout=dropout)(model, some)
    assert model.seen == SCORED[kind, dropout]


@pytest.mark.parametrize("way", ["drawn", "against the greedy one", "beams as released"])
@pytest.mark.parametrize("name", MODELS)
def test_one_encoding_gives_the_bits_of_two(name: str, way: str) -> None:
    """The same captions, loss and gradients as where each pass encodes the pictures for itself."""
    found = []
    for shared in (True, False):
        model, some = make(name, torch.float32), pictures(torch.float32)
        torch.manual_seed(7)
        loss = (WAYS[way] if shared else Twice(**vars(WAYS[way])))(model, some)
        loss.total.backward()
        found.append((loss, gradients(model)))
    (one, first), (two, second) = found
    assert torch.equal(one.total, two.total) and one.sums == two.sums
    assert first.keys() == second.keys() and len(first) > 5
    for part in first:
        torch.testing.assert_close(first[part], second[part], rtol=1e-5, atol=1e-7)


class Twice(SelfCritical):
    """One that encodes the pictures for each pass."""

    def _shares(self, model: nn.Module) -> bool:
        return False


@pytest.mark.parametrize("name", MODELS)
def test_half_precision_gradients_reach_every_weight_and_are_near(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that autocast has copied without gradient must not serve in the pass with it."""
    beams, said = Decoding("beam", beam=3, max_length=4), []

    def search(*arguments: Any) -> Any:
        said.append(decode(*arguments))
        return said[0]  # rounding may find other captions: the same are scored

    monkeypatch.setattr("seesay.training.self_critical.decode", search)
    some = pictures(torch.float32)
    some = CaptionBatch(some.ids, *(part.numpy() for part in (some.features, some.mask, some.tokens, some.rows)))
    found = {}
    for precision in ("float32", "bf16"):
        model = make(name, torch.float32)
        compute(model, some, SelfCritical(Judge(reward), beams), precision=precision).total.backward()
        found[precision] = gradients(model)
    assert found["bf16"].keys() == found["float32"].keys()
    one, other = (torch.cat([part.flatten() for part in some.values()]) for some in found.values())
    assert torch.cosine_similarity(one, other, dim=0) > 0.98


def test_a_step_depends_on_seed_and_number_alone() -> None:
    some = pictures(torch.float32)
    arrays = [CaptionBatch(some.ids, *(part.numpy() for part in (some.features, some.mask, some.tokens, some.rows)))]

    def steps(first: int, count: int) -> list[Any]:
        model = make("transformer", torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        asked = SelfCritical(Judge(reward), DRAW)
        return list(fit(model, arrays * count, asked, optimizer, lambda n: 0.0, first=first, seed=5))

    together, alone = steps(1, 3), steps(3, 1)
    assert together[2] == alone[0]
    assert together[1].loss != together[2].loss


def test_rows_of_a_state_serve_both_searches() -> None:
    state = Table().start(torch.zeros(2, 1, 1), torch.ones(2, 1, dtype=torch.bool))
    assert len(select(state, torch.tensor([0, 0, 1])).rows) == 3
