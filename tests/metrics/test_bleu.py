from __future__ import annotations

import math

import pytest

from seesay.errors import DataError
from seesay.metrics import bleu


def test_matches_are_clipped() -> None:
    """The example of Papineni et al. 2002, section 2.1: 2 of 7, not 7 of 7."""
    scores = bleu.score(
        {"1": ["the"] * 7},
        {"1": [["the", "cat", "is", "on", "the", "mat"], ["there", "is", "a", "cat", "on", "the", "mat"]]},
    )
    assert scores["Bleu_1"].corpus == pytest.approx(2 / 7)
    assert scores["Bleu_2"].corpus == pytest.approx(0, abs=1e-6)


def test_orders_by_hand() -> None:
    """Precisions 4/5, 2/4, 1/3, 0/2 at equal length."""
    scores = bleu.score({"1": ["a", "b", "c", "x", "d"]}, {"1": [["a", "b", "c", "y", "d"]]})
    assert scores["Bleu_1"].per_id["1"] == pytest.approx(4 / 5)
    assert scores["Bleu_2"].per_id["1"] == pytest.approx(math.sqrt(4 / 5 * 2 / 4))
    assert scores["Bleu_3"].per_id["1"] == pytest.approx((4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3))
    assert scores["Bleu_4"].per_id["1"] == pytest.approx(0, abs=1e-3)


def test_short_captions_are_penalised_by_the_nearest_reference() -> None:
    references = [["a"] * 4, ["a"] * 8]  # 6 words: both are 2 away, the shorter one counts
    assert bleu.score({"1": ["a"] * 6}, {"1": references})["Bleu_1"].corpus == pytest.approx(1)
    assert bleu.score({"1": ["a"] * 3}, {"1": references})["Bleu_1"].corpus == pytest.approx(math.exp(1 - 4 / 3))


def test_the_corpus_sums_counts() -> None:
    candidates = {"1": ["a", "b", "c"], "2": ["x"]}
    scores = bleu.score(candidates, {"1": [["a", "b", "c"]], "2": [["y"]]})
    assert scores["Bleu_1"].corpus == pytest.approx(3 / 4)
    assert scores["Bleu_1"].per_id == pytest.approx({"1": 1, "2": 0}, abs=1e-6)


def test_an_empty_candidate_scores_0_and_counts() -> None:
    scores = bleu.score({"1": [], "2": ["a"]}, {"1": [["a"]], "2": [["a"]]})
    assert all(scores[f"Bleu_{n}"].per_id["1"] == 0 for n in (1, 2, 3, 4))
    assert scores["Bleu_1"].corpus == pytest.approx(math.exp(1 - 2 / 1))


def test_ids_must_agree() -> None:
    with pytest.raises(DataError, match="no references"):
        bleu.score({"1": ["a"]}, {"2": [["a"]]})
