"""How well pictures are told what they show: the average precision of each concept, and its mean over concepts.

N pictures, C concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.errors import DataError


class ConceptScore(NamedTuple):
    """One concept: its average precision, and how many pictures show it."""

    average_precision: float
    pictures: int


@dataclass(frozen=True)
class NamingScores:
    """The scores of a set of pictures.

    `mAP` is the mean of the average precisions of the concepts that a picture shows; `chance` is what it would be
    if every picture were told the same, the mean share of the pictures that show a concept. `absent` are the concepts
    that no picture shows: of these nothing can be said.
    """

    mAP: float  # noqa: N815 - the field's own spelling
    chance: float
    pictures: int
    per_concept: dict[str, ConceptScore]
    absent: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The scores as plain objects: what a run folder keeps in scores/SPLIT.json."""
        per_concept = {word: score._asdict() for word, score in self.per_concept.items()}
        return {**asdict(self), "per_concept": per_concept, "absent": list(self.absent)}

    def ranked(self, least: int = 10) -> list[tuple[str, ConceptScore]]:
        """The concepts by average precision, the best first, of those that at least `least` pictures show.

        All of them where none is shown so often: on a few pictures an average precision is mostly luck.
        """
        often = {word: score for word, score in self.per_concept.items() if score.pictures >= least}
        return sorted((often or self.per_concept).items(), key=lambda item: (-item[1].average_precision, item[0]))


def average_precisions(shown: NDArray[np.bool_], scores: NDArray[Any]) -> NDArray[np.float64]:
    """The average precision (C,) of each concept, for pictures that show it or not (N, C) and their scores (N, C).

    The sum over thresholds, from the highest score down, of the precision there times the recall gained there; pictures
    of equal score pass a threshold together. NaN where no picture shows the concept.
    Raises DataError where the two do not belong together, or where a score is not a number.

    >>> shown = np.array([[True], [False], [True], [False]])
    >>> average_precisions(shown, np.array([[0.9], [0.8], [0.4], [0.1]])).round(4).tolist()
    [0.8333]
    """
    if shown.ndim != 2 or shown.shape != scores.shape or not len(shown):
        raise DataError(
            f"scores: received shape {scores.shape} for pictures of shape {shown.shape}; expected (pictures, concepts) "
            "of both, with one picture at least."
        )
    if np.isnan(scores).any():
        raise DataError(f"scores: received {np.isnan(scores).sum():,} that are not a number; expected none.")
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    right = np.cumsum(np.take_along_axis(shown, order, axis=0), axis=0, dtype=np.int64)
    total = right[-1]
    # A threshold lies behind the last of equal scores alone.
    ends = np.concatenate([ranked[1:] != ranked[:-1], np.ones((1, shown.shape[1]), bool)])
    found = np.zeros(shown.shape[1])
    for concept in np.flatnonzero(total):
        last = np.flatnonzero(ends[:, concept])
        hits = right[last, concept]
        gained = np.diff(hits, prepend=0)
        found[concept] = (gained * hits / (last + 1)).sum() / total[concept]
    found[total == 0] = np.nan
    return found


def evaluate_naming(words: Sequence[str], shown: NDArray[np.bool_], scores: NDArray[Any]) -> NamingScores:
    """The scores of what pictures show (N, C) as a model says, against what their captions name (N, C).

    Raises DataError as `average_precisions` does, and where no picture shows any of the concepts.

    >>> evaluate_naming(["dog", "cat"], np.array([[True, False], [False, False]]), np.array([[0.9, 0.1], [0.2, 0.2]]))
    NamingScores(mAP=1.0, chance=0.5, pictures=2, per_concept={'dog': ConceptScore(...pictures=1)}, absent=('cat',))
    """
    if shown.ndim != 2 or len(words) != shown.shape[1]:
        raise DataError(f"words: received {len(words)}; expected one for each concept of shape {shown.shape}.")
    found, counts = average_precisions(shown, scores), shown.sum(0)
    known = np.flatnonzero(counts)
    if not len(known):
        raise DataError(
            f"pictures: received {len(shown):,}, whose captions name none of {len(words):,} concepts; expected one at "
            "least; take captions in the language of the training captions."
        )
    return NamingScores(
        mAP=float(found[known].mean()),
        chance=float((counts[known] / len(shown)).mean()),
        pictures=len(shown),
        per_concept={words[i]: ConceptScore(float(found[i]), int(counts[i])) for i in known.tolist()},
        absent=tuple(word for word, count in zip(words, counts.tolist(), strict=True) if not count),
    )
