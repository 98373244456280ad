"""The search on arrays says what torch's search says; sampling, which draws otherwise, draws as often as it should."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from seesay.decoding import numpy_search, search
from seesay.decoding.numpy_scores import best, draw, log_probabilities, restrict
from seesay.decoding.numpy_search import beam, decode, greedy, sample, select
from seesay.decoding.settings import Decoding, Hypothesis
from seesay.errors import DataError
from seesay.models import attend_tell, captioning_rnn
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

Array = NDArray[Any]
WORDS = (4, 5, 6)
SIZE = 7


class Tables(NamedTuple):
    table: Array  # (B, V, V) logits of the next word by the last
    attention: Array  # (B, V) here: where the last word stands, one-hot


class Markov:
    """A model of which every sentence's probability is known; `calls` holds the rows of each step."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def step(self, tokens: Any, state: Tables) -> tuple[Array, Tables]:
        self.calls.append(len(tokens))
        return state.table[np.arange(len(tokens)), tokens], Tables(state.table, np.eye(SIZE)[tokens])


class TensorMarkov(Markov):
    """The same for torch's search."""

    def step(self, tokens: Any, state: Any) -> Any:
        logits, (table, seen) = super().step(tokens.numpy(), Tables(*(part.numpy() for part in state)))
        return torch.from_numpy(logits), Tables(torch.from_numpy(table), torch.from_numpy(seen))  # type: ignore[arg-type]


class InArrays:
    """A torch model as the search on arrays wants it."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.no_grad()
    def step(self, tokens: Any, state: Any) -> Any:
        tensors = type(state)(*(part.rows if isinstance(part, Kept) else torch.from_numpy(part) for part in state))
        logits, state = self.model.step(torch.from_numpy(tokens), tensors)
        return logits.numpy(), in_arrays(state)


class Kept:
    """A part of torch's state that is no tensor, indexed as an array is."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, rows: Array) -> Kept:
        return Kept(self.rows.select(torch.from_numpy(rows)))


def in_arrays(state: Any) -> Any:
    return type(state)(*(part.numpy() if isinstance(part, torch.Tensor) else Kept(part) for part in state))


def start(*tables: Array) -> Tables:
    return Tables(np.stack(tables), np.zeros((len(tables), SIZE)))


def some_table(seed: int, spread: float = 1.5) -> Array:
    return np.random.default_rng(seed).standard_normal((SIZE, SIZE)) * spread


def words_of(found: list[list[Hypothesis]]) -> list[list[list[int]]]:
    return [[hypothesis.tokens for hypothesis in some] for some in found]


def a_model(name: str, seed: int, dtype: torch.dtype) -> tuple[Any, Any]:
    """A model with large random weights, so that sentences end anywhere, and its state for 4 pictures."""
    module: Any = {"captioning_rnn": captioning_rnn, "attend_tell": attend_tell}[name]
    torch.manual_seed(seed)
    config = module.Config(embedding_size=6, hidden_size=8)
    model = module.Model(config, feature_size=5, vocabulary_size=12).eval().to(dtype)
    with torch.no_grad():
        for parameter in set(model.parameters()):
            parameter.copy_(torch.randn_like(parameter))
        model.head.bias[EOS] += 1
        state = model.start(torch.randn(4, 3, 5, dtype=dtype), torch.ones(4, 3, dtype=torch.bool))
    return model, state


SETTINGS = [
    Decoding("greedy", max_length=9),
    Decoding("greedy", max_length=1),
    Decoding("beam", beam=2, max_length=6),
    Decoding("beam", beam=5, max_length=9),
    Decoding("beam", beam=5, max_length=9, length_penalty=1.0),
    Decoding("beam", beam=5, max_length=9, length_penalty=-0.5, wanted=1),
    Decoding("beam", beam=5, max_length=12, wanted=1),
    Decoding("beam", beam=4, max_length=12, wanted=3),
    Decoding("beam", beam=3, max_length=5, wanted=9),
    Decoding("beam", beam=60, max_length=4, length_penalty=0.7),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["captioning_rnn", "attend_tell"])
