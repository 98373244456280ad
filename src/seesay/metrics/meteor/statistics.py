"""METEOR's statistics of an aligned pair, and the score they give, for one caption or summed over many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from seesay.metrics.meteor.align import Match
from seesay.metrics.pairs import Floats

_ALPHA, _BETA, _GAMMA = 0.85, 0.2, 0.6

# Weights in hundredths, so that sums are exact: delta (0.75) for content words, 1 - delta for function words, ...
_CONTENT, _FUNCTION = 75, 25
# ... each times the weight of the module that matched it: exact 1, stem 0.6, synonym 0.8, paraphrase 0.6.
MATCHED_CONTENT, MATCHED_FUNCTION = (75, 45, 60, 45), (25, 15, 20, 15)


class Statistics(NamedTuple):
    """What the score of a candidate (or of a corpus, by addition) depends on; weights are in hundredths."""

    weight: int = 0
    reference_weight: int = 0
    matched: int = 0
    reference_matched: int = 0
    matched_weight: int = 0
    reference_matched_weight: int = 0
    chunks: int = 0


def weigh(is_function: Iterable[bool]) -> int:
    """The weight of a sentence's words."""
    return sum(_FUNCTION if function else _CONTENT for function in is_function)


def gather(candidate: Sequence[bool], reference: Sequence[bool], matches: list[Match], chunks: int) -> Statistics:
    """The statistics of an alignment; a sentence is given as whether each of its words is a function word."""
    matched = reference_matched = matched_weight = reference_matched_weight = 0
    for start, length, candidate_start, candidate_length, module in matches:
        matched += candidate_length
        reference_matched += length
        content, function = MATCHED_CONTENT[module], MATCHED_FUNCTION[module]
        for is_function in candidate[candidate_start : candidate_start + candidate_length]:
            matched_weight += function if is_function else content
        for is_function in reference[start : start + length]:
            reference_matched_weight += function if is_function else content
    if chunks == 1 and matched == len(candidate) and reference_matched == len(reference):
        chunks = 0  # nothing is out of order: no penalty here, nor any share in the corpus's
    return Statistics(
        weigh(candidate),
        weigh(reference),
        matched,
        reference_matched,
        matched_weight,
        reference_matched_weight,
        chunks,
    )


def bound(candidate: Sequence[bool], reference: Sequence[bool], possible: Sequence[Sequence[Match]]) -> Statistics:
    """Statistics that no alignment made of `possible` can beat: each word matched as well as it could be, in one chunk.

    The score grows with each matched weight and number, and falls with the chunks.
    """
    here, there = [0] * len(candidate), [0] * len(reference)
    for matches in possible:
        for start, length, candidate_start, candidate_length, module in matches:
            content, function = MATCHED_CONTENT[module], MATCHED_FUNCTION[module]
            for place in range(candidate_start, candidate_start + candidate_length):
                here[place] = max(here[place], function if candidate[place] else content)
            for place in range(start, start + length):
                there[place] = max(there[place], function if reference[place] else content)
    chunks = 1 if 0 in here or 0 in there else 0
    matched, reference_matched = len(here) - here.count(0), len(there) - there.count(0)
    return Statistics(weigh(candidate), weigh(reference), matched, reference_matched, sum(here), sum(there), chunks)


def total(parts: Iterable[Statistics]) -> Statistics:
    """The statistics of a corpus."""
    return Statistics(*map(sum, zip(Statistics(), *parts, strict=True)))


def score(statistics: Statistics) -> float:
    """METEOR, 0 to 1.

    The harmonic mean of weighted precision and recall (recall weighs 0.85), less a penalty that grows with the number
    of chunks per matched word. Source: Denkowski and Lavie 2011, equations 1 to 4; parameters of METEOR 1.5, English.
    """
    if not (statistics.matched_weight and statistics.reference_matched_weight):
        return 0.0
    precision = statistics.matched_weight / statistics.weight
    recall = statistics.reference_matched_weight / statistics.reference_weight
    mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
    fragmentation = statistics.chunks / ((statistics.matched + statistics.reference_matched) / 2)
    return mean * (1 - _GAMMA * math.pow(fragmentation, _BETA))


def combine(sums: Floats) -> Floats:
    """`score` of many corpora at once, from their summed statistics (S, 7)."""
    weight, reference_weight, matched, reference_matched, weighed, reference_weighed, chunks = sums.T
    some = (weighed > 0) & (reference_weighed > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = 1 / ((1 - _ALPHA) * weight / weighed + _ALPHA * reference_weight / reference_weighed)
        penalty = _GAMMA * (chunks / ((matched + reference_matched) / 2)) ** _BETA
    return np.where(some, mean * (1 - penalty), 0.0)
