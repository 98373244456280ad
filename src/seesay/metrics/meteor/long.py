"""Two long sentences: the same matches, bound and alignment as elsewhere in this folder, from arrays.

Sentences that say a word over and over have as many matches as the product of their lengths. Here places where the same
matches start share them, and of the ways that a path can go on only those that may be among the best are listed.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from seesay.metrics.meteor.align import (
    BEAM,
    CHUNK,
    DISTANCE,
    RANK,
    STAY,
    Match,
    Path,
    ended,
    grown,
    option,
    skip_all,
    take_all,
)
from seesay.metrics.meteor.lexicon import EXACT, PARAPHRASE
from seesay.metrics.meteor.sentences import Sentence, word_matches
from seesay.metrics.meteor.statistics import MATCHED_CONTENT, MATCHED_FUNCTION, Statistics, weigh

LONG = 100  # words, of both: below, lists are faster

_NEVER = np.iinfo(np.int64).max
_MODULES = len(MATCHED_CONTENT)

Integers = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Row = tuple[int, int, int, int]  # words in the reference, start and words in the candidate, module
_Back = dict[int, list[tuple[int, int, int, int]]]


class Rows:
    """The matches that start at a word of the reference, in their order."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = np.array(rows, np.int64).reshape(-1, 4)
        self.lengths, self.starts, self.sizes, self.modules = self._rows.T
        covered = np.where(self.modules == EXACT, self.lengths + self.sizes, (self.lengths >> 1) + (self.sizes >> 1))
        self.gain = covered * (CHUNK // DISTANCE << 16)  # what they take from a path's order, in units of a distance
        self.single = bool((self.sizes == 1).all())

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, place: int, number: int) -> Match:
        """One of them, as a match that starts at `place`."""
        length, start, size, module = self._rows[number].tolist()
        return place, length, start, size, module


class Counts(NamedTuple):
    """By how many matches of each module (M, words) the words of both sentences are covered."""

    candidate: Integers
    reference: Integers


class LongPair:
    """A candidate and a reference: what `possible_matches` finds between them, and what becomes of it."""

    def __init__(self, candidate: Sentence, reference: Sentence) -> None:
        self._candidate, self._reference = candidate.is_function, reference.is_function
        phrases, backward = _phrases_by_start(reference), _by_target(candidate)
        targets = {phrase[2]: targets for phrase, targets, _ in reference.sources}
        known: dict[Any, Rows] = {}
        self._rows: list[Rows] = []
        for place, related in enumerate(reference.related):
            key = id(related), *phrases[place]
            if key not in known:
                words = [match[1:] for match in word_matches(0, related, candidate.positions)]
                here = _forward(phrases[place], targets, candidate)
                known[key] = Rows([*words, *here, *_backward(phrases[place], backward)])
            self._rows.append(known[key])

    def bound(self) -> Statistics:
        """As `statistics.bound`."""
        here = _best_weights(self._counts.candidate, self._candidate)
        there = _best_weights(self._counts.reference, self._reference)
        matched, reference_matched = int((here > 0).sum()), int((there > 0).sum())
        chunks = 1 if matched < len(here) or reference_matched < len(there) else 0
        weights = weigh(self._candidate), weigh(self._reference)
        return Statistics(*weights, matched, reference_matched, int(here.sum()), int(there.sum()), chunks)

    def align(self) -> tuple[list[Match], int]:
        """As `align.align`."""
        candidate, reference = self._counts.candidate.sum(0), self._counts.reference.sum(0)
        paths: list[Path] = [(0, 0, 0, -1, None)]
        for place, rows in enumerate(self._rows):
            if not len(rows):
                paths = skip_all(paths, place)
                continue
            _, length, start, size, _ = match = rows.match(place, 0)
            alone = max(reference[place : place + length].max(), candidate[start : start + size].max()) == 1
            if len(rows) == 1 and alone:
                paths = take_all(paths, option(match))
            else:
                paths = _branch(paths, place, rows, len(self._candidate))
        return ended(paths)

    @cached_property
    def _counts(self) -> Counts:
        here = np.zeros((_MODULES, len(self._candidate) + 1), np.int64)
        there = np.zeros((_MODULES, len(self._reference) + 1), np.int64)
        places: dict[int, list[int]] = {}
        for place, rows in enumerate(self._rows):
            places.setdefault(id(rows), []).append(place)
        for some in places.values():
            rows, at = self._rows[some[0]], np.array(some)
            np.add.at(here, (rows.modules, rows.starts), len(at))
            np.add.at(here, (rows.modules, rows.starts + rows.sizes), -len(at))
            kinds = Counter(zip(rows.lengths.tolist(), rows.modules.tolist(), strict=True))
            for (length, module), count in kinds.items():
                there[module, at] += count
                there[module, at + length] -= count
        return Counts(here.cumsum(1)[:, :-1], there.cumsum(1)[:, :-1])


