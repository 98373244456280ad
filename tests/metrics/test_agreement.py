"""The CIDEr-D that captions can expect, by matrix products, is the metric's own."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics.agreement import agreement
from seesay.metrics.cider import CiderD

WORDS = ["a", "dog", "cat", "runs", "sits", "on", "the", "red", "grass"]


def some(random: np.random.Generator, count: int, longest: int = 14) -> list[list[str]]:
    """Captions of few words, so that n-grams come again and again."""
    return [[WORDS[i] for i in random.integers(0, len(WORDS), random.integers(0, longest))] for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_similarity_with_all_others_as_references(seed: int) -> None:
    random = np.random.default_rng(seed)
    scorer = CiderD.fit({str(i): some(random, 3) for i in range(20)})
    captions, others = some(random, 7), some(random, 11)
    expected = [scorer.similarity(one, scorer.prepare(others)) for one in scorer.prepare(captions)]
    np.testing.assert_allclose(agreement(scorer, captions, others), expected, rtol=0, atol=1e-9)
    assert max(expected) > 0.1 and len(set(np.round(expected, 6))) > 4


def test_repeated_words_are_clipped_and_unseen_ones_weigh_most() -> None:
    scorer = CiderD.fit({"1": ["a dog"], "2": ["a cat"], "3": ["a zebra runs"]})
    others = [["dog", "dog", "yak"], ["yak"]]
    captions = [["dog", "dog", "dog", "yak"], ["yak", "yak"], ["a"]]
    expected = [scorer.similarity(one, scorer.prepare(others)) for one in scorer.prepare(captions)]
    np.testing.assert_allclose(agreement(scorer, captions, others), expected, rtol=0, atol=1e-12)
    assert expected[2] == 0 < expected[0]


def test_empty_and_equal_captions() -> None:
    scorer = CiderD.fit({"1": ["a dog runs home now"], "2": ["a cat"]})
    assert agreement(scorer, [[], ["a"]], [[], []]).tolist() == [0.0, 0.0]
    assert agreement(scorer, [], [["dog"]]).shape == (0,)
    same = ["dog", "runs", "home", "now"]
    assert agreement(scorer, [same], [same] * 3)[0] == pytest.approx(10)


def test_a_lone_caption_is_no_list() -> None:
    scorer = CiderD({("a",): 3}, 10)
    for some, others in (("a dog", ["a dog"]), (["a dog"], "a dog")):
        with pytest.raises(DataError, match=r"^agreement: received 'a dog'; expected a list of captions"):
            agreement(scorer, some, others)
