"""How well spans of words were found: precision, recall and F1, for each type and over all, as `conlleval` counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from seesay.errors import DataError
from seesay.text.spans import spans_of


class SpanScore(NamedTuple):
    """Shares of the found spans that are right and of the gold ones that were found, and their F1, from 0 to 1.

    Each is 0 where it has nothing to be a share of. `gold`, `found` and `right` are the numbers of spans; a span is
    right where its first word, its last word and its type are.
    """

    precision: float
    recall: float
    f1: float
    gold: int
    found: int
    right: int


@dataclass(frozen=True)
class SpanScores:
    """The scores of a set of sentences: `overall`, where each span weighs the same, and by type."""

    overall: SpanScore
    per_type: dict[str, SpanScore]
    scheme: str

    def to_json(self) -> dict[str, Any]:
        """The scores as plain objects.

        >>> sorted(evaluate_spans([("B-X",)], [("O",)]).to_json())
        ['overall', 'per_type', 'scheme']
        """
        per_type = {name: score._asdict() for name, score in self.per_type.items()}
        return {**asdict(self), "overall": self.overall._asdict(), "per_type": per_type}


def evaluate_spans(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scheme: str = "BIO") -> SpanScores:
    """The scores of the spans in found tags against those in the right ones, sentence by sentence.

    Raises DataError where the two have not as many sentences, or one of them not as many tags; UnknownName for a scheme
    that there is not.

    >>> scores = evaluate_spans([("B-PER", "I-PER", "O", "B-LOC")], [("B-PER", "I-PER", "B-LOC", "I-LOC")])
    >>> scores.overall.f1, scores.per_type["PER"].f1, scores.per_type["LOC"].f1
    (0.5, 1.0, 0.0)
    """
    if len(gold) != len(found):
        raise DataError(f"found: received {len(found)} sentences; expected {len(gold)}, as there are with gold tags.")
    counts: tuple[Counter[str], ...] = (Counter(), Counter(), Counter())
    for number, (one, other) in enumerate(zip(gold, found, strict=True), start=1):
        if len(one) != len(other):
            raise DataError(f"found: sentence {number}: received {len(other)} tags; expected {len(one)}.")
        true, said = set(spans_of(one, scheme)), set(spans_of(other, scheme))
        for counter, some in zip(counts, (true, said, true & said), strict=True):
            counter.update(span.type for span in some)
    per_type = {name: _score(*(counter[name] for counter in counts)) for name in sorted(counts[0] | counts[1])}
    return SpanScores(_score(*(counter.total() for counter in counts)), per_type, scheme)


def _score(gold: int, found: int, right: int) -> SpanScore:
    # F1 from counts: the harmonic mean of the two shares, without their rounding.
    f1 = 2 * right / (gold + found) if right else 0.0
    return SpanScore(right / found if found else 0.0, right / gold if gold else 0.0, f1, gold, found, right)