def _phrases_by_start(sentence: Sentence) -> list[list[tuple[int, int]]]:
    """For each word the known phrases that start there, the shortest first: number of words, place in the table."""
    found: list[list[tuple[int, int]]] = [[] for _ in sentence.is_function]
    for some in sentence.spots.values():
        for start, length, place in some:
            found[start].append((length, place))
    return [sorted(some) for some in found]


def _by_target(candidate: Sentence) -> _Back:
    """The candidate's phrases by their paraphrases: the two numbers of their turn, start, number of words."""
    found: _Back = {}
    for turn, ((start, length, _), targets, _) in enumerate(candidate.sources):
        for second, target in enumerate(targets):
            found.setdefault(target, []).append((turn, second, start, length))
    return found


def _forward(phrases: list[tuple[int, int]], targets: dict[int, tuple[int, ...]], candidate: Sentence) -> list[Row]:
    """Paraphrases from the reference to the candidate."""
    return [
        (length, start, size, PARAPHRASE)
        for length, place in phrases
        for target in targets.get(place, ())
        for start, size, _ in candidate.spots.get(target, ())
    ]


def _backward(phrases: list[tuple[int, int]], by_target: _Back) -> list[Row]:
    """Paraphrases from the candidate to the reference."""
    turns = sorted((*found, length) for length, place in phrases for found in by_target.get(place, ()))
    return [(length, start, size, PARAPHRASE) for _, _, start, size, length in turns]


def _best_weights(counts: Integers, is_function: list[bool]) -> Integers:
    """The most that each word could weigh, by the modules that match it."""
    function = np.array(MATCHED_FUNCTION)[:, None], np.array(MATCHED_CONTENT)[:, None]
    weights = np.where(counts > 0, np.where(np.array(is_function), *function), 0)
    return np.asarray(weights.max(0))


def _branch(paths: list[Path], place: int, rows: Rows, words: int) -> list[Path]:
    """Each path with each match that it has words free for, and without any: the best of them.

    A path's ways on differ by what they cover, whether they end a chunk, and the distances of those before them: of
    each path's, the first as many as there are paths are enough.
    """
    found = [path[0] + rank * RANK + STAY for rank, path in enumerate(paths) if path[2] > place]
    going = [rank for rank, path in enumerate(paths) if path[2] <= place]
    free = ~_blocked([paths[rank][1] for rank in going], rows, words)
    distance = np.where(free, abs(rows.starts - place), 0)
    after = distance.cumsum(1)
    ends = np.array([paths[rank][3] for rank in going], np.int64)[:, None]
    broken = (ends >= 0) & (ends != rows.starts)
    ways = np.where(free, after - distance + broken * (CHUNK // DISTANCE) - rows.gain, _NEVER)
    last = min(BEAM, len(rows)) - 1
    near = free & (ways <= np.partition(ways, last, axis=1)[:, last : last + 1])
    orders = [paths[rank][0] + rank * RANK for rank in going]
    for row, number, way in zip(*(part.tolist() for part in np.nonzero(near)), ways[near].tolist(), strict=True):
        found.append(orders[row] + way * DISTANCE + number)
    for order, rank, passed in zip(orders, going, after[:, -1].tolist(), strict=True):
        found.append(order + passed * DISTANCE + (CHUNK if paths[rank][3] >= 0 else 0) + STAY)
    found.sort()
    best = found[:BEAM]
    options = {order & STAY: option(rows.match(place, order & STAY)) for order in best if order & STAY != STAY}
    return [grown(order, paths[order % DISTANCE // RANK], place, options) for order in best]


def _blocked(used: list[int], rows: Rows, words: int) -> Bools:
    """Which of the matches (paths, matches) each path has no words free for; `used` are bits."""
    size = words // 8 + 1
    bits = np.frombuffer(b"".join(one.to_bytes(size, "little") for one in used), np.uint8).reshape(len(used), size)
    taken = np.unpackbits(bits, axis=1, bitorder="little")
    if rows.single:
        return taken[:, rows.starts].astype(bool)
    before = np.zeros((len(used), 8 * size + 1), np.int64)
    np.cumsum(taken, axis=1, out=before[:, 1:])
    return before[:, rows.starts + rows.sizes] > before[:, rows.starts]
