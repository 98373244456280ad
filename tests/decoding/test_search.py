"""Search over a toy language whose every sentence can be listed: a table of what follows which word."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from seesay.decoding.search import Decoding, Hypothesis, beam, decode, greedy, restrict, sample
from seesay.errors import RecipeError, SeesayError, UnknownName
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

WORDS = (4, 5, 6)
SIZE = 7
FORBIDDEN = {UNK, PAD, BOS, EOS}


class Tables(NamedTuple):
    table: Tensor  # (B, V, V) logits of the next word by the last
    attention: Tensor  # (B, V) here: where the last word stands, one-hot


class Markov:
    """A model of which every sentence's probability is known; `calls` holds the rows of each step."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def step(self, tokens: Tensor, state: Tables) -> tuple[Tensor, Tables]:
        self.calls.append(len(tokens))
        seen = torch.nn.functional.one_hot(tokens, SIZE).float()
        return state.table[torch.arange(len(tokens)), tokens], Tables(state.table, seen)


def start(*tables: Tensor) -> Tables:
    return Tables(torch.stack(tables), torch.zeros(len(tables), SIZE))


def some_table(seed: int, spread: float = 1.5) -> Tensor:
    return torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * spread


def table_of(follows: dict[int, dict[int, float]]) -> Tensor:
    """A table from probabilities."""
    table = torch.full((SIZE, SIZE), 1e-9)
    for last, row in follows.items():
        for word, probability in row.items():
            table[last, word] = probability
    return table.log()


def score_of(table: Tensor, words: list[int], ended: bool) -> float:
    """The log-probability of a sentence, word by word."""
    whole = [BOS, *words, *([EOS] if ended else [])]
    logs = table.double().log_softmax(-1)
    return sum(float(logs[last, word]) for last, word in itertools.pairwise(whole))


def every_sentence(table: Tensor, length: int, penalty: float = 0.0) -> list[tuple[float, list[int]]]:
    """All sentences of at most `length` tokens, <eos> included, the best first; longer ones are cut."""
    found: list[tuple[float, list[int]]] = []

    def grow(words: list[int]) -> None:
        if words and len(words) < length:
            found.append((score_of(table, words, True) / (len(words) + 1) ** penalty, words))
        if len(words) == length:
            found.append((score_of(table, words, False) / length**penalty, words))
            return
        for word in WORDS:
            grow([*words, word])

    grow([])
    return sorted(found, reverse=True)


def assert_same(found: list[Hypothesis], expected: list[tuple[float, list[int]]]) -> None:
    """The same sentences with the same scores; those of equal score (4 4 6 4 and 4 6 4 4) in either order."""
    scores = {tuple(hypothesis.tokens): hypothesis.score for hypothesis in found}
    assert scores == pytest.approx({tuple(words): score for score, words in expected}, abs=1e-4)
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for score, _ in expected], abs=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_that_holds_everything_finds_everything(seed: int, penalty: float) -> None:
    table = some_table(seed)
    expected = every_sentence(table, 4, penalty)
    assert len(expected) == 120
    found = beam(Markov(), start(table), width=300, max_length=4, length_penalty=penalty)[0]
    assert_same(found, expected)
    assert all(hypothesis.ended == (len(hypothesis.tokens) < 4) for hypothesis in found)


@pytest.mark.parametrize("seed", range(6))
def test_greedy_takes_the_likeliest_word_each_time(seed: int) -> None:
    table, words, last = some_table(seed), [], BOS
    while len(words) < 8:
        row = table[last].clone()
        row[[UNK, PAD, BOS] if words else list(FORBIDDEN)] = -math.inf
        last = int(row.argmax())
        if last == EOS:
            break
        words.append(last)
    found = greedy(Markov(), start(table), max_length=8)[0]
    assert [hypothesis.tokens for hypothesis in found] == [words]
    assert found[0][:3] == beam(Markov(), start(table), width=1, max_length=8)[0][0][:3]
    assert decode(Markov(), start(table), Decoding("greedy", max_length=8))[0][0].tokens == words


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_scores_order_and_words_of_any_beam(width: int, penalty: float) -> None:
    tables = [some_table(seed) for seed in range(8)]
    found = beam(Markov(), start(*tables), width=width, max_length=6, length_penalty=penalty)
    for table, some in zip(tables, found, strict=True):
        assert len(some) == width
        for hypothesis in some:
            expected = score_of(table, hypothesis.tokens, hypothesis.ended)
            length = len(hypothesis.tokens) + hypothesis.ended
            assert hypothesis.score == pytest.approx(expected / length**penalty, abs=1e-4)
            assert hypothesis.tokens and not FORBIDDEN & set(hypothesis.tokens)
            assert hypothesis.ended == (len(hypothesis.tokens) < 6)
        assert len({tuple(hypothesis.tokens) for hypothesis in some}) == width
        assert [h.score for h in some] == sorted((h.score for h in some), reverse=True)


