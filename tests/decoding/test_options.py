"""Every option of a search against all sentences of a toy language: a table of what follows which word."""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from seesay.decoding import beam, numpy_search, search
from seesay.decoding.search import decode, find
from seesay.decoding.settings import NEVER, Decoding, Hypothesis, Resolved, resolve, without_repeats
from seesay.errors import DataError, RecipeError
from seesay.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

WORDS = (4, 5, 6)
SIZE = 7


class Tables(NamedTuple):
    table: Any  # (B, V, V) logits of the next word by the last


class Markov:
    """A model of which every sentence's probability is known; `calls` holds the rows of each step."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def step(self, tokens: Any, state: Tables) -> tuple[Any, Tables]:
        self.calls.append(len(tokens))
        return state.table[list(range(len(tokens))), tokens], state


def some_table(seed: int, spread: float = 1.5) -> Tensor:
    return torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread


def start(*tables: Tensor) -> Tables:
    return Tables(torch.stack(tables))


def asked(method: str = "beam", **options: Any) -> Resolved:
    """A search for word ids: `required` and `forbidden` are those."""
    words = {key: options.pop(key, ()) for key in ("required", "forbidden")}
    named = {key: " ".join(map(str, ids)) for key, ids in words.items()}
    return Resolved(method, **options, **named, required_ids=words["required"], forbidden_ids=words["forbidden"])


def every_sentence(table: Tensor, decoding: Resolved) -> dict[tuple[int, ...], float]:
    """All sentences that the options allow, with their scores; those of `max_length` words are cut."""
    logs, longest = table.log_softmax(-1), decoding.max_length
    found = {}
    for length in range(longest + 1):
        for words in itertools.product((UNK, *WORDS) if decoding.faithful else WORDS, repeat=length):
            ended = length < longest
            n = decoding.no_repeat_ngram
            parts = [words[i : i + n] for i in range(length - n + 1)] if n else []
            least = 0 if decoding.faithful and decoding.min_length == 1 else decoding.min_length
            fine = len(set(parts)) == len(parts) and length >= least
            fine = fine and set(decoding.required_ids) <= set(words) and not set(decoding.forbidden_ids) & set(words)
            if fine:
                whole = [BOS, *words, *([EOS] if ended else [])]
                total = sum(float(logs[last, word]) for last, word in itertools.pairwise(whole))
                found[words] = total / (length + ended) ** decoding.length_penalty
    return found


ALL: list[dict[str, Any]] = [
    {"min_length": 3},
    {"min_length": 4},
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 3},
    {"forbidden": (5,)},
    {"forbidden": (4, 6), "min_length": 2},
    {"faithful": True},
    {"faithful": True, "min_length": 2, "no_repeat_ngram": 1},
    {"length_penalty": 0.7, "min_length": 2, "no_repeat_ngram": 2},
    {"required": (5,)},
    {"required": (4, 6)},
    {"required": (4, 5, 6), "length_penalty": 1.0},
    {"required": (6,), "forbidden": (4,), "no_repeat_ngram": 2, "min_length": 3},
]


@pytest.mark.parametrize("options", ALL, ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_a_beam_that_holds_everything_finds_everything_that_is_allowed(seed: int, options: dict[str, Any]) -> None:
    table, decoding = some_table(seed), asked(beam=400, max_length=4, **options)
    expected = every_sentence(table, decoding)
    found = decode(Markov(), start(table), decoding)[0]
    assert {tuple(h.tokens): h.score for h in found} == pytest.approx(expected, abs=1e-6)
    assert len(found) == len(expected) > 1
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    if "required" not in options:
        on_arrays = numpy_search.decode(Markov(), Tables(start(table).table.numpy()), decoding)[0]
        assert {tuple(h.tokens): h.score for h in on_arrays} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "options", [*ALL, {"beam": 4, "groups": 2}, {"beam": 6, "groups": 3, "diversity": 2.0}], ids=str
)
@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_any_search_keeps_to_the_options_alone_and_in_a_batch(method: str, options: dict[str, Any]) -> None:
    if (method != "beam" and "groups" in options) or (method == "sample" and "required" in options):
        pytest.skip("refused: see below")
    decoding = asked(method, **{"beam": 3, "max_length": 6, "candidates": 4, **options})
    if decoding.no_repeat_ngram == 1 and decoding.min_length > 1:
        decoding = asked(method, **{"beam": 3, "max_length": 3, "candidates": 4, **options})
    tables = [some_table(seed, 2.5) for seed in range(6)]

    def own() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(6)]

    together = decode(Markov(), start(*tables), decoding, own() if method == "sample" else None)
    for place, (table, some) in enumerate(zip(tables, together, strict=True)):
        alone = decode(Markov(), start(table), decoding, [own()[place]] if method == "sample" else None)[0]
        assert [h[:3] for h in alone] == [h[:3] for h in some]
        allowed = every_sentence(table, decoding)
        for hypothesis in some:
            assert hypothesis.score == pytest.approx(allowed[tuple(hypothesis.tokens)], abs=1e-4)
        if method != "sample":
            assert len({tuple(h.tokens) for h in some}) == len(some) >= 1


@pytest.mark.parametrize("options", [o for o in ALL if "required" not in o], ids=str)
@pytest.mark.parametrize("width", [1, 3])
def test_the_search_on_arrays_finds_the_same(width: int, options: dict[str, Any]) -> None:
    length = 3 if options.get("no_repeat_ngram") == 1 else 6
    decoding = asked(beam=width, max_length=length, **{"wanted": 2, **options})
    tables = [some_table(seed, 2.5) for seed in range(8)]
    theirs = decode(Markov(), start(*tables), decoding)
    ours = numpy_search.decode(Markov(), Tables(start(*tables).table.numpy()), decoding)
    for mine, other in zip(ours, theirs, strict=True):  # of sentences of equal score, either may be kept
        assert [h.score for h in mine] == pytest.approx([h.score for h in other], abs=1e-5)


def test_the_search_on_arrays_refuses_the_rest() -> None:
    state = Tables(some_table(0).unsqueeze(0).numpy())
    for options, said in (({"groups": 5}, "groups: received 5"), ({"required": (4,)}, "required: received '4'")):
        with pytest.raises(RecipeError, match=f"decoding.{said} with engine 'numpy'"):
            numpy_search.decode(Markov(), state, asked(**options))
    drawn = numpy_search.decode(
        Markov(), state, asked("sample", candidates=50, min_length=3, forbidden=(5,)), [np.random.default_rng(0)]
    )[0]
    assert all(len(h.tokens) >= 3 and 5 not in h.tokens for h in drawn)


def test_one_group_is_a_plain_beam_and_groups_that_do_not_mind_are_alike() -> None:
    tables = [some_table(seed, 2.0) for seed in range(10)]
    plain = decode(Markov(), start(*tables), Decoding("beam", 4, 7))
    assert decode(Markov(), start(*tables), Decoding("beam", 4, 7, groups=1, diversity=9.0)) == plain
    alike = decode(Markov(), start(*tables), Decoding("beam", 8, 7, groups=2, diversity=0.0))
    assert [[h[:3] for h in some] for some in alike] == [[h[:3] for h in some] for some in plain]


def diverse(table: Tensor, groups: int, width: int, length: int, diversity: float) -> dict[tuple[int, ...], float]:
    """Diverse beam search over one picture, word by word, after Vijayakumar et al. 2018."""
    logs = table.log_softmax(-1)
    beams: list[list[tuple[float, list[int]]]] = [[(0.0, [BOS])] for _ in range(groups)]
    for _ in range(length):
        said: list[int] = []
        for group in range(groups):
            grown: list[tuple[float, float, list[int]]] = []
            for total, words in beams[group]:
                if words[-1] == EOS:
                    grown.append((total, total, words))
                    continue
                for word in [*WORDS, *([EOS] if len(words) > 1 else [])]:
                    new = total + float(logs[words[-1], word])
                    grown.append((new - diversity * said.count(word), new, [*words, word]))
            kept = sorted(grown, key=lambda each: -each[0])[:width]
            before = {tuple(words) for _, words in beams[group]}
            said += [words[-1] for _, _, words in kept if tuple(words) not in before]
            beams[group] = [(total, words) for _, total, words in kept]
    every = [each for some in beams for each in some]
    return {tuple(word for word in words if word not in (BOS, EOS)): total for total, words in every}


@pytest.mark.parametrize("diversity", [0.3, 1.5, 50.0])
@pytest.mark.parametrize(("groups", "width"), [(2, 1), (3, 2), (2, 3)])
def test_groups_avoid_one_another_as_computed_by_hand(groups: int, width: int, diversity: float) -> None:
    for seed in range(8):
        table = some_table(seed, 2.0)
        decoding = Decoding("beam", groups * width, 6, groups=groups, diversity=diversity)
        found = decode(Markov(), start(table), decoding)[0]
        expected = diverse(table, groups, width, 6, diversity)
        assert {tuple(h.tokens): h.score for h in found} == pytest.approx(expected, abs=1e-6)


def test_required_words_cost_no_more_than_the_best_that_has_them() -> None:
    for seed in range(10):
        table = some_table(seed, 2.0)
        wide = decode(Markov(), start(table), asked(beam=300, max_length=5, required=(5, 6)))[0]
        narrow = decode(Markov(), start(table), asked(beam=5, max_length=5, required=(5, 6), wanted=1))[0]
        assert len(narrow) == 1 and {5, 6} <= set(narrow[0].tokens)
        assert narrow[0].score <= wide[0].score + 1e-9
        exact = asked("greedy", max_length=2, required=(5, 6))
        assert sorted(decode(Markov(), start(table), exact)[0][0].tokens) == [5, 6], "there is just room for both"


def test_the_public_beam_gives_ids_lengths_and_plain_sums() -> None:
    tables = [some_table(seed, 2.0) for seed in range(5)]
    found = beam(Markov(), start(*tables), width=4, max_length=7, length_penalty=0.8, no_repeat_ngram=2)
    assert found.ids.shape == (5, 4, 7) and found.attention is None
    for place, table in enumerate(tables):
        plain = every_sentence(table, asked(max_length=7, no_repeat_ngram=2))
        order = []
        for ids, length, total, ended in zip(*(part[place].tolist() for part in found[:4]), strict=True):
            assert ids[length:] == [PAD] * (7 - length) and (ids[length - 1] == EOS) == ended
            assert total == pytest.approx(plain[tuple(word for word in ids[:length] if word != EOS)], abs=1e-6)
            order.append(total / length**0.8)
        assert order == sorted(order, reverse=True)
    same = find(Markov(), start(*tables), Decoding("beam", 4, 7, 0.8, no_repeat_ngram=2))
    assert torch.equal(same.ids, found.ids)


def test_repeated_words_are_said_once_where_asked() -> None:
    table = torch.full((SIZE, SIZE), -30.0, dtype=torch.float64)
    table[BOS, 4] = table[5, 6] = table[6, EOS] = 0
    table[4, 4], table[4, 5] = 0, -0.1
    state = start(table)
    assert [4, 4, 5, 6] in [h.tokens for h in decode(Markov(), state, Decoding("beam", 40, 5))[0]]
    tokens = [h.tokens for h in decode(Markov(), state, Decoding("beam", 40, 5, deduplicate=True))[0][:3]]
    assert [4, 5, 6] in tokens and not any(a == b for words in tokens for a, b in itertools.pairwise(words))
    on_arrays = numpy_search.decode(Markov(), Tables(state.table.numpy()), Decoding("beam", 40, 5, deduplicate=True))[0]
    assert [h.tokens for h in on_arrays[:3]] == tokens
    looked = np.arange(8.0).reshape(4, 2)
    once = without_repeats(Hypothesis([4, 4, 5, 5], -1.0, True, looked))
    assert once.tokens == [4, 5] and once.attention.tolist() == [[0, 1], [4, 5]]


def test_what_leaves_no_sentence_is_an_error() -> None:
    for method in ("greedy", "beam", "sample"):
        decoding = asked(method, max_length=5, min_length=5, no_repeat_ngram=1)
        with pytest.raises(DataError, match="constraints that leave no"):
            decode(Markov(), start(some_table(0)), decoding)
        with pytest.raises(DataError, match="constraints that leave no"):
            numpy_search.decode(Markov(), Tables(some_table(0).unsqueeze(0).numpy()), decoding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_any_size_become_probabilities_whatever_is_beside_them(dtype: torch.dtype) -> None:
    from seesay.decoding.scores import normalisers

    logits = 4 * torch.randn(35, 501, generator=torch.Generator().manual_seed(0), dtype=dtype)
    logits[3] += 200
    logits[20] -= 200
    logits[21, 7:] = NEVER
    logits[34] = 3e38
    found = normalisers(logits)
    torch.testing.assert_close(found, logits.double().logsumexp(-1).to(dtype), atol=2e-6, rtol=2e-7)
    assert torch.equal(found, torch.cat([normalisers(row.unsqueeze(0)) for row in logits]))
    assert normalisers(logits[:0]).shape == (0,)
    logits[5] = NEVER
    with pytest.raises(DataError, match="received -inf as the highest of a row"):
        normalisers(logits)


@pytest.mark.parametrize("damage", [math.nan, math.inf])
def test_scores_that_are_no_numbers_are_an_error(damage: float) -> None:
    table = some_table(0)
    table[BOS, 5] = damage
    for method in ("greedy", "beam", "sample"):
        with pytest.raises(DataError, match=r"logits: received (nan|inf)"):
            decode(Markov(), start(table), Decoding(method))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beam": 5, "groups": 2}, "groups: received 2; expected a number that divides the beam of 5"),
        ({"groups": 0}, "groups: received 0"),
        ({"method": "greedy", "groups": 5}, "groups: received 5 with method 'greedy'"),
        ({"diversity": -1.0}, "diversity: received"),
        ({"min_length": 21}, "min_length: received 21; expected a number from 0 to max_length, 20"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram: received -1"),
        ({"method": "sample", "required": "dog"}, "required: received 'dog' with method 'sample'"),
        ({"groups": 5, "required": "dog"}, "required: received 'dog' with 5 groups"),
        ({"forbidden": "a dog", "required": "dog"}, "required: received 'dog', which is forbidden too"),
        ({"required": "a dog runs", "max_length": 2}, "required: received 3 words; expected at most max_length, 2"),
    ],
)
def test_options_that_make_no_sense_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=f"decoding.{said}"):
        Decoding(**options)


def test_words_become_ids_and_unknown_ones_are_passed_over_or_refused() -> None:
    vocabulary = Vocabulary.build([["a", "dog", "runs"]], 1)
    plain = Decoding(min_length=3)
    assert resolve(plain, vocabulary) is plain
    found = resolve(Decoding(forbidden="runs", required="dog a dog", min_length=3), vocabulary)
    assert (found.forbidden_ids, found.required_ids, found.min_length) == ((6,), (5, 4), 3)  # type: ignore[attr-defined]
    assert found.rows == 15, "a beam for none, one and two of the words"
    with pytest.raises(RecipeError, match=r"decoding\.required: received 'zebra'; expected one of the 3 words"):
        resolve(Decoding(required="dog zebra"), vocabulary)
    passed = resolve(Decoding(forbidden="zebra dog <unk> Zebra"), vocabulary)
    assert passed.forbidden_ids == (5, 0)  # type: ignore[attr-defined]
    for key in ("forbidden", "required"):
        with pytest.raises(RecipeError, match=f"decoding.{key}: received 'Dog'; expected 'dog', as all that the model"):
            resolve(Decoding(**{key: "a Dog"}), vocabulary)
    with pytest.raises(RecipeError, match="received the words 'dog'; expected their ids"):
        search.decode(Markov(), start(some_table(0)), Decoding(required="dog"))


def test_the_folded_search_of_a_row_is_torch_s() -> None:
    from seesay.decoding.scores import best

    scores = torch.randn(30, 1013, generator=torch.Generator().manual_seed(0))
    scores[3, 1010] = 9
    scores[4] = NEVER
    scores[4, 77] = 0
    for count in (1, 5, 15, 16, 700):
        values, places = best(scores, count)
        assert torch.equal(values, scores.topk(count).values)
        assert torch.equal(scores.gather(1, places), values)
        assert all(len(set(row)) == count for row in places.tolist())
