from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from seesay.data.batches import batches, coin
from seesay.data.concepts import ConceptBatch, ConceptSet
from seesay.data.records import Record
from seesay.text.concepts import ConceptWords

WORDS = ConceptWords(("dog", "cat", "snow", "red"))
COUNT = 11


class Numbers:
    """Features that show which picture they are of, and on which side of the mirror."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def read(self, ids: Sequence[str]) -> np.ndarray:
        return np.array([[[self.sign * int(name)]] * 2 for name in ids], np.float16)

    def require(self, ids: Sequence[str], source: str = "") -> None:
        pass


def some_set(flipped: bool = True) -> ConceptSet:
    """Picture i shows a dog if i is odd, a cat if i is a multiple of 3, and snow never."""
    records = [
        Record(f"p{i}", str(i), "train", ("A Dog, a dog!" if i % 2 else "Nothing.", "The cat" if i % 3 == 0 else "?"))
        for i in range(COUNT)
    ]
    return ConceptSet.build(records, WORDS, Numbers(), Numbers(-1) if flipped else None)


def epoch(number: int = 0, seed: int = 1, start: int = 0, size: int = 4, flipped: bool = True) -> list[ConceptBatch]:
    return list(some_set(flipped).shuffled(size, seed=seed, epoch=number, start=start))


def contents(some: Sequence[ConceptBatch]) -> list[tuple[object, ...]]:
    return [(b.ids, b.features.tolist(), b.mask.tolist(), b.concepts.tolist()) for b in some]


def test_a_picture_shows_what_any_of_its_captions_names() -> None:
    shown = some_set().shown
    assert shown.dtype == bool and shown.shape == (COUNT, 4)
    assert shown.tolist() == [[i % 2 == 1, i % 3 == 0, False, False] for i in range(COUNT)]


@pytest.mark.parametrize("size", [1, 4, 11, 50])
def test_an_epoch_holds_every_picture_once_with_its_own_concepts(size: int) -> None:
    some = epoch(size=size)
    assert len(some) == batches(COUNT, size)
    assert sorted(name for batch in some for name in batch.ids) == sorted(f"p{i}" for i in range(COUNT))
    for batch in some:
        numbers = [int(name[1:]) for name in batch.ids]
        assert np.abs(batch.features[:, 0, 0]).tolist() == numbers
        assert batch.mask.shape == (len(numbers), 2) and batch.mask.all()
        assert batch.concepts[:, 0].tolist() == [i % 2 == 1 for i in numbers]
        assert batch.items == batch.ids


def test_the_mirror_falls_as_it_does_for_captions() -> None:
    for batch in epoch(3, size=5):
        signs = [-1 if coin(1, 3, name[1:]) else 1 for name in batch.ids]
        assert batch.features[:, 0, 0].tolist() == [
            sign * int(name[1:]) for sign, name in zip(signs, batch.ids, strict=True)
        ]
    plain = [batch.features.min() for batch in epoch(3, size=5, flipped=False)]
    assert min(plain) == 0
    assert all((batch.features >= 0).all() for batch in some_set().in_order(3)), "in evaluation nothing is mirrored"


def test_the_order_depends_on_seed_and_epoch_and_goes_on_from_any_position() -> None:
    whole = contents(epoch())
    assert contents(epoch()) == whole
    assert contents(epoch(start=2)) == whole[2:]
    assert contents(epoch(1)) != whole != contents(epoch(seed=2))


def test_in_order_is_in_order() -> None:
    assert [batch.ids for batch in some_set().in_order(8)] == [
        tuple(f"p{i}" for i in range(8)),
        tuple(f"p{i}" for i in range(8, 11)),
    ]


def test_map_reaches_every_array() -> None:
    batch = next(some_set().in_order(2)).map(lambda array: array.shape)
    assert batch.inputs == ((2, 2, 1), (2, 2)) and batch.concepts == (2, 4)


def test_the_digest_changes_with_what_is_learned_from() -> None:
    one = some_set()
    other = [Record(record.id, record.file, "train", ("Snow.",)) for record in one.records]
    digests = {
        one.digest,
        ConceptSet.build(other, WORDS, Numbers()).digest,
        ConceptSet.build(one.records[1:], WORDS, Numbers()).digest,
        ConceptSet.build(one.records, ConceptWords((*WORDS.words, "zebra")), Numbers()).digest,
    }
    assert len(digests) == 4
    assert some_set(flipped=False).digest == one.digest, "which features are read is told apart from this"