def test_a_wider_beam_is_never_worse() -> None:
    for seed in range(10):
        best = [
            beam(Markov(), start(some_table(seed)), width=width, max_length=5)[0][0].score for width in (1, 2, 4, 300)
        ]
        assert max(best) == best[-1]


def test_a_picture_alone_and_in_a_batch_say_the_same() -> None:
    tables = [some_table(seed, 3.0) for seed in range(5)]
    for width in (1, 3):
        together = beam(Markov(), start(*tables), width=width, max_length=7)
        for table, some in zip(tables, together, strict=True):
            alone = beam(Markov(), start(table), width=width, max_length=7)[0]
            assert [h[:3] for h in alone] == [h[:3] for h in some]


def test_special_words_are_never_said_however_likely() -> None:
    table = some_table(0)
    table[:, [UNK, PAD, BOS]] += 30
    table[BOS, EOS] += 60
    for found in (
        beam(Markov(), start(table), width=4, max_length=5)[0],
        sample(Markov(), start(table), Decoding("sample", candidates=50, max_length=5), torch.Generator())[0],
    ):
        assert found
        assert all(h.tokens and set(h.tokens) <= set(WORDS) for h in found)


@pytest.mark.parametrize("end", [-50.0, -math.inf])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_there_is_an_answer_where_the_end_never_comes(end: float, length: int) -> None:
    table = some_table(1)
    table[:, EOS] = end
    for found in (
        greedy(Markov(), start(table), max_length=length)[0],
        beam(Markov(), start(table), width=3, max_length=length)[0],
        sample(Markov(), start(table), Decoding("sample", candidates=3, max_length=length), torch.Generator())[0],
    ):
        assert found
        assert all(len(h.tokens) == length and not h.ended for h in found)


def test_words_of_no_probability_are_not_said() -> None:
    table = some_table(2)
    table[:, [5, 6]] = -math.inf
    found = beam(Markov(), start(table), width=5, max_length=3)[0]
    assert sorted(h.tokens for h in found) == [[4], [4, 4], [4, 4, 4]]


def test_pictures_leave_when_their_beams_have_ended() -> None:
    short, long = some_table(3), some_table(4)
    short[list(WORDS), EOS] = 40
    long[:, EOS] = -40
    model = Markov()
    found = beam(model, start(short, long, short), width=2, max_length=6)
    assert model.calls == [3, 6, 2, 2, 2, 2]
    assert [[len(h.tokens) for h in some] for some in found] == [[1, 1], [6, 6], [1, 1]]
    model = Markov()
    beam(model, start(short), width=2, max_length=6)
    assert len(model.calls) == 2


def plain_beam(table: Tensor, width: int, length: int, penalty: float) -> list[tuple[float, list[int]]]:
    """Beam search over one picture, word by word, that asks about every beam at every step."""
    logs = table.double().log_softmax(-1)
    beams: list[tuple[float, list[int]]] = [(0.0, [BOS])]
    for _ in range(length):
        grown = [each for each in beams if each[1][-1] == EOS]
        for total, words in beams:
            if words[-1] != EOS:
                allowed = [*WORDS, *([EOS] if len(words) > 1 else [])]
                grown += [(total + float(logs[words[-1], word]), [*words, word]) for word in allowed]
        beams = sorted(grown, key=lambda each: -each[0] / (len(each[1]) - 1) ** penalty)[:width]
    return [(total / (len(w) - 1) ** penalty, [word for word in w if word not in (BOS, EOS)]) for total, w in beams]


@pytest.mark.parametrize("penalty", [0.0, 0.7])
@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_leaving_out_ended_beams_changes_no_answer(width: int, penalty: float) -> None:
    tables = [some_table(seed, 2.5) for seed in range(40)]
    model = Markov()
    found = beam(model, start(*tables), width=width, max_length=7, length_penalty=penalty)
    for table, some in zip(tables, found, strict=True):
        # Of sentences of equal score, such as 4 4 6 4 and 4 6 4 4, either may be kept.
        expected = [score for score, _ in plain_beam(table, width, 7, penalty)]
        assert [hypothesis.score for hypothesis in some] == pytest.approx(expected, abs=1e-4)
    assert model.calls[0] == 40 and sum(model.calls) < 0.8 * 40 * width * len(model.calls)