@pytest.mark.parametrize("decoding", SETTINGS, ids=str)
def test_says_what_torch_s_search_says(decoding: Decoding, name: str, dtype: torch.dtype) -> None:
    for seed in range(6):
        model, state = a_model(name, seed, dtype)
        theirs = search.decode(model, state, decoding)
        ours = decode(InArrays(model), in_arrays(state), decoding)
        # float32 tells numbers near 60 apart by 4e-6, and a sum has several roundings.
        exact = {"abs": 1e-9} if dtype == torch.float64 else {"abs": 1e-5, "rel": 1e-6}
        if dtype == torch.float64:
            assert words_of(ours) == words_of(theirs)
        for mine, other in zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True):
            assert mine.score == pytest.approx(other.score, **exact)
            if mine.tokens != other.tokens:
                continue  # in float32 alone: as good as one another, so that a processor's rounding orders them
            assert mine.ended == other.ended
            assert (mine.attention is None) == (other.attention is None)
            if mine.attention is not None:
                assert mine.attention.shape == (len(mine.tokens), 3)
                np.testing.assert_allclose(mine.attention, other.attention.numpy(), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"wanted": 1}, {"wanted": 2}, {"length_penalty": 0.7, "wanted": 1}])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_rows_leave_when_they_leave_torch_s_search(width: int, options: dict[str, Any]) -> None:
    tables, model, theirs = [some_table(seed, 2.5) for seed in range(20)], Markov(), TensorMarkov()
    found = beam(model, start(*tables), width=width, max_length=8, **options)
    state = Tables(*(torch.from_numpy(part) for part in start(*tables)))  # type: ignore[arg-type]
    expected = search.beam(theirs, state, width=width, max_length=8, **options)
    assert model.calls == theirs.calls
    scores = [[hypothesis.score for hypothesis in some] for some in expected]
    assert [[hypothesis.score for hypothesis in some] for some in found] == [pytest.approx(s, abs=1e-5) for s in scores]
    assert model.calls[0] == 20 and sum(model.calls) < 0.9 * 20 * width * len(model.calls)


def score_of(table: Array, words: list[int], ended: bool) -> float:
    whole = [BOS, *words, *([EOS] if ended else [])]
    return sum(float(table[last, word] - np.logaddexp.reduce(table[last])) for last, word in itertools.pairwise(whole))


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
def test_a_beam_that_holds_everything_finds_everything(penalty: float) -> None:
    table, expected = some_table(3), {}
    for length in range(1, 5):
        for words in itertools.product(WORDS, repeat=length):
            ended = length < 4
            expected[words] = score_of(table, list(words), ended) / (length + ended) ** penalty
    found = beam(Markov(), start(table), width=300, max_length=4, length_penalty=penalty)[0]
    assert {tuple(h.tokens): h.score for h in found} == pytest.approx(expected, abs=1e-12)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert all(h.ended == (len(h.tokens) < 4) for h in found)


@pytest.mark.parametrize("seed", range(6))
def test_greedy_takes_the_likeliest_word_each_time(seed: int) -> None:
    table, words, last = some_table(seed), [], BOS
    while len(words) < 8:
        last = max([*WORDS, *([EOS] if words else [])], key=lambda word: table[last, word])
        if last == EOS:
            break
        words.append(last)
    assert words_of(greedy(Markov(), start(table), max_length=8)) == [[words]]


@pytest.mark.parametrize("width", [1, 3])
def test_a_picture_alone_and_in_a_batch_say_the_same(width: int) -> None:
    tables = [some_table(seed, 3.0) for seed in range(5)]
    together = beam(Markov(), start(*tables), width=width, max_length=7)
    for table, some in zip(tables, together, strict=True):
        alone = beam(Markov(), start(table), width=width, max_length=7)[0]
        assert [h[:3] for h in alone] == [h[:3] for h in some]


def test_of_equal_words_the_first_is_said() -> None:
    flat = np.zeros((SIZE, SIZE))
    assert words_of(greedy(Markov(), start(flat), max_length=1)) == [[[4]]]
    assert words_of(beam(Markov(), start(flat), width=2, max_length=1)) == [[[4], [5]]]
    flat[BOS, 4] = -1
    assert words_of(beam(Markov(), start(flat), width=2, max_length=2, length_penalty=1.0)) == [[[5], [5, 4]]]


