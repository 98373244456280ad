"""Everything worth knowing about the captions of one system, or of two side by side: what `seesay score` prints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesay.metrics.diversity import diversity, mutual_bleu
from seesay.metrics.scoring import COCO, Evaluation, References, evaluate
from seesay.metrics.significance import Comparison, Interval, compare, intervals


@dataclass(frozen=True)
class Study:
    """The scores of a system with their 95% intervals, and how varied its captions are.

    `against` and `comparison` are there when a second system was given.
    """

    evaluation: Evaluation
    intervals: dict[str, Interval]
    diversity: dict[str, float]
    against: Evaluation | None = None
    comparison: dict[str, Comparison] | None = None

    def to_json(self) -> dict[str, Any]:
        """The evaluation's JSON, and beside it `intervals` (low, high), `diversity`, `comparison` by metric."""
        content = self.evaluation.to_json()
        content["intervals"] = {name: [found.low, found.high] for name, found in self.intervals.items()}
        content["diversity"] = self.diversity
        if self.comparison is not None:
            content["comparison"] = {name: found._asdict() for name, found in self.comparison.items()}
        return content


def study(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    against: Mapping[str, str] | None = None,
    training: Collection[str] | None = None,
    sets: Mapping[str, Sequence[str]] | None = None,
    metrics: Collection[str] = COCO,
    samples: int = 1000,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> Study:
    """Scores, intervals, diversity, and a paired test `against` the captions of another system on the same pictures.

    `training` are the captions that the system learned from, for the share of novel ones; `sets` several captions for
    each picture, for mBLEU. Raises what `evaluate` and `mutual_bleu` do.

    >>> found = study({"1": "a dog runs", "2": "a cat"}, {"1": ["a dog"], "2": ["a cat"]}, metrics=["BLEU"])
    >>> round(found.evaluation.corpus["Bleu_1"], 2), found.diversity["unique"], found.comparison
    (0.8, 1.0, None)
    """
    prepared = References(references)
    one = evaluate(candidates, prepared, metrics, tell)
    other, compared = None, None
    if against is not None:
        ordered = {i: against[i] for i in candidates if i in against}  # the same pictures in the same order
        other = evaluate(ordered, prepared, metrics, tell)
        compared = compare(one.sums, other.sums, samples, seed)
    varied = diversity(candidates, training)
    if sets is not None:
        varied["mBLEU_4"] = mutual_bleu(sets)
    return Study(one, intervals(one.sums, samples, seed), varied, other, compared)
