from __future__ import annotations

import json

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics.classifying import LabelScore, confusion_matrix, evaluate_labels

GOLD = ["a", "a", "a", "b", "b", "c", "a"]
FOUND = ["a", "b", "a", "b", "a", "a", "d"]


def test_scores_worked_out_by_hand() -> None:
    scores = evaluate_labels(GOLD, FOUND)
    assert scores.accuracy == 3 / 7 and scores.texts == 7
    assert scores.labels == ("a", "b", "c", "d")
    counts = confusion_matrix(GOLD, FOUND, scores.labels)
    assert counts.tolist() == [[2, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert scores.confusion == {"a": {"a": 2, "b": 1, "d": 1}, "b": {"a": 1, "b": 1}, "c": {"a": 1}}
    assert scores.per_label == {
        "a": LabelScore(2 / 4, 2 / 4, 4 / 8, 4),
        "b": LabelScore(1 / 2, 1 / 2, 2 / 4, 2),
        "c": LabelScore(0.0, 0.0, 0.0, 1),
        "d": LabelScore(0.0, 0.0, 0.0, 0),
    }
    assert scores.macro_f1 == pytest.approx((0.5 + 0.5 + 0 + 0) / 4)
    assert scores.mistakes() == [("a", "b", 1), ("a", "d", 1), ("b", "a", 1), ("c", "a", 1)]


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_counting_texts(seed: int) -> None:
    random = np.random.default_rng(seed)
    gold, found = random.choice(list("abcde"), 60).tolist(), random.choice(list("abcde"), 60).tolist()
    scores, f1 = evaluate_labels(gold, found), []
    for label in scores.labels:
        both = sum(one == other == label for one, other in zip(gold, found, strict=True))
        precision, recall = both / max(1, found.count(label)), both / max(1, gold.count(label))
        f1.append(2 * precision * recall / (precision + recall) if both else 0.0)
        assert scores.per_label[label] == pytest.approx((precision, recall, f1[-1], gold.count(label)))
    assert scores.macro_f1 == pytest.approx(np.mean(f1))
    assert scores.accuracy == np.mean(np.array(gold) == np.array(found))
    assert sum(count for row in scores.confusion.values() for count in row.values()) == 60


def test_all_right_and_all_wrong() -> None:
    best, worst = evaluate_labels(["a", "b"], ["a", "b"]), evaluate_labels(["a", "b"], ["b", "a"])
    assert (best.accuracy, best.macro_f1, best.mistakes()) == (1.0, 1.0, [])
    assert (worst.accuracy, worst.macro_f1) == (0.0, 0.0)


def test_to_json_is_json_with_the_counts_by_name() -> None:
    content = evaluate_labels(GOLD, FOUND).to_json()
    assert json.loads(json.dumps(content)) == content
    assert content["confusion"]["a"] == {"a": 2, "b": 1, "d": 1} and content["labels"] == ["a", "b", "c", "d"]
    assert content["per_label"]["a"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "texts": 4}
    assert (content["accuracy"], content["texts"]) == (3 / 7, 7)


def test_a_matrix_has_the_labels_that_it_is_asked_for() -> None:
    assert confusion_matrix([], [], ["a", "b"]).tolist() == [[0, 0], [0, 0]]
    assert confusion_matrix(["b"], ["a"], ["b", "a"]).tolist() == [[0, 1], [0, 0]]
    with pytest.raises(DataError, match="labels: received 'c'; expected one of the 2 labels given"):
        confusion_matrix(["a"], ["c"], ["a", "b"])


@pytest.mark.parametrize(
    ("gold", "found", "expected"),
    [
        ([], [], "gold: received no label; expected at least one"),
        (["a"], [], "found: received 0 labels; expected 1"),
        (["a"], ["a", "b"], "found: received 2 labels; expected 1"),
    ],
    ids=["nothing", "too few", "too many"],
)
def test_what_cannot_be_scored_is_refused(gold: list[str], found: list[str], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        evaluate_labels(gold, found)
