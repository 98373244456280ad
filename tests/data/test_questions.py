"""Batches of questions: what stands where, in an order that seed and epoch decide."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from seesay.data.questions import AskBatch, QuestionSet, chance, encode_answer, pad_answers
from seesay.data.vqa import Asked, Question
from seesay.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

ASKED = [
    Asked("1", "a.jpg", "train", (Question("Why is it?"), Question("What is it?", "red dog", "other"))),
    Asked("2", "b.jpg", "train", (Question("Is it a dog?", "yes", "yes/no"),)),
    Asked("3", "c.jpg", "train", (Question("What?"), Question("Why red?", "zebra"), Question("Is it red?", "yes"))),
]
WORDS = Vocabulary.build([["why", "is", "it", "what", "a", "dog", "red", "yes"]], 1)
CONCEPTS = {one.id: np.full(4, int(one.id) / 8, np.float32) for one in ASKED}


class Store:
    """Features (R 2, D 3) that are the letter of the picture's file; mirrored, below zero."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def read(self, ids: Sequence[str]) -> np.ndarray:
        return np.stack([np.full((2, 3), self.sign * ord(name[0]), np.float16) for name in ids])

    def require(self, ids: Sequence[str], source: str = "") -> None:
        pass


def built(hidden: float = 0.0, flipped: bool = False) -> QuestionSet:
    mirrored = Store(-1) if flipped else None
    return QuestionSet.build(ASKED, WORDS, Store(), CONCEPTS, max_words=4, flipped=mirrored, hidden=hidden)


def test_a_batch_in_order() -> None:
    (batch,) = built().in_order(3)
    why, is_, it, what, red, dog, yes = WORDS.encode(["why", "is", "it", "what", "red", "dog", "yes"])
    assert batch.ids == batch.items == ("1", "2", "3")
    assert batch.rows.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.tokens[0].tolist() == [BOS, why, is_, it, EOS, PAD]
    assert batch.tokens[3].tolist() == [BOS, what, EOS, PAD, PAD, PAD]
    assert batch.answers.tolist() == [[PAD, PAD], [red, dog], [yes, PAD], [PAD, PAD], [UNK, PAD], [yes, PAD]]
    assert batch.concepts.tolist() == [[0.125] * 4, [0.25] * 4, [0.375] * 4]
    assert batch.features[:, 0, 0].tolist() == [ord(name) for name in "abc"]
    assert batch.mask.shape == (3, 2) and batch.mask.all()
    assert (batch.answers.dtype, batch.concepts.dtype) == (np.int64, np.float32)


def test_inputs_are_in_the_order_of_a_model_and_map_reaches_all() -> None:
    batch = next(built().in_order(1))
    names = [field.name for field in dataclasses.fields(AskBatch)]
    assert names == ["ids", "features", "mask", "concepts", "answers", "tokens", "rows"]
    doubled = batch.map(lambda array: array * 2)
    assert doubled.ids == batch.ids
    for found, array in zip(doubled.inputs, batch.inputs, strict=True):
        np.testing.assert_array_equal(found, array * 2)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    some = built(hidden=0.5, flipped=True)
    first = [[*map(np.ndarray.tolist, batch.inputs)] for batch in some.shuffled(2, seed=1, epoch=4)]
    again = [[*map(np.ndarray.tolist, batch.inputs)] for batch in some.shuffled(2, seed=1, epoch=4)]
    later = [[*map(np.ndarray.tolist, batch.inputs)] for batch in some.shuffled(2, seed=1, epoch=4, start=1)]
    assert first == again and later == first[1:]
    orders = {tuple(i for batch in some.shuffled(2, seed=1, epoch=e) for i in batch.ids) for e in range(9)}
    assert len(orders) > 1


def test_hidden_answers_are_drawn_anew_each_epoch_and_never_for_evaluation() -> None:
    some = built(hidden=0.5)
    shown = 0
    for epoch in range(200):
        for batch in some.shuffled(1, seed=3, epoch=epoch):
            known = {"1": [False, True], "2": [True], "3": [False, True, True]}[batch.ids[0]]
            seen = (batch.answers != PAD).any(axis=1).tolist()
            assert all(k or not s for k, s in zip(known, seen, strict=True))
            shown += sum(seen)
    assert shown == pytest.approx(400, abs=60)  # of 800, half
    (batch,) = some.in_order(3)
    assert (batch.answers[[1, 2, 4, 5]] != PAD).any(axis=1).all()
    hidden = built(hidden=1.0)
    assert all((batch.answers == PAD).all() for batch in hidden.shuffled(2, seed=1, epoch=1))


def test_the_digest_tells_questions_and_answers_apart() -> None:
    first = ASKED[2].questions[:2]
    other = [*ASKED[:2], dataclasses.replace(ASKED[2], questions=(*first, Question("Is it red?", "no")))]
    without = [*ASKED[:2], dataclasses.replace(ASKED[2], questions=first)]
    found = {
        QuestionSet.build(some, WORDS, Store(), CONCEPTS, max_words=4).digest for some in (ASKED, ASKED, other, without)
    }
    assert len(found) == 3


def test_long_answers_are_cut_and_none_at_all_is_padding() -> None:
    assert len(encode_answer("red " * 20, WORDS)) == 8
    assert encode_answer("", WORDS) == encode_answer(" ?", WORDS) == []
    assert pad_answers([[]]).tolist() == [[PAD]]
    assert pad_answers([]).shape == (0, 1)


def test_answers_that_are_cut_are_counted() -> None:
    eight, nine = "yes " * 8, "yes " * 9
    long = [Asked("1", "a.jpg", "train", tuple(Question("What?", answer) for answer in (eight, nine, nine)))]
    assert QuestionSet.build(long, WORDS, Store(), CONCEPTS, max_words=4).cut_answers == 2
    assert built().cut_answers == 0


def test_chances_are_even() -> None:
    drawn = [chance(1, epoch, f"{item}/0") for epoch in range(40) for item in range(50)]
    assert min(drawn) >= 0 and max(drawn) < 1
    assert np.histogram(drawn, bins=4, range=(0, 1))[0] == pytest.approx([500] * 4, rel=0.15)
