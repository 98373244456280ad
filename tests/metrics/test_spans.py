"""Scores of spans, against counts made the way conlleval makes them: in one walk over the words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seesay.errors import DataError, UnknownName
from seesay.metrics.spans import SpanScore, evaluate_spans

TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")


def edges(before: str, now: str) -> tuple[bool, bool]:
    """Whether a span ends and another begins between two tags of BIO."""
    other = before[2:] != now[2:]
    return before != "O" and (other or now[0] in "BO"), now != "O" and (other or now[0] == "B" or before == "O")


def walked(gold: list[tuple[str, ...]], found: list[tuple[str, ...]]) -> tuple[int, int, int]:
    """Gold, found and right spans, counted word by word with a flag for a span that is right so far."""
    totals = [0, 0, 0]
    for one, other in zip(gold, found, strict=True):
        right, last = False, ("O", "O")
        for pair in [*zip(one, other, strict=True), ("O", "O")]:
            (ends, begins), (found_ends, found_begins) = (edges(a, b) for a, b in zip(last, pair, strict=True))
            if right and (ends or found_ends):
                totals[2] += ends and found_ends
                right = False
            if begins and found_begins and pair[0][2:] == pair[1][2:]:
                right = True
            totals[0], totals[1] = totals[0] + begins, totals[1] + found_begins
            last = pair
    return totals[0], totals[1], totals[2]


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_those_of_a_walk_over_the_words(seed: int) -> None:
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 12, 30)
    gold = [tuple(random.choice(TAGS, length)) for length in lengths]
    # Mostly right, so that whole spans agree too.
    found = [tuple(t if random.random() < 0.7 else random.choice(TAGS) for t in tags) for tags in gold]
    scores = evaluate_spans(gold, found)
    assert (scores.overall.gold, scores.overall.found, scores.overall.right) == walked(gold, found)
    assert scores.overall.right > 0
    for place in (3, 4, 5):
        assert sum(one[place] for one in scores.per_type.values()) == scores.overall[place]


def test_precision_recall_and_f1_by_hand() -> None:
    gold = [("B-X", "I-X", "O", "B-Y"), ("B-X",), ("O", "O")]
    found = [("B-X", "I-X", "B-Z", "B-Y"), ("B-Y",), ("O", "B-X")]
    scores = evaluate_spans(gold, found)
    assert scores.per_type == {
        "X": SpanScore(1 / 2, 1 / 2, 1 / 2, 2, 2, 1),
        "Y": SpanScore(1 / 2, 1.0, 2 / 3, 1, 2, 1),
        "Z": SpanScore(0.0, 0.0, 0.0, 0, 1, 0),
    }
    assert scores.overall == SpanScore(2 / 5, 2 / 3, 4 / 8, 3, 5, 2)


def test_without_a_span_every_score_is_zero() -> None:
    scores = evaluate_spans([("O",), ()], [("O",), ()])
    assert scores.overall == SpanScore(0.0, 0.0, 0.0, 0, 0, 0) and scores.per_type == {}


def test_the_same_spans_score_the_same_in_either_scheme() -> None:
    bio = evaluate_spans([("B-X", "I-X", "O", "B-Y")], [("B-X", "I-X", "I-X", "B-Y")])
    bioes = evaluate_spans([("B-X", "E-X", "O", "S-Y")], [("B-X", "I-X", "E-X", "S-Y")], "BIOES")
    assert bio.overall == bioes.overall == SpanScore(0.5, 0.5, 0.5, 2, 2, 1)


def test_to_json_is_json() -> None:
    content = evaluate_spans([("B-X",)], [("B-X",)]).to_json()
    assert json.loads(json.dumps(content)) == content
    assert content["per_type"]["X"]["f1"] == content["overall"]["f1"] == 1.0


@pytest.mark.parametrize(
    ("gold", "found", "expected"),
    [
        ([("O",)], [], "received 0 sentences; expected 1"),
        ([("O",), ("O",)], [("O",), ()], "sentence 2: received 0 tags"),
    ],
)
def test_what_does_not_belong_together_is_refused(gold, found, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        evaluate_spans(gold, found)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UnknownName, match="Unknown scheme 'IOB'"):
        evaluate_spans([("O",)], [("O",)], "IOB")
