"""How far a corpus score can be trusted: confidence intervals, and a paired test between two systems.

A corpus score comes from sums over pictures (a mean, or BLEU's and METEOR's counts), so a resampled corpus costs one
matrix product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from seesay.errors import DataError
from seesay.metrics.pairs import Floats, Sums

_CHUNK = 256  # samples at a time: with 40,000 pictures, 80 MB


class Interval(NamedTuple):
    """A corpus score and the limits between which 95% of the resampled ones lie."""

    score: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Two systems on the same pictures: `difference` is the first's score minus the second's.

    `low` and `high` bound 95% of the resampled differences; `p` is how often chance alone, swapping the two systems'
    captions picture by picture, makes a difference at least as large.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float


def intervals(metrics: Mapping[str, Sums], samples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """The corpus scores by metric, each with its 95% bootstrap interval over pictures.

    Pictures are drawn with replacement, as many as there are, `samples` times; all metrics see the same draws.
    Source: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation", section 3.

    >>> from seesay.metrics.pairs import mean_of
    >>> found = intervals({"x": mean_of({str(i): float(i % 2) for i in range(100)})})["x"]
    >>> found.score, round(found.low, 1), round(found.high, 1)
    (0.5, 0.4, 0.6)
    """
    drawn = _resample(metrics, samples, seed)
    return {
        name: Interval(_whole(sums), *map(float, np.quantile(drawn[name], [0.025, 0.975])))
        for name, sums in metrics.items()
    }


def compare(
    first: Mapping[str, Sums], second: Mapping[str, Sums], samples: int = 1000, seed: int = 0
) -> dict[str, Comparison]:
    """Two systems scored on the same pictures in the same order, by metric.

    The interval is the paired bootstrap's (Koehn 2004, section 4); p is the approximate randomisation test's, two
    sided (Riezler and Maxwell 2005), never below 1 / (samples + 1). Metrics that only one side has are left out.
    Raises DataError when the numbers of pictures differ.

    >>> from seesay.metrics.pairs import mean_of
    >>> good = {"x": mean_of({str(i): 0.6 + i % 3 / 10 for i in range(60)})}
    >>> bad = {"x": mean_of({str(i): 0.5 + i % 4 / 10 for i in range(60)})}
    >>> found = compare(good, bad)["x"]
    >>> round(found.difference, 3), found.low > 0, found.p < 0.05
    (0.05, True, True)
    """
    first = {name: sums for name, sums in first.items() if name in second}
    second = {name: second[name] for name in first}
    counts = {len(sums.statistics) for sums in (*first.values(), *second.values())}
    if len(counts) > 1:
        raise DataError(f"comparison: systems of {sorted(counts)} pictures; expected the same pictures in both.")
    drawn = _resample(first, samples, seed), _resample(second, samples, seed)
    swapped = _randomise(first, second, samples, seed)
    found = {}
    for name in first:
        one, two = _whole(first[name]), _whole(second[name])
        low, high = np.quantile(drawn[0][name] - drawn[1][name], [0.025, 0.975])
        # Equal up to rounding is as large.
        beyond = int((np.abs(swapped[name]) >= abs(one - two) - 1e-9).sum())
        found[name] = Comparison(one, two, one - two, float(low), float(high), (beyond + 1) / (samples + 1))
    return found


def _whole(sums: Sums) -> float:
    return float(sums.combine(sums.statistics.sum(0, keepdims=True))[0])


def _resample(metrics: Mapping[str, Sums], samples: int, seed: int) -> dict[str, Floats]:
    """Corpus scores of samples drawn with replacement; the same draws for the same seed and number of pictures."""
    pictures = len(next(iter(metrics.values())).statistics)
    scores: dict[str, list[Floats]] = {name: [] for name in metrics}
    generator = np.random.default_rng(seed)
    for size in _chunks(samples):
        times = generator.multinomial(pictures, np.full(pictures, 1 / pictures), size).astype(np.float64)
        for name, sums in metrics.items():
            scores[name].append(sums.combine(times @ sums.statistics))
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def _randomise(first: Mapping[str, Sums], second: Mapping[str, Sums], samples: int, seed: int) -> dict[str, Floats]:
    """Differences between two systems whose captions were swapped at random, picture by picture."""
    pictures = len(next(iter(first.values())).statistics)
    found: dict[str, list[Floats]] = {name: [] for name in first}
    generator = np.random.default_rng([seed, 1])
    for size in _chunks(samples):
        swap = generator.integers(0, 2, (size, pictures)).astype(np.float64)
        for name, one in first.items():
            two = second[name]
            moved = swap @ (two.statistics - one.statistics)
            sums = one.statistics.sum(0) + moved, two.statistics.sum(0) - moved
            found[name].append(one.combine(sums[0]) - two.combine(sums[1]))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _chunks(samples: int) -> Iterator[int]:
    for start in range(0, samples, _CHUNK):
        yield min(_CHUNK, samples - start)
