from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.metrics.naming import ConceptScore, average_precisions, evaluate_naming


def by_definition(shown: list[bool], scores: list[float]) -> Fraction:
    """sum over distinct thresholds, falling, of (recall - recall before) * precision; in exact fractions."""
    total, before = Fraction(0), Fraction(0)
    for threshold in sorted(set(scores), reverse=True):
        taken = [is_shown for is_shown, score in zip(shown, scores, strict=True) if score >= threshold]
        recall = Fraction(sum(taken), sum(shown))
        total += (recall - before) * Fraction(sum(taken), len(taken))
        before = recall
    return total


def one(shown: list[int], scores: list[float]) -> float:
    return float(average_precisions(np.array(shown, bool)[:, None], np.array(scores)[:, None])[0])


@pytest.mark.parametrize(
    ("shown", "scores", "expected"),
    [
        ([1, 0, 1, 0], [0.9, 0.8, 0.4, 0.1], (1 + 2 / 3) / 2),
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], (1 + 2 / 3) / 2),
        ([0, 0, 0, 1], [4, 3, 2, 1], 1 / 4),
        ([1, 1, 1], [0.5, 0.2, 0.1], 1.0),
        ([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], 1 / 4),  # equals pass together, wherever they stand
        ([0, 0, 0, 1], [0.5, 0.5, 0.5, 0.5], 1 / 4),
        ([1, 0, 1, 0, 1], [0.7, 0.7, 0.7, 0.2, 0.2], 2 / 3 * 2 / 3 + 1 / 3 * 3 / 5),
        ([1], [-3.0], 1.0),
    ],
    ids=["two of four", "textbook", "last", "all", "tied first", "tied last", "ties of both", "one"],
)
def test_by_hand(shown: list[int], scores: list[float], expected: float) -> None:
    assert one(shown, scores) == pytest.approx(expected, abs=1e-15)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=12))
def test_equals_its_definition(pairs: list[tuple[bool, int]]) -> None:
    shown, scores = [pair[0] for pair in pairs], [pair[1] / 4 for pair in pairs]
    found = one(list(map(int, shown)), scores)
    if not any(shown):
        assert np.isnan(found)
    else:
        assert found == pytest.approx(float(by_definition(shown, scores)), abs=1e-12)


def test_columns_do_not_mix() -> None:
    random = np.random.default_rng(0)
    shown, scores = random.random((30, 7)) < 0.3, random.integers(0, 9, (30, 7)).astype(np.float32)
    shown[0] = True
    whole = average_precisions(shown, scores)
    assert whole.tolist() == [one(shown[:, i].tolist(), scores[:, i].tolist()) for i in range(7)]


def test_order_of_pictures_and_scale_of_scores_are_nothing() -> None:
    random = np.random.default_rng(1)
    shown, scores = random.random((40, 3)) < 0.4, random.normal(size=(40, 3))
    order = random.permutation(40)
    expected = average_precisions(shown, scores)
    assert average_precisions(shown[order], scores[order]).tolist() == expected.tolist()
    assert average_precisions(shown, 1 / (1 + np.exp(-scores))).tolist() == expected.tolist()


def test_a_score_for_all_alike_is_chance() -> None:
    shown = np.random.default_rng(2).random((50, 20)) < 0.2
    scores = evaluate_naming([f"w{i}" for i in range(20)], shown, np.ones((50, 20)))
    assert scores.mAP == pytest.approx(scores.chance) == pytest.approx(shown.mean())


def test_concepts_that_no_picture_shows_are_not_judged() -> None:
    shown = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 1]], bool)
    found = np.array([[0.2, 0.9, 0.9], [0.6, 0.9, 0.8], [0.1, 0.9, 0.7], [0.1, 0.9, 0.1]])
    scores = evaluate_naming(["dog", "cat", "man"], shown, found)
    assert scores.absent == ("cat",)
    assert scores.per_concept == {
        "dog": ConceptScore(1 / 2, 1),
        "man": ConceptScore(pytest.approx((1 + 1 + 3 / 4) / 3), 3),
    }
    assert scores.mAP == pytest.approx((1 / 2 + 2.75 / 3) / 2)
    assert scores.chance == pytest.approx((1 / 4 + 3 / 4) / 2)
    assert [word for word, _ in scores.ranked(least=2)] == ["man"]
    assert [word for word, _ in scores.ranked(least=9)] == ["man", "dog"]
    content = json.loads(json.dumps(scores.to_json()))
    assert content == scores.to_json()
    assert content["per_concept"]["dog"] == {"average_precision": 0.5, "pictures": 1}


@pytest.mark.parametrize(
    ("words", "shown", "found", "expected"),
    [
        (["dog"], np.ones((2, 1), bool), np.ones((1, 1)), r"scores: received shape \(1, 1\) for pictures of"),
        (["dog"], np.ones((0, 1), bool), np.ones((0, 1)), "with one picture at least"),
        (["dog"], np.ones((2, 1), bool), np.array([[1.0], [np.nan]]), "received 1 that are not a number"),
        (["dog"], np.ones((2, 2), bool), np.ones((2, 2)), "words: received 1; expected one for each concept"),
        (["dog"], np.zeros((2, 1), bool), np.ones((2, 1)), "received 2, whose captions name none of 1 concepts"),
    ],
    ids=["shapes", "no picture", "not a number", "words", "none shown"],
)
def test_what_does_not_belong_together_is_refused(
    words: list[str], shown: np.ndarray, found: np.ndarray, expected: str
) -> None:
    with pytest.raises(DataError, match=expected):
        evaluate_naming(words, shown, found)
