"""The mixed reward against each score by itself, on the words that the ids stand for."""

from __future__ import annotations

import numpy as np
import pytest

from seesay.errors import DataError, UnknownName
from seesay.metrics import bleu
from seesay.metrics.cider import CiderD
from seesay.metrics.meteor import Meteor, MeteorMissing
from seesay.metrics.mixture import MixedReward
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import Vocabulary

REFERENCES = {
    "a": ["A red dog runs in the snow.", "The dog is red.", "A dog in the snow, running"],
    "b": ["A blue cat sits.", "One cat near the grass"],
    "c": ["There is a white horse on the grass.", "A horse, white as snow"],
}
WORDS = Vocabulary.build([tokenize(caption) for some in REFERENCES.values() for caption in some], 1)
SAID = [("a", "a red dog runs in the snow"), ("a", "the dog is red and"), ("b", "a cat in the"), ("c", "a white horse")]
ENDED = [True, False, False, True]


def ids() -> np.ndarray:
    rows = [WORDS.encode(text.split()) + [WORDS.eos] * end for (_, text), end in zip(SAID, ENDED, strict=True)]
    width = max(map(len, rows))
    # A sentence that was cut is as long as the longest; here its row is filled with <pad>, which is no word.
    return np.array(
        [row + [WORDS.eos if end else WORDS.pad] * (width - len(row)) for row, end in zip(rows, ENDED, strict=True)]
    )


def by_text(name: str, with_end: bool, documents: str) -> np.ndarray:
    ending = ["<eos>"] if with_end else []
    references = {p: [[*tokenize(caption), *ending] for caption in some] for p, some in REFERENCES.items()}
    found = []
    for (picture, text), end in zip(SAID, ENDED, strict=True):
        words = [word if word in WORDS.words else "<unk>" for word in text.split()] + ending * end
        if name == "CIDEr-D":
            scorer = CiderD.fit(references, documents)
            found.append(scorer.score({"x": words}, {"x": references[picture]}).corpus)
        else:
            found.append(bleu.score({"x": words}, {"x": references[picture]})["Bleu_4"].corpus)
    return np.array(found)


@pytest.mark.parametrize("with_end", [False, True])
@pytest.mark.parametrize("documents", ["picture", "caption"])
def test_each_score_and_their_sum(with_end: bool, documents: str) -> None:
    pictures = [picture for picture, _ in SAID]
    found = {}
    for weights in ({"CIDEr-D": 1.0}, {"Bleu_4": 1.0}, {"CIDEr-D": 0.5, "Bleu_4": 3.0, "METEOR": 0.0}):
        reward = MixedReward(REFERENCES, WORDS, weights, with_end=with_end, documents=documents)
        found["+".join(weights)] = reward(ids(), pictures)
    one, other, both = found.values()
    assert one == pytest.approx(by_text("CIDEr-D", with_end, documents), abs=1e-9)
    assert other == pytest.approx(by_text("Bleu_4", with_end, documents), abs=1e-12)
    assert both == pytest.approx(0.5 * one + 3 * other, abs=1e-12)
    assert one[0] > 1 and other[0] > 0.9


def test_meteor_is_of_the_words_alone() -> None:
    try:
        meteor = Meteor.load()
    except MeteorMissing:
        pytest.skip("METEOR's data is not installed")
    for with_end in (False, True):
        found = MixedReward(REFERENCES, WORDS, {"METEOR": 2.0}, with_end=with_end)(ids(), [p for p, _ in SAID])
        for value, (picture, text) in zip(found, SAID, strict=True):
            words = [word if word in WORDS.words else "<unk>" for word in text.split()]
            assert value == pytest.approx(2 * meteor.score({"x": words}, {"x": REFERENCES[picture]}).corpus, abs=1e-12)


def test_breaking_off_costs_more_where_the_end_is_a_word() -> None:
    whole = tokenize("a red dog runs in the snow")
    broken = whole[:-1]
    rows = np.array([[*WORDS.encode(whole), WORDS.eos], [*WORDS.encode(broken), WORDS.eos, WORDS.eos]])
    references = {**REFERENCES, "d": [" ".join(whole)]}
    lost = {}
    for with_end in (False, True):
        good, bad = MixedReward(references, WORDS, {"CIDEr-D": 1.0}, with_end=with_end)(rows, ["d", "d"])
        assert good == pytest.approx(10.0)
        lost[with_end] = good - bad
    assert lost[True] > 1.5 * lost[False] > 0


def test_what_cannot_be_judged_is_one_line() -> None:
    with pytest.raises(DataError, match="picture b has no references; expected at least one; give it a caption"):
        MixedReward({"a": ["a dog"], "b": []}, WORDS, {"CIDEr-D": 1.0})
    with pytest.raises(UnknownName, match="Did you mean 'Bleu_4'"):
        MixedReward(REFERENCES, WORDS, {"Bleu_3": 1.0})
    reward = MixedReward(REFERENCES, WORDS, {"Bleu_4": 1.0})
    with pytest.raises(DataError, match="picture z has no references") as fault:
        reward(ids(), ["a", "a", "z", "c"])
    assert "\n" not in str(fault.value)
