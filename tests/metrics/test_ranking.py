"""Ranks of true candidates among wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics.ranking import rank_scores, ranks


def by_sorting(scores: np.ndarray, true: int) -> int:
    """The place of `true` where the row is sorted and equals of it come first."""
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], place == true))
    return order.index(true) + 1


def test_ranks_are_places_in_the_sorted_row() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 6, (50, 24)).astype(float)  # with many ties
    true = random.integers(0, 24, 50)
    assert ranks(scores, true).tolist() == [by_sorting(row, place) for row, place in zip(scores, true, strict=True)]


def test_a_model_that_cannot_tell_is_last() -> None:
    assert ranks(np.zeros((2, 24)), [0, 5]).tolist() == [24, 24]
    assert ranks([[-np.inf, -1.0]], [1]).tolist() == [1]


def test_one_candidate_is_the_first() -> None:
    assert ranks([[3.0]], [0]).tolist() == [1]


@pytest.mark.parametrize(
    ("scores", "true"),
    [([1.0, 2.0], [0]), ([[1.0, 2.0]], [0, 1]), ([[1.0, 2.0]], [2]), ([[1.0]], [-1]), (np.zeros((1, 0)), [0])],
    ids=["one row", "too many", "beyond", "before", "no candidate"],
)
def test_shapes_must_fit(scores: object, true: list[int]) -> None:
    with pytest.raises(DataError, match="ranking: received scores of shape"):
        ranks(scores, true)  # type: ignore[arg-type]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="not a number"):
        ranks([[np.nan, 1.0]], [0])
    with pytest.raises(DataError, match="received no rank"):
        rank_scores([])


def test_shares_of_ranks() -> None:
    assert rank_scores([1, 1, 2, 3, 4, 13]) == {"Rank-1": 2 / 6, "Rank-3": 4 / 6, "mean_rank": 4.0}