def test_only_growing_beams_are_asked_about() -> None:
    # After the first word, 4 ends at once and 5 never does: of two beams one row is left.
    table = table_of({BOS: {4: 0.6, 5: 0.4}, 4: {EOS: 1.0}, 5: {5: 1.0}})
    model = Markov()
    found = beam(model, start(table), width=2, max_length=5)[0]
    assert model.calls == [1, 2, 1, 1, 1]
    assert [(h.tokens, h.ended) for h in found] == [([4], True), ([5] * 5, False)]


def test_a_search_for_the_best_ends_once_nothing_can_overtake_it() -> None:
    table = table_of({BOS: {4: 0.6, 5: 0.4}, 4: {EOS: 1.0}, 5: {5: 1.0}})
    model = Markov()
    assert [h.tokens for h in beam(model, start(table), width=2, max_length=5, wanted=1)[0]] == [[4]]
    assert model.calls == [1, 2]
    model = Markov()
    decode(model, start(table), Decoding("beam", beam=2, max_length=5, wanted=1, length_penalty=1.0))
    assert len(model.calls) == 5, "with a penalty a longer sentence may still win"


@pytest.mark.parametrize("wanted", [1, 2, 4, 9])
def test_the_wanted_ones_are_the_first_of_all(wanted: int) -> None:
    tables = [some_table(seed, 2.0) for seed in range(30)]
    for penalty in (0.0, 1.0):
        every = beam(Markov(), start(*tables), width=5, max_length=7, length_penalty=penalty)
        first = beam(Markov(), start(*tables), width=5, max_length=7, length_penalty=penalty, wanted=wanted)
        for some, few in zip(every, first, strict=True):
            assert [h.tokens for h in few] == [h.tokens for h in some[:wanted]]
            assert [h.score for h in few] == pytest.approx([h.score for h in some[:wanted]], abs=1e-5)


def test_no_picture_gives_no_caption() -> None:
    assert beam(Markov(), Tables(torch.zeros(0, SIZE, SIZE), torch.zeros(0, SIZE)), width=2, max_length=3) == []


def test_the_length_penalty_ranks_as_computed_by_hand() -> None:
    table = table_of({BOS: {4: 0.5, 5: 0.5}, 4: {EOS: 0.6, 4: 0.4}, 5: {6: 1.0}, 6: {EOS: 0.5, 6: 0.5}})
    plain = beam(Markov(), start(table), width=40, max_length=8)[0]
    assert plain[0].tokens == [4]
    assert plain[0].score == pytest.approx(math.log(0.5 * 0.6), abs=1e-4)  # -1.204, against -1.386 for 5 6
    mean = beam(Markov(), start(table), width=40, max_length=8, length_penalty=1.0)[0]
    assert [h.tokens for h in mean if h.tokens in ([4], [5, 6])] == [[5, 6], [4]]
    scores = {tuple(h.tokens): h.score for h in mean}
    assert scores[4,] == pytest.approx(math.log(0.3) / 2, abs=1e-4)  # -0.602
    assert scores[5, 6] == pytest.approx(math.log(0.25) / 3, abs=1e-4)  # -0.462


def test_attention_follows_its_own_beam() -> None:
    tables = [some_table(seed) for seed in range(4)]
    decoded = [
        beam(Markov(), start(*tables), width=3, max_length=6),
        sample(Markov(), start(*tables), Decoding("sample", candidates=4, max_length=6), torch.Generator()),
    ]
    for found in decoded:
        for hypothesis in (h for some in found for h in some):
            assert hypothesis.attention is not None
            # The toy looks at the word before: <bos> for the first.
            assert hypothesis.attention.argmax(-1).tolist() == [BOS, *hypothesis.tokens[:-1]]


def test_a_model_without_attention_has_none() -> None:
    class Bare(NamedTuple):
        table: Tensor

    class Plain:
        def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
            return state.table[torch.arange(len(tokens)), tokens], state

    state = Bare(some_table(0).unsqueeze(0))
    assert beam(Plain(), state, width=2, max_length=3)[0][0].attention is None
    assert sample(Plain(), state, Decoding("sample", max_length=3))[0][0].attention is None


