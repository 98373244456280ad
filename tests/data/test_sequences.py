from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seesay.data.conll import Sentence
from seesay.data.sequences import TagBatch, TagSet, hold_out
from seesay.errors import DataError
from seesay.text.lexicon import UNK, Lexicon

SENTENCES = [
    Sentence(("the", "dogs", "ran"), ("DT", "NNS", "VBD")),
    Sentence(("cats",), ("NNS",)),
    Sentence(("the", "cats", "ran", "home"), ("DT", "NNS", "VBD", "NN")),
]
LEXICON = Lexicon.build(*zip(*SENTENCES, strict=True), prefixes=0, suffixes=1, shape=False)


def many(count: int) -> list[Sentence]:
    """Sentences that differ: the i-th is i times the word i, up to 30."""
    return [Sentence((str(i),) * (i % 30 + 1), ("CD",) * (i % 30 + 1)) for i in range(count)]


def tag_set(count: int) -> TagSet:
    sentences = many(count)
    options = {"prefixes": 0, "suffixes": 0, "shape": False, "digits": False}
    return TagSet.build(sentences, Lexicon.build(*zip(*sentences, strict=True), **options))


def numbers(batches) -> list[tuple[str, ...]]:
    return [batch.items for batch in batches]


def test_one_batch_holds_ids_lengths_and_tags_filled_up() -> None:
    first, second = TagSet.build(SENTENCES, LEXICON).in_order(2)
    assert first.ids.tolist() == [
        [list(row) for row in LEXICON.encode(["the", "dogs", "ran"])],
        [list(LEXICON.encode(["cats"])[0]), [0, 0], [0, 0]],
    ]
    assert first.lengths.tolist() == [3, 1]
    assert first.tags.tolist() == [[0, 2, 3], [2, -1, -1]]
    assert first.items == ("sentence 1", "sentence 2")
    assert second.tags.tolist() == [[0, 2, 3, 1]]
    assert second.items == ("sentence 3",)
    assert {array.dtype for array in (first.ids, first.lengths, first.tags)} == {np.dtype(np.int64)}


def test_targets_are_the_tags_of_the_words_alone() -> None:
    first = next(TagSet.build(SENTENCES, LEXICON).in_order(3))
    assert first.targets.tolist() == [0, 2, 3, 2, 0, 2, 3, 1]


def test_map_touches_every_array_and_nothing_else() -> None:
    spelled = Lexicon.build(*zip(*SENTENCES, strict=True), characters=True)
    batch = next(TagSet.build(SENTENCES, spelled).in_order(3))
    doubled = batch.map(lambda array: array * 2)
    for field in dataclasses.fields(TagBatch):
        if field.name == "items":
            assert doubled.items == batch.items
        else:
            np.testing.assert_array_equal(getattr(doubled, field.name), getattr(batch, field.name) * 2)


def test_letters_come_word_by_word_up_to_the_longest() -> None:
    spelled = Lexicon.build(*zip(*SENTENCES, strict=True), characters=True)
    first, second = TagSet.build(SENTENCES, spelled).in_order(2)
    words = ["the", "dogs", "ran", "cats"]
    assert first.letters.tolist() == [[*spelled.spell(word), *[0] * (4 - len(word))] for word in words]
    assert first.inputs[2] is first.letters and len(second.inputs) == 3
    assert first.map(lambda array: array + 1).letters.min() == 1
    plain = next(TagSet.build(SENTENCES, LEXICON).in_order(2))
    assert plain.letters is None and plain.map(abs).letters is None and len(plain.inputs) == 2


def test_sentences_without_a_word_take_no_letters() -> None:
    spelled = Lexicon.build(*zip(*SENTENCES, strict=True), characters=True)
    batch = next(TagSet.build([Sentence((), ()), Sentence((), ())], spelled).in_order(2))
    assert batch.ids.shape == (2, 0, len(spelled.sizes)) and batch.letters.shape == (0, 1)


def test_an_unknown_tag_names_its_sentence() -> None:
    strange = [SENTENCES[0], Sentence(("oh", "dogs"), ("UH", "NNS"))]
    with pytest.raises(DataError, match=r"sentence 2, word 'oh': received the tag 'UH'; expected one of the 4 tags"):
        TagSet.build(strange, LEXICON)


