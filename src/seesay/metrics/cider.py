"""CIDEr and CIDEr-D: agreement with the references on the n-grams that tell pictures apart."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from seesay.errors import DataError, UnknownName
from seesay.files import write_json
from seesay.metrics.pairs import ORDERS, Caption, Counts, Gram, Scores, by_id, count, ngrams, several
from seesay.text.json_file import read_json

SIGMA = 6.0
_DOCUMENTS = ("picture", "caption")
_FORMAT = "seesay-document-frequencies-1"


class Vector(NamedTuple):
    """A caption as CIDEr sees it: its n-grams, the norm of their TF-IDF weights for each n, its number of bigrams."""

    counts: Counts
    norms: list[float]
    bigrams: int


class _Consensus(ABC):
    """What CIDEr and CIDEr-D share: weights by document frequency and the mean cosine with the references."""

    def __init__(self, document_frequency: Mapping[Gram, int], documents: int) -> None:
        if documents < 1:
            raise DataError(f"document frequencies: {documents} documents; expected at least 1; give references.")
        self.document_frequency = dict(document_frequency)
        self.documents = documents
        self._unseen = math.log(documents)
        idf = {count: self._unseen - math.log(max(1, count)) for count in set(document_frequency.values())}
        self._idf = {gram: idf[count] for gram, count in document_frequency.items()}

    @classmethod
    def fit(cls, references: Mapping[str, Sequence[Caption]], per: str = "picture") -> Self:
        """A scorer whose document frequencies come from these references (id -> captions, texts or tokens).

        An n-gram counts once for each document that has it. A document is all the captions of a `per="picture"`, as
        in COCO's scores and in self-critical training (Rennie et al. 2017), or each `per="caption"`, as in the
        released code of Meshed-Memory and S2. With one document every weight is 0, so every score is 0; with few the
        weights mean little. Raises DataError when there are no references.
        """
        by_id("references", references)
        counted = {i: [ngrams(caption) for caption in several(i, some)] for i, some in references.items()}
        return cls.fit_counts(counted, per)

    @classmethod
    def fit_counts(cls, references: Mapping[str, list[Counts]], per: str = "picture") -> Self:
        """`fit` for n-grams that were counted already, by `pairs.count`."""
        if per not in _DOCUMENTS:
            raise UnknownName("document", per, _DOCUMENTS)
        whole = list(references.values())
        documents = whole if per == "picture" else [[caption] for captions in whole for caption in captions]
        frequency: Counter[Gram] = Counter()
        for captions in documents:
            frequency.update(set().union(*(order for caption in captions for order in caption)))
        return cls(frequency, len(documents))

    def save(self, path: Path | str) -> None:
        """Write the document frequencies as JSON, in one step; n-grams of one document weigh like unseen ones."""
        rows = sorted((" ".join(gram), n) for gram, n in self.document_frequency.items() if n > 1)
        content = {"format": _FORMAT, "documents": self.documents, "frequencies": dict(rows)}
        write_json(Path(path), content)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """A scorer with the document frequencies that `save` wrote; anything else raises DataError naming the file."""
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise DataError(f"{path}: not document frequencies of seesay; expected what CiderD.save wrote; fit again.")
        documents, rows = content.get("documents"), content.get("frequencies")
        if (
            type(documents) is not int
            or documents < 1
            or not isinstance(rows, dict)
            or not _are_counts(rows.values(), documents)
        ):
            raise DataError(f"{path}: damaged: expected counts between 1 and the number of documents; fit again.")
        return cls({tuple(gram.split(" ")): n for gram, n in rows.items()}, documents)

    def prepare(self, captions: Iterable[Caption]) -> list[Vector]:
        """The vectors of captions; keep those of references that are scored against again and again."""
        return [self.vector(ngrams(caption)) for caption in captions]

    def similarity(self, candidate: Vector, references: Sequence[Vector]) -> float:
        """The score (0 to 10) of one prepared candidate against its picture's prepared references."""
        total = sum(self._cosines(candidate, reference) for reference in references)
        return 10 * total / ORDERS / len(references)

    def score(self, candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]) -> Scores:
        """The score (0 to 10) of each candidate, a text or tokens; the corpus score is the mean.

        Raises DataError when the ids differ or there is no candidate.
        """
        return self.score_counts(*count(candidates, references))

    def score_counts(self, candidates: Mapping[str, Counts], references: Mapping[str, list[Counts]]) -> Scores:
        """`score` for n-grams that were counted already, by `pairs.count`."""
        vectors = {i: [self.vector(reference) for reference in some] for i, some in references.items()}
        return self.score_vectors({i: self.vector(counts) for i, counts in candidates.items()}, vectors)

    def score_vectors(self, candidates: Mapping[str, Vector], references: Mapping[str, Sequence[Vector]]) -> Scores:
        """`score` for vectors that were prepared already, by this scorer or one with the same frequencies."""
        per_id = {i: self.similarity(vector, references[i]) for i, vector in candidates.items()}
        return Scores(math.fsum(per_id.values()) / len(per_id), per_id)

    def weight(self, gram: Gram) -> float:
        """The logarithm of how many documents there are for each that has the n-gram."""
        return self._idf.get(gram, self._unseen)

    def vector(self, counts: Counts) -> Vector:
        """The vector of n-grams that were counted already."""
        get, unseen = self._idf.get, self._unseen
        norms = [math.hypot(*[times * get(gram, unseen) for gram, times in order.items()]) for order in counts]
        return Vector(counts, norms, counts[1].total())

    def _cosines(self, candidate: Vector, reference: Vector) -> float:
        """The cosines for n = 1 to 4, summed, with the metric's own clipping and penalty."""
        total = 0.0
        for n in range(ORDERS):
            norm = candidate.norms[n] * reference.norms[n]
            if norm:
                total += self._product(candidate.counts[n], reference.counts[n]) / norm
        return total * self._penalty(candidate, reference)

    def _product(self, candidate: Counter[Gram], reference: Counter[Gram]) -> float:
        """The inner product of two captions' weights for one n."""
        total = 0.0
        for gram, times in candidate.items():  # in the caption's order: a set's would change the last digit by run
            if gram in reference:
                total += self._times(times, reference[gram]) * self._idf.get(gram, self._unseen) ** 2
        return total

    @abstractmethod
    def _times(self, candidate: int, reference: int) -> int:
        """The product of an n-gram's two counts."""

    @abstractmethod
    def _penalty(self, candidate: Vector, reference: Vector) -> float:
        """The factor for a difference in length."""