def frequencies(table: Tensor, draws: int = 4000, **options: Any) -> list[float]:
    """How often each word is drawn first."""
    decoding = Decoding("sample", candidates=draws, max_length=1, **options)
    found = sample(Markov(), start(table), decoding, torch.Generator().manual_seed(0))[0]
    assert len(found) == draws
    return [sum(h.tokens == [word] for h in found) / draws for word in WORDS]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.6, 0.3, 0.1]),
        ({"temperature": 0.5}, [0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]),
        ({"temperature": 2.0}, [0.6**0.5 / 1.6385, 0.3**0.5 / 1.6385, 0.1**0.5 / 1.6385]),
        ({"temperature": 0.01}, [1, 0, 0]),
        ({"top_k": 1}, [1, 0, 0]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0]),
        ({"top_k": 3}, [0.6, 0.3, 0.1]),
        ({"top_p": 0.5}, [1, 0, 0]),
        ({"top_p": 0.7}, [2 / 3, 1 / 3, 0]),
        ({"top_p": 0.95}, [0.6, 0.3, 0.1]),
    ],
)
def test_samples_come_as_often_as_they_should(options: dict[str, Any], expected: list[float]) -> None:
    # What may not be said takes half of the probability; the rest is shared 6 : 3 : 1.
    table = table_of({BOS: {UNK: 0.2, EOS: 0.3, 4: 0.3, 5: 0.15, 6: 0.05}})
    for seen, probability in zip(frequencies(table, **options), expected, strict=True):
        assert seen == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / 4000) + 1e-9)


def test_a_sampled_score_is_the_model_s_own() -> None:
    table = some_table(5)
    decoding = Decoding("sample", candidates=30, max_length=5, temperature=1.7, top_k=2, length_penalty=0.0)
    found = decode(Markov(), start(table), decoding, torch.Generator().manual_seed(1))[0]
    for hypothesis in found:
        expected = score_of(table, hypothesis.tokens, hypothesis.ended)
        assert hypothesis.score == pytest.approx(expected, abs=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


def test_the_generator_decides_the_sample() -> None:
    def draw(seed: int) -> list[list[int]]:
        found = sample(
            Markov(),
            start(some_table(6), some_table(7)),
            Decoding("sample", candidates=8),
            torch.Generator().manual_seed(seed),
        )
        return [h.tokens for some in found for h in some]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_a_picture_s_draw_is_its_own_whatever_is_in_the_batch() -> None:
    tables = [some_table(seed) for seed in range(5)]
    decoding = Decoding("sample", candidates=6, max_length=5)

    def own(number: int) -> torch.Generator:
        return torch.Generator().manual_seed(number)

    together = sample(Markov(), start(*tables), decoding, [own(i) for i in range(5)])
    for i, table in enumerate(tables):
        alone = sample(Markov(), start(table), decoding, [own(i)])[0]
        assert [h.tokens for h in alone] == [h.tokens for h in together[i]]
    other = sample(Markov(), start(*tables[:2]), decoding, [own(0), own(7)])
    assert [h.tokens for h in other[0]] == [h.tokens for h in together[0]]
    assert [h.tokens for h in other[1]] != [h.tokens for h in together[1]]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {1, 3, 0}),
        ({"top_k": 4}, {0, 1, 2, 3}),
        ({"top_k": 99}, {0, 1, 2, 3}),
        ({"top_p": 0.01}, {1}),
        ({"top_p": 0.49}, {1}),
        ({"top_p": 0.51}, {1, 3}),
        ({"top_p": 0.79}, {1, 3}),
        ({"top_p": 0.81}, {1, 3, 0}),
        ({"top_p": 0.96}, {0, 1, 2, 3}),
        ({"top_k": 2, "top_p": 0.96}, {1, 3}),
    ],
)
def test_what_is_kept_is_exactly_this_set(options: dict[str, Any], kept: set[int]) -> None:
    scores = torch.tensor([[0.15, 0.5, 0.05, 0.3]]).log()
    before = scores.clone()
    narrowed = restrict(scores, **options)[0]
    assert set(narrowed.isfinite().nonzero().flatten().tolist()) == kept
    assert torch.equal(narrowed[list(kept)], before[0][list(kept)])
    assert torch.equal(scores, before)


@pytest.mark.parametrize(
    "options",
    [
        {"beam": 0},
        {"beam": 1001},
        {"max_length": 0},
        {"max_length": 10**9},
        {"length_penalty": math.nan},
        {"length_penalty": math.inf},
        {"length_penalty": -11.0},
        {"temperature": 0.0},
        {"temperature": 1e-42},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"temperature": -1.0},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": math.nan},
        {"candidates": 0},
        {"candidates": 10**6},
        {"wanted": -1},
    ],
)
def test_an_option_out_of_range_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=f"decoding.{next(iter(options))}: received"):
        Decoding(**options)


def test_an_unknown_method_suggests() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'greedy'"):
        Decoding("gredy")
    assert issubclass(UnknownName, SeesayError)
