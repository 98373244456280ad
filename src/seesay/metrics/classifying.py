"""How well texts were classified: accuracy, precision and recall by label, and what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError


class LabelScore(NamedTuple):
    """One label: the share of its findings that are right, the share of its texts that were found, and their F1.

    Each is 0 where it has nothing to be a share of. `texts` is how many have the label.
    """

    precision: float
    recall: float
    f1: float
    texts: int


@dataclass(frozen=True)
class LabelScores:
    """The scores of a set of texts.

    `accuracy` is the share of texts with the right label, `macro_f1` the mean F1 of the labels, each counting alike
    however rare. `confusion[gold][found]` counts texts, right ones included.
    """

    accuracy: float
    macro_f1: float
    texts: int
    labels: tuple[str, ...]
    per_label: dict[str, LabelScore]
    confusion: dict[str, dict[str, int]]

    def to_json(self) -> dict[str, Any]:
        """The scores as plain objects: what a run folder keeps in scores/SPLIT.json."""
        per_label = {label: score._asdict() for label, score in self.per_label.items()}
        return {**asdict(self), "labels": list(self.labels), "per_label": per_label}

    def mistakes(self) -> list[tuple[str, str, int]]:
        """What was taken for what, and how often: (gold, found, count), the commonest first."""
        pairs = [
            (gold, found, count)
            for gold, row in self.confusion.items()
            for found, count in row.items()
            if gold != found
        ]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[:2]))


def evaluate_labels(gold: Sequence[str], found: Sequence[str]) -> LabelScores:
    """The scores of found labels against the right ones.

    A label counts in `macro_f1` that is right or was found somewhere. Raises DataError where there is no text, and
    where there are not as many found labels as right ones.

    >>> scores = evaluate_labels(["pos", "neg", "pos"], ["pos", "pos", "pos"])
    >>> round(scores.accuracy, 3), scores.macro_f1, scores.confusion
    (0.667, 0.4, {'neg': {'pos': 1}, 'pos': {'pos': 2}})
    """
    if len(gold) != len(found):
        raise DataError(f"found: received {len(found)} labels; expected {len(gold)}, one for each text.")
    if not gold:
        raise DataError("gold: received no label; expected at least one; give texts that have some.")
    labels = tuple(sorted({*gold, *found}))
    counts = confusion_matrix(gold, found, labels)
    per_label = {
        label: _score(int(counts[i, i]), int(counts[i].sum()), int(counts[:, i].sum()))
        for i, label in enumerate(labels)
    }
    accuracy = int(np.trace(counts)) / len(gold)
    macro_f1 = sum(score.f1 for score in per_label.values()) / len(labels)
    return LabelScores(accuracy, macro_f1, len(gold), labels, per_label, _by_name(counts, labels))


def confusion_matrix(gold: Sequence[str], found: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """How many of label i (row) were found to be of label j (column), (N, N) for N `labels`.

    Raises DataError for a label that is not among `labels`.

    >>> confusion_matrix(["a", "b", "b"], ["a", "a", "b"], ["a", "b"]).tolist()
    [[1, 0], [1, 1]]
    """
    place = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for one, other in zip(gold, found, strict=True):
        for label in (one, other):
            if label not in place:
                raise DataError(f"labels: received {label[:40]!r}; expected one of the {len(labels)} labels given.")
        counts[place[one], place[other]] += 1
    return counts


def _by_name(counts: NDArray[np.int64], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """The counts by gold and found label, without what never occurred."""
    return {
        gold: {found: count for found, count in zip(labels, row, strict=True) if count}
        for gold, row in zip(labels, counts.tolist(), strict=True)
        if any(row)
    }


def _score(right: int, gold: int, found: int) -> LabelScore:
    # F1 from counts: the harmonic mean of the two shares, without their rounding.
    return LabelScore(right / found if found else 0.0, right / gold if gold else 0.0, 2 * right / (gold + found), gold)
