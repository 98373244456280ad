"""Scores of the next word as tensors: log-probabilities, the best of a row, the nucleus. N rows, V vocabulary size."""

from __future__ import annotations

import torch
from torch import Tensor

from seesay.decoding.settings import NEVER
from seesay.errors import DataError
from seesay.nn.compiled import kernels
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

FOLDS = 16  # a row is folded so many times to find its best
ROWS = 16  # so many rows stay in a core's own memory
SAFE = (1e-20, 1e30)  # sums of exponentials that lost nothing in single precision


def widened(logits: Tensor) -> Tensor:
    """`logits` in float32 at least: sums over half precision lose small words."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def normalisers(logits: Tensor) -> Tensor:
    """The log of the sum of exponentials of each row of `logits` (N, V): what turns them into log-probabilities.

    Raises DataError where a row has none, which would make every word as good.

    >>> normalisers(torch.zeros(1, 4)).exp().round().tolist()
    [4.0]
    """
    found = _plain_normalisers(logits) if logits.device.type == "cpu" else logits.logsumexp(-1)
    if not bool(found.isfinite().all()):
        highest = logits[~found.isfinite()][0].max()
        raise DataError(f"logits: received {highest} as the highest of a row; expected a number; train again.")
    return found


def _plain_normalisers(logits: Tensor) -> Tensor:
    """The same in half of the time, as the sums are taken without looking for each row's highest first.

    Rows where that went wrong, each for itself, are done again.
    """
    found = kernels.exponential_sums(logits)
    if found is None:
        found, room = logits.new_empty(len(logits)), logits.new_empty(min(ROWS, len(logits)), logits.shape[1])
        for some, into in zip(logits.split(ROWS), found.split(ROWS), strict=True):
            torch.sum(torch.exp(some, out=room[: len(some)]), -1, out=into)
    wrong = ~((found > SAFE[0]) & (found < SAFE[1]))  # of a sum that is not a number, too
    found.log_()
    if bool(wrong.any()):
        found[wrong] = logits[wrong].logsumexp(-1)
    return found


def log_probabilities(logits: Tensor, first: bool) -> Tensor:
    """Log-probabilities (..., V) of what may be said: never <unk>, <pad>, <bos>, nor an empty sentence.

    The normaliser still counts the forbidden words, so that a score is the model's own probability.
    """
    scores = widened(logits).log_softmax(-1)
    scores[..., [UNK, PAD, BOS, EOS] if first else [UNK, PAD, BOS]] = NEVER
    return scores


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest `scores` (N, V) of each row, the highest first, and their places: (N, count) both.

    torch's own takes a quarter of a decoding step on a processor. Folded, a row leaves a sixteenth to search: the best
    places lie in the columns whose maxima are the best.

    >>> best(torch.tensor([[1.0, 5.0, 3.0]]), 2)[1].tolist()
    [[1, 2]]
    """
    if found := kernels.highest(scores, count):
        return found
    columns = scores.shape[1] // FOLDS
    if columns < 4 * count or scores.device.type != "cpu":
        return tuple(scores.topk(count))  # type: ignore[return-value]
    column = scores[:, : columns * FOLDS].view(len(scores), FOLDS, columns).amax(1).topk(count).indices
    places = (column.unsqueeze(2) + columns * torch.arange(FOLDS)).flatten(1)
    rest = torch.arange(FOLDS * columns, scores.shape[1]).expand(len(scores), -1)
    places = torch.cat([places, rest], dim=1)
    values, at = scores.gather(1, places).topk(count)
    return values, places.gather(1, at)


def restrict(scores: Tensor, *, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Log-probabilities with everything beyond the `top_k` likeliest, or the nucleus of mass `top_p`, at -inf.

    The nucleus is the smallest set of likeliest words whose mass reaches `top_p` (Holtzman et al. 2020).

    >>> restrict(torch.tensor([[0.5, 0.3, 0.2]]).log(), top_p=0.6).exp().tolist()[0][2]
    0.0
    """
    if top_k and top_k < scores.shape[-1]:
        scores = scores.masked_fill(scores < scores.topk(top_k).values[..., -1:], NEVER)
    if top_p < 1:
        ordered, places = scores.softmax(-1).sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= top_p
        scores = scores.masked_fill(torch.zeros_like(outside).scatter(-1, places, outside), NEVER)
    return scores
