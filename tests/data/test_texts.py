from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seesay.data.labels import Labelled
from seesay.data.texts import TextBatch, TextSet
from seesay.errors import DataError
from seesay.text.lexicon import UNK, Lexicon

TEXTS = [
    Labelled("pos", "the quiet dogs", "a.tsv:1"),
    Labelled("neg", "cats", "a.tsv:2"),
    Labelled("pos", "the cats ran home", "a.tsv:3"),
]


def lexicon_of(texts: list[Labelled], suffixes: int = 0) -> Lexicon:
    words, labels = [one.text.split() for one in texts], [[one.label for one in texts]]
    return Lexicon.build(words, labels, prefixes=0, suffixes=suffixes, shape=False, digits=False)


def many(count: int) -> list[Labelled]:
    """Texts that differ: the i-th is i % 30 + 1 times the word i."""
    return [Labelled("xy"[i % 2], " ".join([str(i)] * (i % 30 + 1)), str(i)) for i in range(count)]


def text_set(count: int) -> TextSet:
    return TextSet.build(many(count), lexicon_of(many(count)))


def numbers(batches) -> list[tuple[str, ...]]:
    return [batch.items for batch in batches]


def test_one_batch_holds_ids_lengths_and_labels_filled_up() -> None:
    lexicon = lexicon_of(TEXTS, suffixes=1)
    first, second = TextSet.build(TEXTS, lexicon).in_order(2)
    assert first.ids.tolist() == [
        [list(row) for row in lexicon.encode(["the", "quiet", "dogs"])],
        [list(lexicon.encode(["cats"])[0]), [0, 0], [0, 0]],
    ]
    assert first.lengths.tolist() == [3, 1] and first.labels.tolist() == [1, 0]
    assert (first.items, second.items) == (("a.tsv:1", "a.tsv:2"), ("a.tsv:3",))
    assert {array.dtype for array in (first.ids, first.lengths, first.labels)} == {np.dtype(np.int64)}


def test_texts_of_no_words_are_padding_alone() -> None:
    texts = [Labelled("pos", ""), Labelled("neg", " ")]
    batch = next(TextSet.build(texts, lexicon_of(TEXTS)).in_order(2))
    assert batch.ids.tolist() == [[[0]], [[0]]] and batch.lengths.tolist() == [0, 0]
    batch = next(TextSet.build([*texts, TEXTS[0]], lexicon_of(TEXTS)).in_order(3))
    assert batch.ids.shape == (3, 3, 1) and not batch.ids[:2].any() and batch.lengths.tolist() == [0, 0, 3]


def test_words_are_parted_as_asked() -> None:
    letters = TextSet.build([Labelled("pos", "cats")], lexicon_of([Labelled("pos", "c a t s")]), list)
    assert letters.lengths.tolist() == [4] and UNK not in letters.ids


def test_map_touches_every_array_and_nothing_else() -> None:
    batch = next(TextSet.build(TEXTS, lexicon_of(TEXTS)).in_order(3))
    doubled = batch.map(lambda array: array * 2)
    assert doubled.items == batch.items
    for field in dataclasses.fields(TextBatch)[1:]:
        np.testing.assert_array_equal(getattr(doubled, field.name), getattr(batch, field.name) * 2)


def test_an_unknown_label_is_told_or_counts_as_wrong() -> None:
    strange = [TEXTS[0], Labelled("meh", "cats", "b.tsv:7")]
    with pytest.raises(DataError, match=r"b\.tsv:7: received the label 'meh'; expected one of the 2 labels"):
        TextSet.build(strange, lexicon_of(TEXTS))
    batch = next(TextSet.build(strange, lexicon_of(TEXTS), unknown_labels=True).in_order(2))
    assert batch.labels.tolist() == [1, -1]


def test_no_text_is_an_error() -> None:
    with pytest.raises(DataError, match="received no text"):
        TextSet.build([], lexicon_of(TEXTS))


def test_an_epoch_holds_every_text_once() -> None:
    found = numbers(text_set(101).shuffled(20, seed=3, epoch=0))
    assert sorted(map(len, found)) == [1, 20, 20, 20, 20, 20]
    assert sorted(item for batch in found for item in batch) == sorted(map(str, range(101)))
    assert len(text_set(101)) == 101


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    some = text_set(50)
    first = numbers(some.shuffled(8, seed=3, epoch=1))
    assert numbers(text_set(50).shuffled(8, seed=3, epoch=1)) == first
    assert numbers(some.shuffled(8, seed=3, epoch=2)) != first
    assert numbers(some.shuffled(8, seed=4, epoch=1)) != first


@pytest.mark.parametrize("start", [0, 1, 6, 7, 9])
def test_an_epoch_resumes_where_it_stopped(start: int) -> None:
    whole = numbers(text_set(50).shuffled(8, seed=3, epoch=1))
    assert numbers(text_set(50).shuffled(8, seed=3, epoch=1, start=start)) == whole[start:]


def test_texts_of_like_length_share_a_batch_but_batches_come_in_any_order() -> None:
    found = list(text_set(320).shuffled(20, seed=1, epoch=0))
    assert max(int(np.ptp(batch.lengths)) for batch in found) <= 3  # of 1 to 30 words
    means = [batch.lengths.mean() for batch in found]
    assert means != sorted(means)


def test_every_batch_keeps_words_and_labels_together() -> None:
    for batch in text_set(64).shuffled(8, seed=1, epoch=0):
        for row, item in enumerate(batch.items):
            length = int(batch.lengths[row])
            assert length == int(item) % 30 + 1 and batch.labels[row] == int(item) % 2
            assert len(set(batch.ids[row, :length, 0].tolist())) == 1
            assert batch.ids[row, :length].all() and not batch.ids[row, length:].any()


def test_the_digest_tells_any_change() -> None:
    some = TextSet.build(TEXTS, lexicon_of(TEXTS))
    joined = Labelled("pos", "the quiet dogs cats")
    others = [
        dataclasses.replace(some, labels=1 - some.labels),
        TextSet.build(TEXTS[::-1], lexicon_of(TEXTS)),
        TextSet.build(TEXTS[:2], lexicon_of(TEXTS)),
        TextSet.build([joined, TEXTS[2]], lexicon_of(TEXTS)),
    ]
    assert len({one.digest for one in (some, *others)}) == 5
    assert TextSet.build(TEXTS, lexicon_of(TEXTS)).digest == some.digest
