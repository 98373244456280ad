"""ROUGE-L as COCO computes it: how much of the words' order a caption shares with its references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from seesay.metrics.pairs import Caption, Scores, check_pairs, tokens_of

_BETA_SQUARED = 1.2**2


def score(candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]) -> Scores:
    """ROUGE-L of candidates (texts or tokens), between 0 and 1; the corpus score is the mean.

    F measure (beta 1.2) of the longest common subsequence's precision and recall; the best precision and the best
    recall may come from different references. As in COCO's code an empty caption is one empty token: it scores 0
    unless a reference is empty too. Raises DataError when the ids differ or there is no candidate.
    Source: Lin 2004, "ROUGE", section 3, as in COCO's code.

    >>> score({"1": ["a", "dog", "runs"]}, {"1": [["a", "big", "dog"]]}).corpus
    0.6666666666666666
    """
    check_pairs(candidates, references)
    per_id = {
        i: _rouge(tokens_of(caption), [tokens_of(reference) for reference in references[i]])
        for i, caption in candidates.items()
    }
    return Scores(math.fsum(per_id.values()) / len(per_id), per_id)


def _rouge(candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    candidate = candidate or [""]
    precision = recall = 0.0
    for reference in references:
        reference = reference or [""]
        common = common_subsequence(candidate, reference)
        precision = max(precision, common / len(candidate))
        recall = max(recall, common / len(reference))
    if precision == 0 or recall == 0:
        return 0.0
    return (1 + _BETA_SQUARED) * precision * recall / (recall + _BETA_SQUARED * precision)


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence of two token lists.

    One bit for each token of `second`, all advanced at once (Hyyrö 2004, "Bit-parallel LCS-length computation"): a
    zero bit marks a place where the length grows.

    >>> common_subsequence("a b c d".split(), "b x d a".split())
    2
    """
    places: dict[str, int] = {}
    for position, token in enumerate(second):
        places[token] = places.get(token, 0) | 1 << position
    everywhere = (1 << len(second)) - 1
    row = everywhere
    for token in first:
        matched = row & places.get(token, 0)
        row = ((row + matched) | (row - matched)) & everywhere
    return len(second) - row.bit_count()