def test_special_words_are_never_said_however_likely() -> None:
    table = some_table(0)
    table[:, [UNK, PAD, BOS]] += 30
    table[BOS, EOS] += 60
    for decoding in (Decoding("beam", max_length=5), Decoding("sample", candidates=50, max_length=5)):
        found = decode(Markov(), start(table), decoding)[0]
        assert found
        assert all(h.tokens and set(h.tokens) <= set(WORDS) for h in found)


@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_there_is_an_answer_where_the_end_never_comes(method: str, length: int) -> None:
    table = some_table(1)
    table[:, EOS] = -math.inf
    found = decode(Markov(), start(table), Decoding(method, max_length=length, candidates=3))[0]
    assert found
    assert all(len(h.tokens) == length and not h.ended for h in found)


def test_words_of_no_probability_are_not_said() -> None:
    table = some_table(2)
    table[:, [5, 6]] = -math.inf
    found = beam(Markov(), start(table), width=5, max_length=3)[0]
    assert sorted(h.tokens for h in found) == [[4], [4, 4], [4, 4, 4]]
    drawn = sample(Markov(), start(table), Decoding("sample", candidates=200, max_length=3))[0]
    assert {tuple(h.tokens) for h in drawn} == {(4,), (4, 4), (4, 4, 4)}


def test_attention_follows_its_own_beam() -> None:
    tables = [some_table(seed) for seed in range(4)]
    for decoding in (Decoding("beam", beam=3, max_length=6), Decoding("sample", candidates=4, max_length=6)):
        for hypothesis in itertools.chain(*decode(Markov(), start(*tables), decoding)):
            # The toy looks at the word before: <bos> for the first.
            assert hypothesis.attention.argmax(-1).tolist() == [BOS, *hypothesis.tokens[:-1]]


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_no_picture_gives_no_caption(method: str) -> None:
    state = Tables(np.zeros((0, SIZE, SIZE)), np.zeros((0, SIZE)))
    assert decode(Markov(), state, Decoding(method), []) == []


@pytest.mark.parametrize("damage", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_an_error(damage: float) -> None:
    table = some_table(0)
    table[BOS, 5] = damage
    for method in ("greedy", "beam", "sample"):
        with pytest.raises(DataError, match=r"logits: received (nan|inf)"):
            decode(Markov(), start(table), Decoding(method))


def test_selected_rows_repeat_and_vanish() -> None:
    chosen = select(start(some_table(0), some_table(1)), np.array([1, 1]))
    np.testing.assert_array_equal(chosen.table, [some_table(1)] * 2)


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_the_best_of_a_row_are_those_of_a_stable_sort(count: int) -> None:
    random = np.random.default_rng(0)
    for scores in (random.standard_normal((9, 30)), random.integers(0, 4, (9, 30)) * 1.0, np.full((2, 30), -np.inf)):
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        np.testing.assert_array_equal(best(scores, count), expected)


@pytest.mark.parametrize("first", [True, False])
def test_log_probabilities_are_torch_s(first: bool) -> None:
    logits = np.random.default_rng(0).standard_normal((3, SIZE)) * 5
    expected = search.log_probabilities(torch.from_numpy(logits), first).numpy()
    before = logits.copy()
    np.testing.assert_allclose(log_probabilities(logits, first), expected, atol=1e-5)
    np.testing.assert_allclose(log_probabilities(logits.astype(np.float32), first), expected, atol=1e-5)
    assert log_probabilities(logits.astype(np.float16), first).dtype == np.float32
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("top_k", [0, 1, 3, 99])
@pytest.mark.parametrize("top_p", [1.0, 0.01, 0.4, 0.9, 0.999])
def test_the_restricted_are_torch_s(top_k: int, top_p: float) -> None:
    scores = np.random.default_rng(top_k).standard_normal((50, 11)) * 2
    scores[:, 3] = -np.inf
    expected = search.restrict(torch.from_numpy(scores), top_k=top_k, top_p=top_p).numpy()
    np.testing.assert_array_equal(restrict(scores, top_k=top_k, top_p=top_p), expected)


def test_a_draw_falls_where_its_number_says() -> None:
    scores = np.log([[1e-300, 0.25, 0.5, 1e-300, 0.25]])
    scores[:, [0, 3]] = -np.inf
    for number, word in ((0.0, 1), (0.2499, 1), (0.25, 2), (0.7499, 2), (0.75, 4), (1 - 2**-53, 4)):
        assert draw(scores, np.array([number])).tolist() == [word]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.6, 0.3, 0.1]),
        ({"temperature": 0.5}, [0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]),
        ({"temperature": 0.01}, [1, 0, 0]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0]),
        ({"top_p": 0.7}, [2 / 3, 1 / 3, 0]),
    ],
)
def test_samples_come_as_often_as_they_should(options: dict[str, Any], expected: list[float]) -> None:
    # What may not be said takes half of the probability; the rest is shared 6 : 3 : 1.
    table = np.full((SIZE, SIZE), 1e-9)
    table[BOS, [UNK, EOS, *WORDS]] = [0.2, 0.3, 0.3, 0.15, 0.05]
    decoding = Decoding("sample", candidates=4000, max_length=1, **options)
    found = sample(Markov(), start(np.log(table)), decoding, [np.random.default_rng(0)])[0]
    assert len(found) == 4000
    for word, probability in zip(WORDS, expected, strict=True):
        seen = sum(hypothesis.tokens == [word] for hypothesis in found) / 4000
        assert seen == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / 4000) + 1e-9)


