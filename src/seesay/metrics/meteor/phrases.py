"""Which stretches of sentences the paraphrase table knows, and which of them it takes for one another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from seesay.metrics.meteor.hashing import PHRASE_WORDS, SEED, Hashes, extend, hash_word
from seesay.metrics.meteor.store import Arrays

_hash_word = lru_cache(1 << 16)(hash_word)


# A stretch of a sentence that the table knows: where it starts, its number of words, its place in the table.
Phrase = tuple[int, int, int]
Integers = np.ndarray[Any, np.dtype[np.int64]]


class PhraseTable:
    """The paraphrase table, looked up for many sentences at a time."""

    def __init__(self, arrays: Arrays) -> None:
        self._hashes, self._starts, self._targets = (
            arrays[name] for name in ("phrase_hashes", "target_starts", "targets")
        )
        self._present = np.zeros(len(self._hashes), bool)

    def find(self, sentences: Sequence[Sequence[str]]) -> tuple[list[list[Phrase]], dict[int, tuple[int, ...]]]:
        """The known phrases of each sentence, by start, then by length, and the paraphrases of each by place.

        Phrases without a paraphrase in these sentences are left out, and so are paraphrases that are not in them. The
        paraphrases stand in the table's order.
        """
        found = self._all_phrases(sentences)
        sources, targets = self._pairs(np.unique(found[3]))
        self._present[sources] = self._present[targets] = True
        found = found[:, self._present[found[3]]]
        self._present[sources] = self._present[targets] = False
        table: dict[int, list[int]] = {}
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            table.setdefault(source, []).append(target)
        return _by_sentence(found, len(sentences)), {source: tuple(targets) for source, targets in table.items()}

    def _all_phrases(self, sentences: Sequence[Sequence[str]]) -> Integers:
        """The number of the sentence, start, length and place (4, N) of each known phrase."""
        counts = np.fromiter(map(len, sentences), np.int64, len(sentences))
        words = np.fromiter((_hash_word(word) for words in sentences for word in words), np.uint64, counts.sum())
        sentence, first = np.repeat(np.arange(len(counts)), counts), np.repeat(np.cumsum(counts) - counts, counts)
        starts, hashes = np.arange(len(words)), np.full(len(words), SEED, np.uint64)
        ends = first + np.repeat(counts, counts)
        found = []
        for length in range(1, PHRASE_WORDS + 1):
            fits = starts + length <= ends[starts]
            starts = starts[fits]
            hashes = extend(hashes[fits], words[starts + length - 1])
            known, places = self._places(hashes)
            at = starts[known]
            found.append(np.stack((sentence[at], at - first[at], np.full(len(at), length), places)))
        return np.concatenate(found, axis=1)

    def _pairs(self, places: Integers) -> tuple[Integers, Integers]:
        """Source and target of each paraphrase whose phrases are both among `places`, which are sorted."""
        starts = self._starts[places].astype(np.int64)
        counts = self._starts[places + 1].astype(np.int64) - starts
        rows = np.repeat(np.arange(len(places)), counts)
        targets = self._targets[np.arange(len(rows)) + (starts - (np.cumsum(counts) - counts))[rows]].astype(np.int64)
        self._present[places] = True
        kept = self._present[targets]
        self._present[places] = False
        return places[rows[kept]], targets[kept]

    def _places(self, hashes: Hashes) -> tuple[Integers, Integers]:
        """Which of the given phrases (as indices) the table knows, and where they lie in it."""
        unique, inverse = np.unique(hashes, return_inverse=True)  # sorted queries walk the mapped file forwards
        places = np.minimum(self._hashes.searchsorted(unique), len(self._hashes) - 1)
        known = np.flatnonzero((self._hashes[places] == unique)[inverse])
        return known, places[inverse[known]]


def _by_sentence(found: Integers, sentences: int) -> list[list[Phrase]]:
    phrases: list[list[Phrase]] = [[] for _ in range(sentences)]
    number, start, length, place = found[:, np.lexsort(found[2::-1])].tolist()
    for sentence, phrase in zip(number, zip(start, length, place, strict=True), strict=True):
        phrases[sentence].append(phrase)
    return phrases
