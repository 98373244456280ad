"""What the scores of the next word allow: log-probabilities, the best of a row, the nucleus, a draw. NumPy alone.

N rows, V vocabulary size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.decoding.settings import NEVER, Resolved
from seesay.errors import DataError, RecipeError
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

Floats = NDArray[Any]  # float32, or float64 where the model computes in it
Ids = NDArray[np.intp]


def check_constraints(decoding: Resolved) -> None:
    """RecipeError for what the search on arrays does not do: it is refused, not left out."""
    if decoding.groups > 1 or decoding.required_ids:
        name, value = ("groups", decoding.groups) if decoding.groups > 1 else ("required", f"'{decoding.required}'")
        raise RecipeError(f"decoding.{name}: received {value} with engine 'numpy'; expected engine 'torch', or none.")


def constrain(scores: Floats, tokens: Ids, decoding: Resolved) -> None:
    """Make log-probabilities (N, V) after the words `tokens` (N, t) -inf, in place, where a word may not be said."""
    said, ngram = tokens.shape[1], decoding.no_repeat_ngram
    scores[:, [PAD, BOS, *([] if decoding.faithful else [UNK]), *decoding.forbidden_ids]] = NEVER
    if said < decoding.least:
        scores[:, EOS] = NEVER
    if ngram and said >= ngram:
        after = tokens[:, ngram - 1 :]
        same = np.ones(after.shape, bool)
        for back in range(1, ngram):  # the words before each place, and the last ones said
            same &= tokens[:, ngram - 1 - back : said - back] == tokens[:, said - back, None]
        rows, places = same.nonzero()
        scores[rows, after[rows, places]] = NEVER


def log_probabilities(logits: Floats, first: bool | None = None) -> Floats:
    """Log-probabilities (..., V); with `first`, of what may be said: never <unk>, <pad>, <bos>, nor an empty sentence.

    The normaliser still counts the forbidden words, so that a score is the model's own probability. In float32 or, from
    float64 logits, in float64. Raises DataError where a row has no normaliser, which would make every word as good.
    """
    wide = logits.astype(np.promote_types(logits.dtype, np.float32), copy=False)
    highest = wide.max(-1, keepdims=True)
    if not np.isfinite(highest).all():
        raise DataError(f"logits: received {highest.flat[0]} as the highest of a row; expected a number; train again.")
    scores: Floats = wide - highest
    scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
    if first is not None:
        scores[..., [UNK, PAD, BOS, EOS] if first else [UNK, PAD, BOS]] = NEVER
    return scores


def best(scores: Floats, count: int) -> Ids:
    """Places (N, count) of the highest `scores` (N, V) of each row, the highest first; of equal ones the lower place.

    >>> best(np.array([[1.0, 3.0, 2.0, 3.0]]), 3).tolist()
    [[1, 3, 2]]
    """
    if count == 1:
        return scores.argmax(1, keepdims=True)
    size = scores.shape[1]
    least = np.partition(scores, size - count, axis=1)[:, size - count, None]
    # Those at least as high as the count-th, row by row: more than `count` where scores are equal.
    rows, places = np.divmod(np.flatnonzero(scores >= least), size)
    order = np.lexsort((-scores[rows, places], rows))  # stable: the lower place stays first
    firsts = np.searchsorted(rows, np.arange(len(scores)))
    found: Ids = places[order][firsts[:, None] + np.arange(count)]
    return found


def restrict(scores: Floats, *, top_k: int = 0, top_p: float = 1.0) -> Floats:
    """Log-probabilities with everything beyond the `top_k` likeliest, or the nucleus of mass `top_p`, at -inf.

    The nucleus is the smallest set of likeliest words whose mass reaches `top_p` (Holtzman et al. 2020).

    >>> np.exp(restrict(np.log([[0.5, 0.3, 0.2]]), top_p=0.6)).round(6).tolist()
    [[0.5, 0.3, 0.0]]
    """
    size = scores.shape[-1]
    if top_k and top_k < size:
        scores = np.where(scores < np.partition(scores, size - top_k)[..., size - top_k, None], NEVER, scores)
    if top_p < 1:
        places = np.argsort(-scores, axis=-1, kind="stable")
        ordered = np.take_along_axis(_chances(scores), places, -1)
        mass = ordered.cumsum(-1, dtype=np.float64)
        outside = np.empty(scores.shape, bool)
        np.put_along_axis(outside, places, mass - ordered >= top_p * mass[..., -1:], -1)
        scores = np.where(outside, NEVER, scores)
    return scores


def _chances(scores: Floats) -> Floats:
    """Probabilities (N, V) from log-probabilities, up to a factor: the highest is 1."""
    chances: Floats = np.exp(scores - scores.max(-1, keepdims=True))
    return chances


def draw(scores: Floats, numbers: NDArray[np.float64]) -> Ids:
    """The word (N,) of each row of log-probabilities (N, V) in whose stretch of 0 to 1 the row's number falls.

    They need not sum to 1: what `restrict` leaves is shared out.

    >>> draw(np.log([[0.4, 0.2], [0.4, 0.2]]), np.array([0.6, 0.7])).tolist()
    [0, 1]
    """
    reached = _chances(scores).cumsum(-1, dtype=np.float64)
    # Scaled by the last sum, not 1, and strictly above: a word of no chance is never drawn, whatever the rounding.
    words: Ids = (reached > numbers[:, None] * reached[:, -1:]).argmax(-1)
    return words
