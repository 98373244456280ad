"""Batches of tagged sentences, in an order that depends on seed and epoch alone.

B sentences of up to T words, F ids a word, P words in all of a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.data.batches import batches
from seesay.data.conll import Sentence
from seesay.errors import DataError
from seesay.text.lexicon import PAD, UNKNOWN_TAG, Lexicon

_WINDOW = 16  # batches among which sentences of like length are put together


@dataclass(frozen=True)
class TagBatch:
    """Some sentences and their tags, filled up to the longest."""

    items: tuple[str, ...]  # which sentences these are, for messages
    ids: Any  # (B, T, F) int64, 0 beyond a sentence's end
    lengths: Any  # (B,) int64
    tags: Any  # (B, T) int64, -1 beyond the end, and for a tag that the lexicon does not know

    @property
    def targets(self) -> Any:
        """The tags (P,) of the words alone, sentence after sentence; of NumPy's batches only."""
        return self.tags[np.arange(self.tags.shape[1]) < self.lengths[:, None]]

    def map(self, fn: Callable[[Any], Any]) -> TagBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        return TagBatch(self.items, fn(self.ids), fn(self.lengths), fn(self.tags))


@dataclass(frozen=True)
class TagSet:
    """Encoded sentences, ready to be cut into batches.

    >>> lexicon = Lexicon.build([["a", "dog"]], [["DT", "NN"]], prefixes=0, suffixes=0, shape=False)
    >>> some = TagSet.build([Sentence(("a", "dog"), ("DT", "NN")), Sentence(("dog",), ("NN",))], lexicon)
    >>> [batch.tags.tolist() for batch in some.in_order(2)]
    [[[0, 1], [1, -1]]]
    """

    ids: NDArray[np.int64]  # (all words, F)
    tags: NDArray[np.int64]  # (all words,)
    lengths: NDArray[np.int64]  # (sentences,)

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
        found = cls(
            np.array(rows, dtype=np.int64).reshape(len(rows), len(lexicon.sizes)), np.array(tags, np.int64), lengths
        )
        if not unknown_tags and (found.tags == UNKNOWN_TAG).any():
            raise _unknown(sentences, lexicon)
        return found

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def digest(self) -> str:
        """SHA-256 over all ids and tags: a run resumes on the same data only."""
        digest = hashlib.sha256(str(self.ids.shape).encode())
        for array in (self.ids, self.tags, self.lengths):
            digest.update(array.astype("<i8").tobytes())
        return digest.hexdigest()

    def in_order(self, size: int) -> Iterator[TagBatch]:
        """Every sentence once, in the order given; for evaluation."""
        for start in range(0, len(self), size):
            yield self._batch(np.arange(start, min(start + size, len(self))))

    def shuffled(self, size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[TagBatch]:
        """The batches of one epoch from the `start`-th on; they depend on `seed` and `epoch` alone.

        Sentences of like length share a batch, as a recurrent network takes as many steps as the longest has words.
        """
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(self))
        window = size * _WINDOW
        for low in range(0, len(order), window):
            part = order[low : low + window]
            order[low : low + window] = part[np.argsort(self.lengths[part], kind="stable")]
        for position in random.permutation(batches(len(self), size))[start:]:
            yield self._batch(order[position * size : (position + 1) * size])

    def _batch(self, chosen: NDArray[np.intp]) -> TagBatch:
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[chosen]
        steps = np.arange(lengths.max())
        real = steps < lengths[:, None]
        words = (starts[chosen, None] + steps)[real]
        ids = np.full((*real.shape, self.ids.shape[1]), PAD, dtype=np.int64)
        tags = np.full(real.shape, UNKNOWN_TAG, dtype=np.int64)
        ids[real], tags[real] = self.ids[words], self.tags[words]
        return TagBatch(tuple(f"sentence {number + 1}" for number in chosen), ids, lengths, tags)


def hold_out(sentences: Sequence[Sentence], share: float, seed: int) -> tuple[list[Sentence], list[Sentence]]:
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