def test_whole_sentences_come_as_often_as_they_should() -> None:
    table, draws = some_table(8), 10_000
    table[:, [UNK, PAD, BOS]] = -50  # nothing forbidden takes part of the probability
    table[BOS, EOS] = -50
    found = sample(
        Markov(), start(table), Decoding("sample", candidates=draws, max_length=3), [np.random.default_rng(1)]
    )
    assert len(found[0]) == draws
    for words, ended in (([4], True), ([5, 6], True), ([6, 4, 5], False), ([4, 4, 4], False)):
        probability = math.exp(score_of(table, words, ended))
        seen = sum(h.tokens == words for h in found[0]) / draws
        assert seen == pytest.approx(probability, abs=4 * math.sqrt(probability / draws))


def test_a_sampled_score_is_the_model_s_own() -> None:
    table = some_table(5)
    decoding = Decoding("sample", candidates=30, max_length=5, temperature=1.7, top_k=2, length_penalty=0.5)
    found = decode(Markov(), start(table), decoding, [np.random.default_rng(1)])[0]
    for hypothesis in found:
        length = len(hypothesis.tokens) + hypothesis.ended
        expected = score_of(table, hypothesis.tokens, hypothesis.ended) / length**0.5
        assert hypothesis.score == pytest.approx(expected, abs=1e-12)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_a_picture_s_draw_is_its_own_whatever_is_in_the_batch() -> None:
    tables, decoding = [some_table(seed, 2.0) for seed in range(5)], Decoding("sample", candidates=6, max_length=9)
    generators = [np.random.default_rng(i) for i in range(5)]
    together = sample(Markov(), start(*tables), decoding, generators)
    for i, table in enumerate(tables):
        own = np.random.default_rng(i)
        alone = sample(Markov(), start(table), decoding, [own])
        assert words_of(alone)[0] == words_of(together)[i]
        assert own.random() == generators[i].random(), "what it draws next does not depend on neighbours either"
    other = sample(Markov(), start(*tables[:2]), decoding, [np.random.default_rng(0), np.random.default_rng(7)])
    assert words_of(other)[0] == words_of(together)[0]
    assert words_of(other)[1] != words_of(together)[1]


def test_ended_samples_leave_the_batch() -> None:
    table, model = some_table(4), Markov()
    found = sample(model, start(table), Decoding("sample", candidates=50, max_length=9), [np.random.default_rng(0)])[0]
    said = [len(h.tokens) + h.ended for h in found]
    assert model.calls == [sum(length > position for length in said) for position in range(max(said))]


def test_without_generators_each_call_draws_anew_and_too_few_are_refused() -> None:
    decoding = Decoding("sample", candidates=40, max_length=9)
    first, second = (words_of(sample(Markov(), start(some_table(0)), decoding)) for _ in range(2))
    assert first != second
    with pytest.raises(DataError, match="generators: received 1; expected one for each of 2 pictures"):
        numpy_search.decode(Markov(), start(some_table(0), some_table(1)), decoding, [np.random.default_rng(0)])
