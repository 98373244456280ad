from __future__ import annotations

import json

import pytest

from seesay.errors import DataError
from seesay.metrics.tagging import TagScore, evaluate_tags

GOLD = [("DT", "NN", "VB"), ("NN", "NN"), ("UH",)]
FOUND = [("DT", "NN", "NN"), ("VB", "NN"), ("JJ",)]
WORDS = [("a", "dog", "ran"), ("cats", "dog"), ("oh",)]


def test_accuracy_by_word_and_by_sentence() -> None:
    scores = evaluate_tags(GOLD, FOUND)
    assert scores.accuracy == 3 / 6
    assert scores.sentence_accuracy == 0
    assert (scores.words, scores.sentences) == (6, 3)
    assert evaluate_tags(GOLD, [GOLD[0], *FOUND[1:]]).sentence_accuracy == 1 / 3


def test_precision_recall_and_f1_by_hand() -> None:
    assert evaluate_tags(GOLD, FOUND).per_tag == {
        "DT": TagScore(1.0, 1.0, 1.0, 1),
        "JJ": TagScore(0.0, 0.0, 0.0, 0),  # found, never right
        "NN": TagScore(2 / 3, 2 / 3, 4 / 6, 3),
        "UH": TagScore(0.0, 0.0, 0.0, 1),  # never found
        "VB": TagScore(0.0, 0.0, 0.0, 1),
    }


def test_f1_is_the_harmonic_mean() -> None:
    score = evaluate_tags([("A",) * 10 + ("B",) * 2], [("A",) * 4 + ("B",) * 6 + ("A", "B")]).per_tag["A"]
    assert (score.precision, score.recall) == (4 / 5, 4 / 10)
    assert score.f1 == pytest.approx(2 * score.precision * score.recall / (score.precision + score.recall), abs=1e-15)


def test_confusion_counts_every_word_once() -> None:
    scores = evaluate_tags(GOLD, FOUND)
    assert scores.confusion == {"DT": {"DT": 1}, "NN": {"NN": 2, "VB": 1}, "UH": {"JJ": 1}, "VB": {"NN": 1}}
    assert scores.mistakes() == [("NN", "VB", 1), ("UH", "JJ", 1), ("VB", "NN", 1)]


def test_the_commonest_mistake_comes_first() -> None:
    assert evaluate_tags([("B", "A", "B", "C")], [("C", "C", "C", "C")]).mistakes() == [("B", "C", 2), ("A", "C", 1)]


def test_unseen_words() -> None:
    scores = evaluate_tags(GOLD, FOUND, words=WORDS, known_words={"a", "ran", "Dog"})
    assert (scores.unseen_accuracy, scores.unseen_words) == (2 / 4, 4)  # dog, cats, dog, oh


def test_without_unseen_words_there_is_no_accuracy_on_them() -> None:
    assert evaluate_tags(GOLD, FOUND).unseen_accuracy is None
    all_known = evaluate_tags(GOLD, FOUND, words=WORDS, known_words={word for some in WORDS for word in some})
    assert (all_known.unseen_accuracy, all_known.unseen_words) == (None, 0)


def test_tags_that_training_did_not_show_are_counted() -> None:
    scores = evaluate_tags(GOLD, FOUND, known_tags={"DT", "NN", "JJ"})
    assert scores.untaught == {"UH": 1, "VB": 1}
    assert evaluate_tags(GOLD, FOUND).untaught == {}
    assert list(evaluate_tags([("B", "A", "B")], [("A",) * 3], known_tags=()).untaught) == ["B", "A"]


def test_spans_are_scored_where_asked() -> None:
    gold, found = [("B-X", "I-X", "O")], [("B-X", "O", "O")]
    scores = evaluate_tags(gold, found, scheme="BIO")
    assert scores.spans is not None and (scores.spans.overall.gold, scores.spans.overall.right) == (1, 0)
    assert scores.to_json()["spans"] == scores.spans.to_json()
    assert evaluate_tags(gold, found).spans is None
    assert evaluate_tags(gold, found).to_json()["spans"] is None


def test_to_json_is_json() -> None:
    scores = evaluate_tags(GOLD, FOUND, words=WORDS, known_words={"a"})
    content = json.loads(json.dumps(scores.to_json()))
    assert content == scores.to_json()
    assert content["per_tag"]["NN"] == {"precision": 2 / 3, "recall": 2 / 3, "f1": 4 / 6, "words": 3}
    assert content["confusion"]["NN"] == {"NN": 2, "VB": 1}


def test_lists_do_as_well_as_tuples() -> None:
    assert evaluate_tags([list(one) for one in GOLD], FOUND) == evaluate_tags(GOLD, FOUND)


@pytest.mark.parametrize(
    ("gold", "found", "more", "expected"),
    [
        (GOLD, FOUND[:2], {}, "found: received 2 sentences; expected 3"),
        (GOLD, [*FOUND[:2], ()], {}, "found: sentence 3: received 0; expected 1"),
        (GOLD, FOUND, {"words": WORDS[::-1], "known_words": set()}, "words: sentence 1: received 1; expected 3"),
        (GOLD, FOUND, {"words": WORDS}, "expected both or neither"),
        (GOLD, FOUND, {"known_words": set()}, "expected both or neither"),
        ([], [], {}, "gold: received no word"),
        ([()], [()], {}, "gold: received no word"),
    ],
)
def test_what_does_not_belong_together_is_refused(gold, found, more, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        evaluate_tags(gold, found, **more)
