from __future__ import annotations

import pytest

from seesay.errors import DataError
from seesay.metrics import bleu
from seesay.metrics.diversity import diversity, mutual_bleu

CAPTIONS = {"1": "A dog runs.", "2": "a dog runs", "3": "the the cat", "4": "a dog and a dog"}


def test_every_property() -> None:
    assert diversity(CAPTIONS, ["a dog runs", "a cat"]) == pytest.approx(
        {
            "distinct_1": 6 / 14,  # a dog runs the cat and
            "distinct_2": 6 / 10,  # a-dog dog-runs the-the the-cat dog-and and-a
            "unique": 3 / 4,
            "novel": 2 / 4,
            "repetition": 2 / 4,  # "the the", and "a dog" twice
            "length": 14 / 4,
        }
    )
    assert "novel" not in diversity(CAPTIONS)


def test_tokens_and_texts_are_the_same() -> None:
    tokens = {"1": ["a", "dog", "runs"], "2": ["a", "dog"]}
    assert diversity(tokens) == diversity({"1": "A dog runs!", "2": "a dog"})


def test_empty_captions_have_no_words() -> None:
    assert diversity({"1": "", "2": "."}) == {
        "distinct_1": 0.0, "distinct_2": 0.0, "unique": 0.5, "repetition": 0.0, "length": 0.0,
    }  # fmt: skip


def test_mutual_bleu_is_each_caption_against_the_others() -> None:
    sets = {"1": ["a dog runs far", "a dog sits", "two cats"], "2": ["a cat", "a cat"]}
    expected = []
    for captions in sets.values():
        scores = [
            bleu.score({"x": caption}, {"x": captions[:n] + captions[n + 1 :]})["Bleu_2"].corpus
            for n, caption in enumerate(captions)
        ]
        expected.append(sum(scores) / len(scores))
    assert mutual_bleu(sets, order=2) == pytest.approx(sum(expected) / 2, abs=1e-12)
    assert 0 < expected[0] < expected[1] == pytest.approx(1)


def test_errors_are_one_line() -> None:
    with pytest.raises(DataError, match="no candidate at all"):
        diversity({})
    with pytest.raises(DataError, match="picture 7 has 1; expected two or more"):
        mutual_bleu({"7": ["a dog"]})
