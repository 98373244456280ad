"""Candidates beside their references: what every metric takes, what it returns and what it refuses."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seesay.arguments import shortened
from seesay.errors import DataError
from seesay.text import ptb

ORDERS = 4
Caption = str | Sequence[str]  # a text, tokenised when it is used, or the tokens it has
Gram = tuple[str, ...]
Counts = list[Counter[Gram]]
Floats = NDArray[np.float64]


class Sums(NamedTuple):
    """What a corpus score is made of: a row of `statistics` (N, k) for each picture, and how their sums combine.

    `combine` takes the sums (S, k) of S samples of N pictures each and gives their corpus scores (S,).
    """

    statistics: Floats
    combine: Callable[[Floats], Floats]


class Scores(NamedTuple):
    """What one metric says: `corpus` for all pictures together, `per_id` for each picture by its id.

    Whether the corpus score is the mean of the others depends on the metric: BLEU's and METEOR's are not. `sums` says
    what it is made of, where it is not the mean.
    """

    corpus: float
    per_id: dict[str, float]
    sums: Sums | None = None


def mean_of(scores: Mapping[str, float]) -> Sums:
    """The sums of a metric whose corpus score is the mean of the pictures' scores.

    >>> mean_of({"1": 0.5, "2": 1.0}).combine(np.array([[1.5]])).tolist()
    [0.75]
    """
    return Sums(np.array([*scores.values()])[:, None], lambda sums: sums[:, 0] / len(scores))


def check_pairs(candidates: Mapping[str, Any], references: Mapping[str, Collection[Any]]) -> None:
    """Raise DataError unless there are candidates and each has references under the same id, one to one.

    >>> check_pairs({"7": "a dog"}, {"8": ["a dog"]})
    Traceback (most recent call last):
    seesay.errors.DataError: captions: 1 picture has no references (7); expected the same ids in both; ...
    """
    by_id("candidates", candidates)
    by_id("references", references)
    if not candidates:
        raise DataError("captions: no candidate at all; expected one for each picture; generate captions first.")
    _refuse(candidates.keys() - references.keys(), "no references")
    _refuse(references.keys() - candidates.keys(), "no candidate")
    _refuse({i for i in candidates if not several(i, references[i])}, "an empty list of references")


def by_id(what: str, captions: Any) -> None:
    """Raise DataError unless these are captions by the ids of their pictures.

    >>> by_id("references", ["a dog"])
    Traceback (most recent call last):
    seesay.errors.DataError: references: received ['a dog']; expected a dict of captions by the picture's id; make one.
    """
    if not isinstance(captions, Mapping):
        raise DataError(
            f"{what}: received {shortened(captions)}; expected a dict of captions by the picture's id; make one."
        )


def several(picture: object, captions: Any) -> Any:
    """`captions` of one picture themselves; DataError unless they are a list, or another collection, of captions.

    >>> several("7", "a dog")
    Traceback (most recent call last):
    seesay.errors.DataError: captions: picture 7 has the references 'a dog'; expected a list of strings; put even ...
    """
    # A lone string is a sequence of letters to Python; scored as references it would go unnoticed.
    if isinstance(captions, str | bytes | Mapping) or not isinstance(captions, Collection):
        raise DataError(
            f"captions: picture {picture} has the references {captions!r:.60}; expected a list of strings; "
            "put even a single reference in a list."
        )
    return captions


def _refuse(ids: Collection[str], lack: str) -> None:
    if ids:
        shown = ", ".join(sorted(map(str, ids))[:5]) + (", ..." if len(ids) > 5 else "")
        subject = "1 picture has" if len(ids) == 1 else f"{len(ids)} pictures have"
        raise DataError(
            f"captions: {subject} {lack} ({shown}); expected the same ids in both; "
            "give one candidate and at least one reference for each picture."
        )


def tokens_of(caption: Caption) -> Sequence[str]:
    """The tokens of a caption, which is a text or tokens already; a text's accents are composed first (NFC).

    >>> tokens_of("A dog runs."), tokens_of(["a", "dog"])
    (['a', 'dog', 'runs'], ['a', 'dog'])
    """
    return ptb.tokenize(unicodedata.normalize("NFC", caption)) if isinstance(caption, str) else caption


def ngrams(caption: Caption) -> Counts:
    """How often each n-gram of a caption occurs: one count for n = 1, one for n = 2, ... up to 4.

    A token with a no-break space inside ("3 1/2") counts as two words here, as in COCO's BLEU and CIDEr.

    >>> ngrams(["a", "b", "a"])[0]
    Counter({('a',): 2, ('b',): 1})
    """
    words = " ".join(tokens_of(caption)).split()
    return [Counter(zip(*(words[start:] for start in range(n)), strict=False)) for n in range(1, ORDERS + 1)]


def count(
    candidates: Mapping[str, Caption], references: Mapping[str, Sequence[Caption]]
) -> tuple[dict[str, Counts], dict[str, list[Counts]]]:
    """The n-grams of checked pairs; BLEU and CIDEr can share them, counting is most of their work."""
    check_pairs(candidates, references)
    counted = {i: [ngrams(caption) for caption in references[i]] for i in candidates}
    return {i: ngrams(caption) for i, caption in candidates.items()}, counted