def test_an_unknown_tag_may_count_as_wrong() -> None:
    strange = [Sentence(("oh", "dogs"), ("UH", "NNS"))]
    batch = next(TagSet.build(strange, LEXICON, unknown_tags=True).in_order(1))
    assert batch.tags.tolist() == [[-1, 2]]
    assert batch.targets.tolist() == [-1, 2]
    assert batch.ids[0, 0, 0] == UNK


def test_no_sentence_is_an_error() -> None:
    with pytest.raises(DataError, match="received no sentence"):
        TagSet.build([], LEXICON)


def test_an_epoch_holds_every_sentence_once() -> None:
    some = tag_set(101)
    found = numbers(some.shuffled(20, seed=3, epoch=0))
    assert sorted(map(len, found)) == [1, 20, 20, 20, 20, 20]
    assert sorted(item for batch in found for item in batch) == sorted(f"sentence {i + 1}" for i in range(101))
    assert len(some) == 101


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    some = tag_set(50)
    first = numbers(some.shuffled(8, seed=3, epoch=1))
    assert numbers(some.shuffled(8, seed=3, epoch=1)) == first
    assert numbers(tag_set(50).shuffled(8, seed=3, epoch=1)) == first
    assert numbers(some.shuffled(8, seed=3, epoch=2)) != first
    assert numbers(some.shuffled(8, seed=4, epoch=1)) != first


@pytest.mark.parametrize("start", [0, 1, 6, 7, 9])
def test_an_epoch_resumes_where_it_stopped(start: int) -> None:
    some = tag_set(50)
    whole = numbers(some.shuffled(8, seed=3, epoch=1))
    assert numbers(some.shuffled(8, seed=3, epoch=1, start=start)) == whole[start:]


def test_sentences_of_like_length_share_a_batch_but_batches_come_in_any_order() -> None:
    found = list(tag_set(320).shuffled(20, seed=1, epoch=0))
    assert max(int(np.ptp(batch.lengths)) for batch in found) <= 3  # of 1 to 30 words
    means = [batch.lengths.mean() for batch in found]
    assert means != sorted(means)


def test_what_is_in_a_batch_changes_between_epochs() -> None:
    some = tag_set(320)
    epochs = [{frozenset(items) for items in numbers(some.shuffled(8, seed=1, epoch=epoch))} for epoch in range(2)]
    assert len(epochs[0] & epochs[1]) < 4


def test_every_batch_keeps_words_and_tags_together() -> None:
    some = tag_set(64)
    for batch in some.shuffled(8, seed=1, epoch=0):
        for row, item in enumerate(batch.items):
            number, length = int(item.split()[1]) - 1, int(batch.lengths[row])
            assert length == number % 30 + 1
            assert len({tuple(ids) for ids in batch.ids[row, :length].tolist()}) == 1
            assert not batch.ids[row, length:].any()
            assert (batch.tags[row] >= 0).sum() == length


def test_the_digest_tells_any_change() -> None:
    some = TagSet.build(SENTENCES, LEXICON)
    tags = some.tags.copy()
    tags[0] = 1
    others = [
        dataclasses.replace(some, tags=tags),
        TagSet.build(SENTENCES[::-1], LEXICON),
        TagSet.build(SENTENCES[:2], LEXICON),
        TagSet.build([Sentence(SENTENCES[0].words + SENTENCES[1].words, ("DT", "NNS", "VBD", "NNS"))], LEXICON),
    ]
    assert len({one.digest for one in (some, *others)}) == 5
    assert TagSet.build(SENTENCES, LEXICON).digest == some.digest


def test_hold_out_is_repeatable_disjoint_and_in_order() -> None:
    sentences = many(100)
    train, dev = hold_out(sentences, 0.1, seed=7)
    assert (len(train), len(dev)) == (90, 10)
    assert sorted(train + dev, key=sentences.index) == sentences
    assert train == sorted(train, key=sentences.index)
    assert dev == sorted(dev, key=sentences.index)
    assert hold_out(sentences, 0.1, seed=7) == (train, dev)
    assert hold_out(sentences, 0.1, seed=8)[1] != dev


@pytest.mark.parametrize(("count", "share"), [(3, 0.1), (0, 0.5), (5, 0.95), (10, 0.0)])
def test_hold_out_leaves_something_on_either_side(count: int, share: float) -> None:
    with pytest.raises(DataError, match=f"received {count} sentences and a share of {share:g}"):
        hold_out(many(count), share, seed=0)
