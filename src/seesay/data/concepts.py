"""Batches of pictures with the concepts that their captions name, in an order that depends on seed and epoch alone.

B pictures, R regions, D feature size, C concepts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.data.batches import Features, batches, read_features
from seesay.data.records import Record
from seesay.text.concepts import ConceptWords
from seesay.text.ptb import VERSION, tokenize


@dataclass(frozen=True)
class ConceptBatch:
    """Some pictures, and what each of them shows."""

    ids: tuple[str, ...]
    features: Any  # (B, R, D) floating
    mask: Any  # (B, R) bool, True where a region is real
    concepts: Any  # (B, C) bool, True where a caption of the picture names the concept

    @property
    def items(self) -> tuple[str, ...]:
        """What the batch is made of, for messages."""
        return self.ids

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What a model is called with, in its order."""
        return self.features, self.mask

    def map(self, fn: Callable[[Any], Any]) -> ConceptBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        return ConceptBatch(self.ids, fn(self.features), fn(self.mask), fn(self.concepts))


@dataclass(frozen=True)
class ConceptSet:
    """The pictures of one split with the concepts that they show, ready to be cut into batches.

    `flipped` holds the features of the mirrored pictures: in training each picture is mirrored in half of the epochs.
    """

    records: tuple[Record, ...]
    named: tuple[tuple[int, ...], ...]  # the concepts of each record, in rising order
    count: int  # C
    features: Features
    flipped: Features | None = None

    @classmethod
    def build(
        cls, records: Sequence[Record], words: ConceptWords, features: Features, flipped: Features | None = None
    ) -> ConceptSet:
        """A picture shows a concept where one of its captions names it; what nobody mentions counts as not there."""
        named = tuple(
            tuple(words.encode(token for caption in record.captions for token in tokenize(caption)))
            for record in records
        )
        return cls(tuple(records), named, len(words), features, flipped)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def digest(self) -> str:
        """SHA-256 over which pictures show which concepts: a run resumes on the same data only."""
        text = json.dumps([VERSION, self.count, [record.id for record in self.records], self.named])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Which concepts all pictures show: (pictures, C)."""
        return self._shown(range(len(self)))

    def in_order(self, size: int) -> Iterator[ConceptBatch]:
        """Every picture once, in the order of the records, never mirrored; for evaluation."""
        for start in range(0, len(self), size):
            yield self._batch(range(start, min(start + size, len(self))), None)

    def shuffled(self, size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[ConceptBatch]:
        """The batches of one epoch from the `start`-th on; they depend on `seed` and `epoch` alone."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for position in range(start, batches(len(self), size)):
            yield self._batch(order[position * size : (position + 1) * size].tolist(), (seed, epoch))

    def _batch(self, chosen: Sequence[int], drawn: tuple[int, int] | None) -> ConceptBatch:
        some = [self.records[i] for i in chosen]
        features = read_features(self.features, self.flipped, [record.file for record in some], drawn)
        mask = np.ones(features.shape[:2], dtype=bool)
        return ConceptBatch(tuple(record.id for record in some), features, mask, self._shown(chosen))

    def _shown(self, chosen: Sequence[int]) -> NDArray[np.bool_]:
        shown = np.zeros((len(chosen), self.count), dtype=bool)
        for row, i in zip(shown, chosen, strict=True):
            row[list(self.named[i])] = True
        return shown
