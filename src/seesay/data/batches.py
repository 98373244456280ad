"""Batches of pictures with their captions, in an order that depends on seed and epoch alone.

B pictures, N captions, T tokens, R regions, D feature size.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from seesay.data.records import Record
from seesay.errors import DataError
from seesay.text.ptb import VERSION, tokenize
from seesay.text.vocabulary import BOS, EOS, PAD, Vocabulary


@dataclass(frozen=True)
class CaptionBatch:
    """Some pictures and all their captions; each picture stands once, however many captions it has."""

    ids: tuple[str, ...]
    features: Any  # (B, R, D) floating
    mask: Any  # (B, R) bool, True where a region is real
    tokens: Any  # (N, T) int64: <bos> words <eos> <pad>...
    rows: Any  # (N,) int64: the picture of each caption

    @property
    def items(self) -> tuple[str, ...]:
        """What the batch is made of, for messages."""
        return self.ids

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a model is called with, in its order."""
        return self.features, self.mask, self.tokens, self.rows

    def map(self, fn: Callable[[Any], Any]) -> CaptionBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        return CaptionBatch(self.ids, fn(self.features), fn(self.mask), fn(self.tokens), fn(self.rows))


class Features(Protocol):
    """What serves grid or region features by picture id; `seesay.data.features.FeatureStore` does."""

    def read(self, ids: Sequence[str]) -> NDArray[np.float16]:
        """Features (len(ids), R, D)."""

    def require(self, ids: Sequence[str], source: str = "") -> None:
        """Raise a DataError for the first of `ids` that has no features; `source` names the file that asked."""


@dataclass(frozen=True)
class CaptionSet:
    """The pictures of one split with their encoded captions, ready to be cut into batches.

    `flipped` holds the features of the mirrored pictures: in training each picture is mirrored in half of the epochs.
    `cut` captions were longer than is kept of them.
    """

    records: tuple[Record, ...]
    encoded: tuple[tuple[tuple[int, ...], ...], ...]  # words only, by record, by caption
    features: Features
    flipped: Features | None = None
    cut: int = 0

    @classmethod
    def build(
        cls,
        records: Sequence[Record],
        vocabulary: Vocabulary,
        features: Features,
        *,
        max_words: int,
        flipped: Features | None = None,
    ) -> CaptionSet:
        """Encode the captions of `records`; a caption of more than `max_words` words is cut there, and counted."""
        encoded = tuple(
            tuple(tuple(vocabulary.encode(tokenize(caption))) for caption in record.captions) for record in records
        )
        return cls(tuple(records), encoded, features, flipped).within(max_words)

    def within(self, words: int) -> CaptionSet:
        """The same captions, but none of more than `words` words: longer ones are cut there, and `cut` counts them."""
        long = sum(len(caption) > words for group in self.encoded for caption in group)
        if not long:
            return self
        encoded = tuple(tuple(caption[:words] for caption in group) for group in self.encoded)
        return dataclasses.replace(self, encoded=encoded, cut=long)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def digest(self) -> str:
        """SHA-256 over which pictures with which encoded captions: a run resumes on the same data only."""
        text = json.dumps([VERSION, [record.id for record in self.records], self.encoded])
        return hashlib.sha256(text.encode()).hexdigest()

    def in_order(self, size: int) -> Iterator[CaptionBatch]:
        """Every picture once, in the order of the records, never mirrored; for evaluation."""
        for start in range(0, len(self), size):
            yield self._batch(range(start, min(start + size, len(self))), None)

    def shuffled(self, size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[CaptionBatch]:
        """The batches of one epoch from the `start`-th on; they depend on `seed` and `epoch` alone."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for position in range(start, batches(len(self), size)):
            yield self._batch(order[position * size : (position + 1) * size].tolist(), (seed, epoch))

    def _batch(self, chosen: Sequence[int], drawn: tuple[int, int] | None) -> CaptionBatch:
        captions = [self.encoded[i] for i in chosen]
        rows = np.repeat(np.arange(len(captions)), [len(group) for group in captions])
        ids = tuple(self.records[i].id for i in chosen)
        features = read_features(self.features, self.flipped, [self.records[i].file for i in chosen], drawn)
        mask = np.ones(features.shape[:2], dtype=bool)
        return CaptionBatch(ids, features, mask, pad([words for group in captions for words in group]), rows)


def read_features(
    features: Features, flipped: Features | None, files: Sequence[str], drawn: tuple[int, int] | None
) -> NDArray[np.float16]:
    """Features (len(files), R, D); where seed and epoch are `drawn`, half of the pictures are mirrored by them."""
    if flipped is None or drawn is None:
        return features.read(files)
    mirrored = [coin(*drawn, file) for file in files]
    plain = [file for file, flip in zip(files, mirrored, strict=True) if not flip]
    other = [file for file, flip in zip(files, mirrored, strict=True) if flip]
    parts = [store.read(some) for store, some in ((features, plain), (flipped, other)) if some]
    place = {file: row for row, file in enumerate(plain + other)}
    return np.concatenate(parts)[[place[file] for file in files]]


def batches(items: int, size: int) -> int:
    """How many batches of `size` hold `items`, the last one perhaps smaller.

    >>> batches(101, 20)
    6
    """
    return -(-items // size)


def coin(seed: int, epoch: int, item: str) -> bool:
    """A coin that falls the same way for the same seed, epoch and item, in any process and in any order."""
    return bool(hashlib.sha256(f"{seed}/{epoch}/{item}".encode()).digest()[0] & 1)


def pad(captions: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Captions as one array (N, T) of <bos> words <eos>, filled up with <pad>.

    >>> pad([[7, 8], [9]]).tolist()
    [[2, 7, 8, 3], [2, 9, 3, 1]]
    """
    if not captions:
        raise DataError("A batch without captions; expected at least one caption a picture.")
    tokens = np.full((len(captions), max(map(len, captions)) + 2), PAD, dtype=np.int64)
    for row, words in zip(tokens, captions, strict=True):
        row[0], row[len(words) + 1] = BOS, EOS
        row[1 : len(words) + 1] = words
    return tokens
