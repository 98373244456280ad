"""Batches of tagged sentences, in an order that depends on seed and epoch alone.

B sentences of up to T words, F ids a word, P words in all of a batch, C letters of its longest word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seesay.data.conll import Sentence
from seesay.data.ragged import Ragged, digest_of, filled, rows_of
from seesay.errors import DataError
from seesay.text.lexicon import LONGEST_WORD, PAD, UNKNOWN_TAG, Lexicon

Some = TypeVar("Some")


@dataclass(frozen=True)
class TagBatch:
    """Some sentences and their tags, filled up to the longest."""

    items: tuple[str, ...]  # which sentences these are, for messages
    ids: Any  # (B, T, F) int64, 0 beyond a sentence's end
    lengths: Any  # (B,) int64
    tags: Any  # (B, T) int64, -1 beyond the end, and for a tag that the lexicon does not know
    letters: Any = None  # (P, C) int64 of the words alone, 0 beyond a word's end; None where they are not spelled

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a tagger is called with."""
        return (self.ids, self.lengths) if self.letters is None else (self.ids, self.lengths, self.letters)

    @property
    def targets(self) -> Any:
        """The tags (P,) of the words alone, sentence after sentence; of NumPy's batches only."""
        return self.tags[np.arange(self.tags.shape[1]) < self.lengths[:, None]]

    def map(self, fn: Callable[[Any], Any]) -> TagBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        letters = None if self.letters is None else fn(self.letters)
        return TagBatch(self.items, fn(self.ids), fn(self.lengths), fn(self.tags), letters)


@dataclass(frozen=True)
class TagSet(Ragged[TagBatch]):
    """Encoded sentences, ready to be cut into batches.

    >>> lexicon = Lexicon.build([["a", "dog"]], [["DT", "NN"]], prefixes=0, suffixes=0, shape=False)
    >>> some = TagSet.build([Sentence(("a", "dog"), ("DT", "NN")), Sentence(("dog",), ("NN",))], lexicon)
    >>> [batch.tags.tolist() for batch in some.in_order(2)]
    [[[0, 1], [1, -1]]]
    """

    ids: NDArray[np.int64]  # (all words, F)
    tags: NDArray[np.int64]  # (all words,)
    lengths: NDArray[np.int64]  # (sentences,)
    spellings: NDArray[np.int32] | None = None  # (different words, C)
    spelling: NDArray[np.int64] | None = None  # (all words,) which of these each one has

    @classmethod
    def build(cls, sentences: Sequence[Sentence], lexicon: Lexicon, *, unknown_tags: bool = False) -> TagSet:
        """Encode the sentences.

        A tag that the lexicon does not know is a DataError that names the sentence. With `unknown_tags`, which is for
        dev and test, its id is -1: no loss counts it, and whatever a tagger says there is wrong.
        """
        if not sentences:
            raise DataError("received no sentence; expected at least one; give a file that holds some.")
        lengths = np.array([len(sentence.words) for sentence in sentences], dtype=np.int64)
        rows = [row for sentence in sentences for row in lexicon.encode(sentence.words)]
        tags = [tag for sentence in sentences for tag in lexicon.encode_tags(sentence.tags)]
        ids = np.array(rows, dtype=np.int64).reshape(len(rows), len(lexicon.sizes))
        letters = _spelled(sentences, lexicon) if lexicon.characters else (None, None)
        found = cls(ids, np.array(tags, np.int64), lengths, *letters)
        if not unknown_tags and (found.tags == UNKNOWN_TAG).any():
            raise _unknown(sentences, lexicon)
        return found

    @property
    def digest(self) -> str:
        """SHA-256 over all ids and tags: a run resumes on the same data only."""
        spelled = () if self.spellings is None or self.spelling is None else (self.spellings, self.spelling)
        return digest_of(self.ids, self.tags, self.lengths, *spelled)

    def batch(self, chosen: NDArray[np.intp]) -> TagBatch:
        """The chosen sentences, filled up to the longest."""
        words, real = rows_of(self.lengths, chosen)
        ids, tags = filled(self.ids[words], real, PAD), filled(self.tags[words], real, UNKNOWN_TAG)
        items = tuple(f"sentence {number + 1}" for number in chosen)
        return TagBatch(items, ids, self.lengths[chosen], tags, self._letters(words))

    def _letters(self, words: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The letters of these of all words, up to the end of the longest."""
        if self.spellings is None or self.spelling is None:
            return None
        letters = self.spellings[self.spelling[words]].astype(np.int64)
        return letters[:, : max(1, int((letters != PAD).sum(1).max(initial=0)))]


def hold_out(sentences: Sequence[Some], share: float, seed: int) -> tuple[list[Some], list[Some]]:
    """Most sentences to train on, and a `share` of them drawn by `seed` to choose by; each keeps the given order.

    Raises DataError where one of the two would be empty.

    >>> train, dev = hold_out([Sentence((word,), ("X",)) for word in "abcdefghij"], share=0.2, seed=1)
    >>> len(train), len(dev)
    (8, 2)
    """
    count = round(share * len(sentences))
    if not 0 < count < len(sentences):
        raise DataError(
            f"received {len(sentences)} sentences and a share of {share:g} to hold out; expected at least one sentence "
            "on either side; give more sentences or another share."
        )
    held = set(np.random.default_rng(seed).permutation(len(sentences))[:count].tolist())
    train = [sentence for number, sentence in enumerate(sentences) if number not in held]
    return train, [sentences[number] for number in sorted(held)]


def _spelled(sentences: Sequence[Sentence], lexicon: Lexicon) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """How each different word is spelled, a row each, and the row of every word."""
    rows: dict[str, int] = {}
    spelling = [rows.setdefault(word, len(rows)) for sentence in sentences for word in sentence.words]
    spellings = np.full((len(rows), LONGEST_WORD), PAD, dtype=np.int32)
    for word, row in rows.items():
        letters = lexicon.spell(word)
        spellings[row, : len(letters)] = letters
    return spellings, np.array(spelling, dtype=np.int64)


def _unknown(sentences: Sequence[Sentence], lexicon: Lexicon) -> DataError:
    """The error for the first tag that the lexicon does not know."""
    number, sentence = next(
        (number, sentence)
        for number, sentence in enumerate(sentences, start=1)
        if UNKNOWN_TAG in lexicon.encode_tags(sentence.tags)
    )
    word, tag = next(pair for pair in zip(*sentence, strict=True) if UNKNOWN_TAG in lexicon.encode_tags(pair[1:]))
    return DataError(
        f"sentence {number}, word {word[:40]!r}: received the tag {tag[:40]!r}; expected one of the "
        f"{len(lexicon.tags)} tags of the training sentences; correct it or build the lexicon from these sentences."
    )
