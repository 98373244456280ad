"""BLEU-1 to BLEU-4 as COCO computes them: clipped n-gram precision with a penalty for short captions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from seesay.metrics.pairs import ORDERS, Caption, Counts, Floats, Gram, Scores, Sums, count

# COCO adds these to every numerator and denominator; published scores carry them, so they are part of the metric.
_TINY, _SMALL = 1e-15, 1e-9


class _Statistics(NamedTuple):
    """What BLEU needs to know of a caption; a corpus is the sum over its captions."""

    length: int
    reference_length: int
    matches: tuple[int, ...]
    guesses: tuple[int, ...]


def score(candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]) -> dict[str, Scores]:
    """BLEU-1 to BLEU-4 of candidates (texts or tokens), each between 0 and 1, by name.

    The corpus scores come from the summed counts of all captions, not from the mean of the captions' scores. The
    brevity penalty uses the reference nearest in length, the shorter of two equally near.
    Raises DataError when the ids differ or there is no candidate. Source: Papineni et al. 2002, as in COCO's code.

    >>> scores = score({"1": ["a", "dog", "runs"]}, {"1": [["a", "dog", "sleeps"]]})
    >>> round(scores["Bleu_1"].corpus, 4), round(scores["Bleu_2"].per_id["1"], 4)
    (0.6667, 0.5774)
    """
    return score_counts(*count(candidates, references))


def score_counts(candidates: Mapping[str, Counts], references: Mapping[str, list[Counts]]) -> dict[str, Scores]:
    """`score` for n-grams that were counted already, by `pairs.count`."""
    statistics = {i: _statistics(counts, references[i]) for i, counts in candidates.items()}
    per_id = {i: _bleu(part) for i, part in statistics.items()}
    corpus = _bleu(_total(list(statistics.values())))
    rows = np.array(
        [[part.length, part.reference_length, *part.matches, *part.guesses] for part in statistics.values()]
    )
    return {
        f"Bleu_{n + 1}": Scores(
            corpus[n], {i: bleus[n] for i, bleus in per_id.items()}, Sums(rows.astype(float), partial(_combine, n=n))
        )
        for n in range(ORDERS)
    }


def _statistics(candidate: Counts, references: list[Counts]) -> _Statistics:
    length = candidate[0].total()
    nearest = min((abs(other - length), other) for other in (reference[0].total() for reference in references))[1]
    matches = tuple(_matches(candidate, references, n) for n in range(ORDERS))
    return _Statistics(length, nearest, matches, tuple(max(0, length - n) for n in range(ORDERS)))


def _matches(candidate: Counts, references: list[Counts], n: int) -> int:
    """The candidate's n-grams that a reference has too, each at most as often as in the reference richest in it."""
    most: dict[Gram, int] = {}
    for reference in references:
        for gram in candidate[n].keys() & reference[n].keys():
            most[gram] = max(most.get(gram, 0), reference[n][gram])
    return sum(min(times, candidate[n][gram]) for gram, times in most.items())


def _total(parts: list[_Statistics]) -> _Statistics:
    return _Statistics(
        sum(part.length for part in parts),
        sum(part.reference_length for part in parts),
        tuple(map(sum, zip(*(part.matches for part in parts), strict=True))),
        tuple(map(sum, zip(*(part.guesses for part in parts), strict=True))),
    )


def _bleu(part: _Statistics) -> list[float]:
    """BLEU-1 to BLEU-4 of the statistics: the geometric mean of the precisions times the brevity penalty."""
    ratio = (part.length + _TINY) / (part.reference_length + _SMALL)
    penalty = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    product, bleus = 1.0, []
    for n in range(ORDERS):
        product *= (part.matches[n] + _TINY) / (part.guesses[n] + _SMALL)
        bleus.append(product ** (1 / (n + 1)) * penalty)
    return bleus


def _combine(sums: Floats, n: int) -> Floats:
    """`_bleu` of many corpora at once: BLEU-(n + 1) of the summed statistics (S, 2 + 2 x ORDERS)."""
    matches, guesses = sums[:, 2 : 3 + n], sums[:, 2 + ORDERS : 3 + ORDERS + n]
    ratio = (sums[:, 0] + _TINY) / (sums[:, 1] + _SMALL)
    penalty = np.exp(np.minimum(0, 1 - 1 / ratio))
    precision = np.prod((matches + _TINY) / (guesses + _SMALL), axis=1)
    return np.asarray(precision ** (1 / (n + 1)) * penalty)