def _are_counts(values: Iterable[Any], most: int) -> bool:
    return all(type(n) is int and 0 < n <= most for n in values)


class CiderD(_Consensus):
    """CIDEr-D, the score that COCO reports as "CIDEr": repeated words are clipped, another length is penalised.

    Build it with `fit` from references, or from precomputed document frequencies (n-gram -> pictures that have it).
    Each caption scores 0 to 10. Source: Vedantam et al. 2015, section 5 (sigma 6), as in COCO's code, whose length
    is the number of bigrams.

    >>> references = {"1": [["a", "dog", "runs"]], "2": [["a", "cat", "sleeps"]]}
    >>> scorer = CiderD.fit(references)
    >>> scores = scorer.score({"1": ["a", "dog", "runs"], "2": ["a", "dog", "sits"]}, references)
    >>> round(scores.per_id["1"], 9), scores.per_id["2"]
    (7.5, 0.0)
    """

    def _times(self, candidate: int, reference: int) -> int:
        return min(candidate, reference) * reference

    def _penalty(self, candidate: Vector, reference: Vector) -> float:
        return math.exp(-((candidate.bigrams - reference.bigrams) ** 2) / (2 * SIGMA**2))


class Cider(_Consensus):
    """Plain CIDEr: the cosine of the weights, without clipping and without a length penalty.

    Papers that say "CIDEr" nearly always mean CIDEr-D. Each caption scores 0 to 10. Source: Vedantam et al. 2015,
    equations 2 and 3.

    >>> references = {"1": [["a", "dog", "runs"]], "2": [["a", "cat", "sleeps"]]}
    >>> round(Cider.fit(references).score({"1": ["a", "dog"], "2": ["a", "cat"]}, references).corpus, 4)
    3.5355
    """

    def _times(self, candidate: int, reference: int) -> int:
        return candidate * reference

    def _penalty(self, candidate: Vector, reference: Vector) -> float:
        return 1.0
