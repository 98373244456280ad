"""METEOR 1.5 for English without Java: matches by word, stem, WordNet synset and paraphrase, equal to the original.

Its data (WordNet's synsets, 5.3 million paraphrases) comes from the `pycocoevalcap` wheel (`pip install
'seesay[meteor]'`), is packed once into a file in the user's cache folder and mapped into memory from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from seesay.metrics.meteor.align import Match, align
from seesay.metrics.meteor.cache import MeteorMissing, open_cache
from seesay.metrics.meteor.lexicon import Lexicon
from seesay.metrics.meteor.long import LONG, LongPair
from seesay.metrics.meteor.normalize import Prefixes, normalize
from seesay.metrics.meteor.phrases import PhraseTable
from seesay.metrics.meteor.sentences import Sentence, possible_matches, prepare
from seesay.metrics.meteor.statistics import Statistics, bound, combine, gather, score, total
from seesay.metrics.meteor.store import Arrays
from seesay.metrics.pairs import Caption, Scores, Sums, check_pairs, tokens_of

__all__ = ["Meteor", "MeteorMissing", "scores_of"]

_BATCH = 128  # pictures: their sentences are looked up together
_ROUNDING = 1e-9


class Meteor:
    """METEOR 1.5, English, as COCO runs it; `Meteor.load()` makes one.

    Source: Denkowski and Lavie 2014, with the parameters alpha 0.85, beta 0.2, gamma 0.6, delta 0.75.

    >>> try:
    ...     scorer = Meteor.load()
    ... except MeteorMissing:
    ...     print(1.0)
    ... else:
    ...     print(scorer.score({"1": ["a", "dog", "runs"]}, {"1": [["a", "dog", "runs"], ["dogs"]]}).corpus)
    1.0
    """

    def __init__(self, arrays: Arrays) -> None:
        self._prefixes = Prefixes.read(bytes(arrays["prefixes"]).decode())
        self._lexicon = Lexicon(arrays)
        self._table = PhraseTable(arrays)

    @classmethod
    def load(cls, cache: Path | None = None, progress: Callable[[str], None] | None = None) -> Meteor:
        """A scorer on the packed data in the file `cache`, which is built first where it is absent or damaged.

        Without `cache` the file lies in $SEESAY_CACHE, else $XDG_CACHE_HOME/seesay, else ~/.cache/seesay. Building
        takes most of a minute and tells `progress` how far it is. Raises MeteorMissing when the file must be built
        and pycocoevalcap is not installed, DataError when its data is damaged or the file cannot be written.
        """
        return cls(open_cache(cache, progress or (lambda message: None)))

    def score(self, candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]) -> Scores:
        """The score (0 to 1) of each candidate, a text or tokens, against the reference that suits it best.

        The corpus score comes from the summed statistics of those pairs, not from the mean of the scores. An empty
        candidate scores 0. Raises DataError when the ids differ or there is no candidate.
        """
        check_pairs(candidates, references)
        return scores_of(self.statistics(candidates, references))

    def statistics(
        self, candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]
    ) -> dict[str, Statistics]:
        """What the score of each picture is made of; pictures may be taken in parts, in any order."""
        best: dict[str, Statistics] = {}
        ids = iter(candidates)
        while batch := list(islice(ids, _BATCH)):
            best.update(self._batch({i: _line(candidates[i]) for i in batch}, {i: references[i] for i in batch}))
        return best

    def _batch(self, candidates: dict[str, str], references: dict[str, Sequence[Caption]]) -> dict[str, Statistics]:
        lines = {i: [line for tokens in captions for line in _lines(tokens)] for i, captions in references.items()}
        distinct = list(dict.fromkeys([*candidates.values(), *(line for group in lines.values() for line in group)]))
        prepared = prepare([normalize(line, self._prefixes) for line in distinct], self._lexicon, self._table)
        sentences = dict(zip(distinct, prepared, strict=True))
        return {
            i: _best(sentences[candidate], [sentences[line] for line in lines[i]])
            for i, candidate in candidates.items()
        }


class _Pair:
    """A candidate and a reference of which one at least is as short as captions are."""

    def __init__(self, candidate: Sentence, reference: Sentence) -> None:
        self._words = candidate.is_function, reference.is_function
        self._possible = possible_matches(candidate, reference)

    def bound(self) -> Statistics:
        return bound(*self._words, self._possible)

    def align(self) -> tuple[list[Match], int]:
        return align(self._possible, len(self._words[0]))


def _pair(candidate: Sentence, reference: Sentence) -> _Pair | LongPair:
    long = min(len(candidate.is_function), len(reference.is_function)) >= LONG
    return LongPair(candidate, reference) if long else _Pair(candidate, reference)


def scores_of(statistics: Mapping[str, Statistics]) -> Scores:
    """The scores of pictures, and of the corpus they make up."""
    sums = Sums(np.array([*statistics.values()], float), combine)
    per_id = {i: score(part) for i, part in statistics.items()}
    return Scores(score(total(statistics.values())), per_id, sums)


def _line(caption: Caption) -> str:
    """A candidate as COCO hands it to METEOR."""
    return " ".join(tokens_of(caption)).replace("|||", "").replace("  ", " ")


def _lines(caption: Caption) -> list[str]:
    """A reference as COCO hands it to METEOR, where three bars begin another reference."""
    return " ".join(tokens_of(caption)).split("|||")


def _best(candidate: Sentence, references: list[Sentence]) -> Statistics:
    """The statistics with the reference that gives the best score, the first of equally good ones.

    References are aligned in the order of the most that they could give; those that cannot win are left alone.
    """
    pairs = [_pair(candidate, reference) for reference in references]
    bounds = [score(pair.bound()) for pair in pairs]
    best, found, place = -1.0, Statistics(), 0
    for n in sorted(range(len(references)), key=lambda n: -bounds[n]):
        if bounds[n] < best - _ROUNDING:
            break
        matches, chunks = pairs[n].align()
        statistics = gather(candidate.is_function, references[n].is_function, matches, chunks)
        reached = score(statistics)
        if reached > best or (reached == best and n < place):
            best, found, place = reached, statistics, n
    return found
