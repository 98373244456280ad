from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.metrics import rouge

TOKENS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=90)


def plain_common_subsequence(first: list[str], second: list[str]) -> int:
    """The textbook table, row by row."""
    row = [0] * (len(second) + 1)
    for token in first:
        previous, row = row, [0]
        for j, other in enumerate(second):
            row.append(previous[j] + 1 if token == other else max(row[j], previous[j + 1]))
    return row[-1]


@given(TOKENS, TOKENS)
def test_bits_and_table_agree(first: list[str], second: list[str]) -> None:
    assert rouge.common_subsequence(first, second) == plain_common_subsequence(first, second)


def test_by_hand() -> None:
    """Common: a b d; precision 3/4, recall 3/5."""
    scores = rouge.score({"1": ["a", "b", "c", "d"]}, {"1": [["a", "x", "b", "d", "y"]]})
    assert scores.corpus == pytest.approx((1 + 1.44) * 0.75 * 0.6 / (0.6 + 1.44 * 0.75))


def test_best_precision_and_best_recall_may_come_from_two_references() -> None:
    scores = rouge.score({"1": ["a", "b"]}, {"1": [["a", "b", "c", "d"], ["a"]]})
    assert scores.per_id == {"1": 1.0}  # precision 2/2 from the first, recall 1/1 from the second


def test_the_corpus_score_is_the_mean() -> None:
    scores = rouge.score({"1": ["a"], "2": ["b"]}, {"1": [["a"]], "2": [["c"]]})
    assert scores.per_id == {"1": 1.0, "2": 0.0} and scores.corpus == 0.5


def test_an_empty_candidate_scores_0_unless_a_reference_is_empty_too() -> None:
    scores = rouge.score({"1": [], "2": []}, {"1": [["a"]], "2": [["a"], []]})
    assert scores.per_id == {"1": 0.0, "2": 1.0}


def test_no_candidates() -> None:
    with pytest.raises(DataError, match="no candidate at all"):
        rouge.score({}, {})
