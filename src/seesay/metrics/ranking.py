"""How high a model places the true candidate among wrong ones: rank 1 is the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seesay.errors import DataError


def ranks(scores: ArrayLike, true: ArrayLike) -> NDArray[np.int64]:
    """The place of candidate `true` (N,) in each row of `scores` (N, K), the highest score being first.

    A wrong candidate that scores the same stands before the true one: a model that cannot tell is not rewarded.
    Raises DataError for scores that are not numbers, or shapes that do not fit.

    >>> ranks([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], [1, 1]).tolist()
    [1, 2]
    """
    table, places = np.asarray(scores, dtype=np.float64), np.asarray(true, dtype=np.int64)
    fits = table.ndim == 2 and places.shape == table.shape[:1] and table.shape[1] > 0
    if not fits or (places < 0).any() or (places >= table.shape[1]).any():
        raise DataError(
            f"ranking: received scores of shape {table.shape} and true candidates of shape {places.shape}; expected "
            "(N, K) and (N,) from 0 to K - 1."
        )
    if np.isnan(table).any():
        raise DataError("ranking: received a score that is not a number; expected one for each candidate; train anew.")
    own = np.take_along_axis(table, places[:, None], axis=1)
    return np.asarray((table >= own).sum(axis=1))


def rank_scores(found: ArrayLike) -> dict[str, float]:
    """Rank-1 and Rank-3, the shares of ranks (N,) up to 1 and up to 3, and the mean rank (Liu et al. 2018, section 4).

    Raises DataError without a rank.

    >>> rank_scores([1, 3, 24, 4])
    {'Rank-1': 0.25, 'Rank-3': 0.5, 'mean_rank': 8.0}
    """
    places = np.asarray(found, dtype=np.int64)
    if not places.size:
        raise DataError("ranking: received no rank; expected at least one; give a split that has questions.")
    shares = {f"Rank-{k}": float((places <= k).mean()) for k in (1, 3)}
    return {**shares, "mean_rank": float(places.mean())}
