"""Batches of labelled texts, in an order that depends on seed and epoch alone.

B texts of up to T words, F ids a word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.data.labels import Labelled
from seesay.data.ragged import Ragged, digest_of, filled, rows_of
from seesay.errors import DataError
from seesay.text.lexicon import PAD, UNKNOWN_TAG, Lexicon
from seesay.text.tokens import Split


@dataclass(frozen=True)
class TextBatch:
    """Some texts and their labels, filled up to the longest."""

    items: tuple[str, ...]  # where these texts stand, for messages
    ids: Any  # (B, T, F) int64, 0 beyond a text's end; T is 1 or more
    lengths: Any  # (B,) int64
    labels: Any  # (B,) int64, -1 for a label that the lexicon does not know

    def map(self, fn: Callable[[Any], Any]) -> TextBatch:
        """The same batch with `fn` applied to every array, such as one that moves it to a device."""
        return TextBatch(self.items, fn(self.ids), fn(self.lengths), fn(self.labels))


@dataclass(frozen=True)
class TextSet(Ragged[TextBatch]):
    """Encoded texts, ready to be cut into batches. The labels are the tags of the lexicon.

    >>> lexicon = Lexicon.build([["see", "it"]], [["neg", "pos"]], prefixes=0, suffixes=0, shape=False)
    >>> some = TextSet.build([Labelled("pos", "see it"), Labelled("neg", "it")], lexicon)
    >>> [(batch.ids[:, :, 0].tolist(), batch.labels.tolist()) for batch in some.in_order(2)]
    [([[3, 2], [2, 0]], [1, 0])]
    """

    ids: NDArray[np.int64]  # (all words, F)
    labels: NDArray[np.int64]  # (texts,)
    lengths: NDArray[np.int64]  # (texts,)
    places: tuple[str, ...]

    @classmethod
    def build(
        cls, texts: Sequence[Labelled], lexicon: Lexicon, split: Split = str.split, *, unknown_labels: bool = False
    ) -> TextSet:
        """Encode the texts, whose words `split` parts.

        Raises DataError for no text at all, and for a label that the lexicon does not know. With `unknown_labels`,
        which is for dev and test, its id is -1: no loss counts it, and whatever a classifier says there is wrong.
        """
        if not texts:
            raise DataError("received no text; expected at least one; give a file that holds some.")
        words = [split(one.text) for one in texts]
        labels = lexicon.encode_tags([one.label for one in texts])
        for one, label in zip(texts, labels, strict=True):
            if label == UNKNOWN_TAG and not unknown_labels:
                raise DataError(
                    f"{one.place}: received the label {one.label[:40]!r}; expected one of the {len(lexicon.tags)} "
                    "labels of the training texts; correct it."
                )
        rows = [row for some in words for row in lexicon.encode(some)]
        ids = np.array(rows, dtype=np.int64).reshape(len(rows), len(lexicon.sizes))
        lengths = np.array([len(some) for some in words], dtype=np.int64)
        return cls(ids, np.array(labels, dtype=np.int64), lengths, tuple(one.place for one in texts))

    @property
    def digest(self) -> str:
        """SHA-256 over all ids and labels: a run resumes on the same data only."""
        return digest_of(self.ids, self.labels, self.lengths)

    def batch(self, chosen: NDArray[np.intp]) -> TextBatch:
        """The chosen texts, filled up to the longest."""
        words, real = rows_of(self.lengths, chosen, least=1)
        items = tuple(self.places[i] for i in chosen)
        return TextBatch(items, filled(self.ids[words], real, PAD), self.lengths[chosen], self.labels[chosen])
