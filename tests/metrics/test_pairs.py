from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.metrics import bleu, rouge
from seesay.metrics.cider import CiderD
from seesay.metrics.diversity import diversity, mutual_bleu
from seesay.metrics.meteor import Meteor
from seesay.metrics.mixture import MixedReward
from seesay.metrics.pairs import check_pairs, ngrams
from seesay.metrics.reward import CiderDReward
from seesay.text.vocabulary import Vocabulary


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


def scored(metric: str, references: Any) -> Any:
    """What a metric makes of one picture's caption and these references."""
    words = Vocabulary.build([["a", "dog"]], 1)
    if metric == "bleu":
        return bleu.score({"1": "a dog"}, references)
    if metric == "rouge":
        return rouge.score({"1": "a dog"}, references)
    if metric == "meteor":
        return Meteor({}).score({"1": "a dog"}, references)  # refused before any of its data is looked at
    if metric == "cider":
        return CiderD({}, 5).score({"1": "a dog"}, references)
    if metric == "cider-fit":
        return CiderD.fit(references)
    if metric == "mixture":
        return MixedReward(references, words, {"CIDEr-D": 1.0})
    return mutual_bleu(references)


METRICS = ["bleu", "rouge", "meteor", "cider", "cider-fit", "mixture", "mbleu"]


@pytest.mark.parametrize("metric", METRICS)
def test_a_lone_string_is_no_list_of_references(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meteor, "__init__", lambda *_: None)
    expected = "captions: picture 1 has the references 'a dog runs'; expected a list of strings; put even a single"
    with pytest.raises(DataError, match=f"^{expected}"):
        scored(metric, {"1": "a dog runs"})
    with pytest.raises(DataError, match=r"^(references|captions): received \['a dog'\]; expected a dict of captions"):
        scored(metric, ["a dog"])


def test_rewards_take_lists_by_number() -> None:
    words = Vocabulary.build([["a", "dog"]], 1)
    scorer = CiderD({("a",): 1, ("dog",): 1}, 4)
    with pytest.raises(DataError, match=r"^reward: received references by id; expected a list of them by number; give"):
        CiderDReward(scorer, {"1": ["a dog"]}, words)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^captions: picture 0 has the references 'a dog'; expected a list of strings"):
        CiderDReward(scorer, ["a dog"], words)
    with pytest.raises(DataError, match=r"^reward: received 'a dog'; expected a list of lists of captions"):
        CiderDReward(scorer, "a dog", words)
    by_list = CiderDReward(scorer, (some for some in [["a dog"]]), words)  # type: ignore[arg-type]
    assert by_list(np.array([[4, 5, 3]]), np.array([0])).tolist() == [pytest.approx(5.0)]


def test_training_captions_are_a_list() -> None:
    with pytest.raises(DataError, match=r"^training: received 'a dog'; expected a list of captions"):
        diversity({"1": "a dog"}, "a dog")
