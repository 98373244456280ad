"""Batches: their order, their mirroring and their padding."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from seesay.data.batches import CaptionBatch, CaptionSet, batches, coin, pad
from seesay.data.records import Record
from seesay.errors import DataError
from seesay.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

COUNT = 23


class Numbers:
    """Features that show which picture they are of, and on which side of the mirror."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def read(self, ids: Sequence[str]) -> np.ndarray:
        return np.array([[[self.sign * int(name)]] * 2 for name in ids], np.float16)

    def require(self, ids: Sequence[str], source: str = "") -> None:
        pass


def some_set(flipped: bool = True) -> CaptionSet:
    """Picture i has i % 3 + 1 captions of i words."""
    words = [f"w{i}" for i in range(5)]
    vocabulary = Vocabulary.build([words], 1)
    records = [
        Record(str(i), str(i), "train", tuple(" ".join((words * 5)[:i]) or "?" for _ in range(i % 3 + 1)))
        for i in range(COUNT)
    ]
    return CaptionSet.build(records, vocabulary, Numbers(), max_words=12, flipped=Numbers(-1) if flipped else None)


def contents(some: Sequence[CaptionBatch]) -> list[tuple[object, ...]]:
    return [(b.ids, b.features.tolist(), b.mask.tolist(), b.tokens.tolist(), b.rows.tolist()) for b in some]


def epoch(epoch: int = 0, seed: int = 1, start: int = 0, size: int = 4, flipped: bool = True) -> list[CaptionBatch]:
    return list(some_set(flipped).shuffled(size, seed=seed, epoch=epoch, start=start))


@pytest.mark.parametrize("size", [1, 4, 23, 50])
def test_an_epoch_holds_every_picture_once_with_its_own_captions(size: int) -> None:
    some = epoch(size=size)
    assert len(some) == batches(COUNT, size)
    assert sorted(int(name) for batch in some for name in batch.ids) == list(range(COUNT))
    for batch in some:
        numbers = [int(name) for name in batch.ids]
        assert np.abs(batch.features[:, 0, 0]).tolist() == numbers
        assert batch.mask.shape == (len(numbers), 2) and batch.mask.all()
        assert batch.rows.tolist() == [row for row, i in enumerate(numbers) for _ in range(i % 3 + 1)]
        lengths = [min(numbers[row], 12) for row in batch.rows]
        assert ((batch.tokens != PAD).sum(1) == np.array(lengths) + 2).all()
        assert batch.tokens.shape[1] == max(lengths) + 2


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    np.random.default_rng(9).random(100)
    assert contents(epoch()) == contents(epoch())
    orders = [tuple(name for batch in epoch(e, s) for name in batch.ids) for e in (0, 1, 2) for s in (1, 2)]
    assert len(set(orders)) == 6
    assert orders[0] != tuple(str(i) for i in range(COUNT))


@pytest.mark.parametrize("start", range(7))
def test_an_epoch_goes_on_from_any_position(start: int) -> None:
    assert contents(epoch(start=start)) == contents(epoch())[start:]


def test_the_mirror_changes_features_alone() -> None:
    for plain, mirrored in zip(epoch(flipped=False), epoch(), strict=True):
        assert plain.ids == mirrored.ids and plain.tokens.tolist() == mirrored.tokens.tolist()
        signs = [-1 if coin(1, 0, name) else 1 for name in plain.ids]
        assert mirrored.features[:, 0, 0].tolist() == [s * int(name) for s, name in zip(signs, plain.ids, strict=True)]


def test_a_picture_is_mirrored_in_half_of_the_epochs() -> None:
    for item in ("0", "a.jpg", "é"):
        assert 440 < sum(coin(1, e, item) for e in range(1000)) < 560
    assert 440 < sum(coin(1, 0, str(i)) for i in range(1000)) < 560
    assert len({tuple(coin(s, e, str(i)) for i in range(20)) for s in range(3) for e in range(3)}) == 9


def test_the_coin_falls_alike_in_every_process() -> None:
    ask = "from seesay.data.batches import coin; print([coin(3, e, 'a.jpg') for e in range(20)])"
    told = subprocess.run([sys.executable, "-c", ask], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True)
    assert told.stdout.strip() == str([coin(3, e, "a.jpg") for e in range(20)])


def test_in_order_is_in_order_and_never_mirrored() -> None:
    some = list(some_set().in_order(5))
    assert [int(name) for batch in some for name in batch.ids] == list(range(COUNT))
    assert all((batch.features >= 0).all() for batch in some)


def test_pad_by_hand() -> None:
    assert pad([[7, 8], [], [9]]).tolist() == [[BOS, 7, 8, EOS], [BOS, EOS, PAD, PAD], [BOS, 9, EOS, PAD]]
    assert pad([[]]).tolist() == [[BOS, EOS]]
    with pytest.raises(DataError, match="without captions"):
        pad([])


def test_words_out_of_the_vocabulary_are_unknown_and_long_captions_cut() -> None:
    vocabulary = Vocabulary.build([["dog"]], 1)
    record = Record("1", "1", "train", ("A dog, a DOG!", "dog dog dog dog dog"))
    some = CaptionSet.build([record], vocabulary, Numbers(), max_words=4)
    dog = vocabulary.encode(["dog"])[0]
    assert some.encoded == (((UNK, dog, UNK, dog), (dog,) * 4),)


def test_captions_that_are_cut_are_counted_whatever_cut_them() -> None:
    some = some_set()  # of 23 pictures, picture i with i % 3 + 1 captions of i words, at most 12 kept
    counts = {most: sum(i % 3 + 1 for i in range(COUNT) if i > most) for most in (12, 7, 1)}
    assert some.cut == counts[12] == 20
    assert some.within(12) is some and some.within(30) is some
    assert [some.within(most).cut for most in (7, 1)] == [counts[7], counts[1]]
    shorter = some.within(7)
    assert max(len(words) for group in shorter.encoded for words in group) == 7
    assert all(
        words == whole[:7]
        for group, wholes in zip(shorter.encoded, some.encoded, strict=True)
        for words, whole in zip(group, wholes, strict=True)
    )
    assert shorter.digest != some.digest


def test_a_caption_as_long_as_is_kept_is_not_cut() -> None:
    vocabulary = Vocabulary.build([["dog"]], 1)
    record = Record("1", "1", "train", ("dog " * 4, "dog " * 5, "?"))
    assert CaptionSet.build([record], vocabulary, Numbers(), max_words=4).cut == 1
    assert CaptionSet.build([record], vocabulary, Numbers(), max_words=5).cut == 0


def test_the_digest_knows_pictures_and_words() -> None:
    def digest(*captions: str, name: str = "1") -> str:
        vocabulary = Vocabulary.build([["dog", "cat"]], 1)
        return CaptionSet.build([Record(name, "1", "train", captions)], vocabulary, Numbers(), max_words=4).digest

    assert digest("a dog") == digest("A dog.")
    assert len({digest("a dog"), digest("a cat"), digest("a dog", "a cat"), digest("a dog", name="2")}) == 4


def test_map_reaches_every_array() -> None:
    batch = epoch()[0]
    doubled = batch.map(lambda array: array + array)
    assert doubled.ids == batch.ids and isinstance(doubled, CaptionBatch)
    for name in ("features", "tokens", "rows"):
        assert (getattr(doubled, name) == 2 * getattr(batch, name)).all()
