from __future__ import annotations

import pytest

from seesay.errors import DataError
from seesay.metrics.pairs import check_pairs, ngrams


def test_counts_of_each_order() -> None:
    one, two, three, four = ngrams(["a", "b", "a", "b"])
    assert one == {("a",): 2, ("b",): 2}
    assert two == {("a", "b"): 2, ("b", "a"): 1}
    assert three == {("a", "b", "a"): 1, ("b", "a", "b"): 1}
    assert four == {("a", "b", "a", "b"): 1}


def test_short_captions_have_no_long_grams() -> None:
    assert ngrams([]) == [{}, {}, {}, {}]
    assert ngrams(["a"])[1:] == [{}, {}, {}]


def test_a_no_break_space_parts_words() -> None:
    assert ngrams(["3\u00a01/2"])[0] == {("3",): 1, ("1/2",): 1}


@pytest.mark.parametrize(
    ("candidates", "references", "words"),
    [
        ({}, {}, "no candidate at all"),
        ({}, {"1": ["a"]}, "no candidate at all"),
        ({"1": "a", "2": "b"}, {"1": ["a"]}, r"1 picture has no references \(2\)"),
        ({"1": "a"}, {"1": ["a"], "3": ["b"], "2": ["b"]}, r"2 pictures have no candidate \(2, 3\)"),
        ({"1": "a"}, {"1": []}, r"1 picture has an empty list of references \(1\)"),
        ({str(i): "a" for i in range(9)}, {"0": ["a"]}, r"\(1, 2, 3, 4, 5, \.\.\.\)"),
    ],
)
def test_what_does_not_pair_is_refused(
    candidates: dict[str, str], references: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        check_pairs(candidates, references)
