"""How well captions agree with many others about the same picture: the CIDEr-D that each of them can expect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seesay.arguments import listed
from seesay.metrics.cider import SIGMA, CiderD
from seesay.metrics.pairs import ORDERS, Caption, Counts, Gram, ngrams

_Floats = NDArray[np.float64]


def agreement(scorer: CiderD, captions: Sequence[Caption], others: Sequence[Caption]) -> _Floats:
    """The CIDEr-D (0 to 10) of each of `captions` (C,) with all `others` (S,) as its references; float64 (C,).

    Equal to `scorer.similarity` within 1e-9, by matrix products in place of C x S comparisons. Where the others are
    drawn from a model, this is the score that the model expects a caption to have.

    >>> scorer = CiderD({("a",): 9, ("dog",): 3, ("cat",): 2}, 10)
    >>> agreement(scorer, ["a dog", "a cat"], ["a dog", "a dog runs", "a cat"]).round(2).tolist()
    [2.63, 1.67]
    """
    captions, others = (listed(some, "agreement", "a list of captions") for some in (captions, others))
    counted = [ngrams(caption) for caption in (*captions, *others)]
    lengths = np.array([counts[1].total() for counts in counted], np.float64)  # in bigrams, as COCO's code has it
    total = np.zeros((len(captions), len(others)))
    for n in range(ORDERS):
        total += _cosines(scorer, counted, n, len(captions))
    far = lengths[: len(captions), None] - lengths[len(captions) :]
    scores: _Floats = 10 / ORDERS * (total * np.exp(-(far**2) / (2 * SIGMA**2))).mean(1)
    return scores


def _cosines(scorer: CiderD, counted: Sequence[Counts], n: int, split: int) -> _Floats:
    """For one n, the clipped cosine of each of the first `split` captions with each of the others."""
    grams: dict[Gram, int] = {}
    places = [[grams.setdefault(gram, len(grams)) for gram in counts[n]] for counts in counted]
    times = np.zeros((len(counted), len(grams)))
    for row, (counts, columns) in enumerate(zip(counted, places, strict=True)):
        times[row, columns] = [*counts[n].values()]
    weights = np.array([scorer.weight(gram) for gram in grams])
    norms = np.sqrt(np.square(times * weights).sum(1))
    one, other = times[:split], times[split:]
    # min(a, b) is how many of 1, 2, ... neither a nor b falls short of.
    most = range(1, 1 + int(one.max(initial=0)))
    product = sum(((one >= k) @ ((other >= k) * other * weights**2).T for k in most), np.zeros((split, len(other))))
    both = norms[:split, None] * norms[split:]
    cosines: _Floats = np.divide(product, both, out=np.zeros_like(both), where=both > 0)
    return cosines
