"""Soft attention over the regions of a picture, safe for masked and for empty pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Weights over the last axis that sum to 1 over the True places of `mask`, and are exactly 0 elsewhere.

    `scores` is (..., R), `mask` broadcasts to it. A row without a single True gets all zeros, not NaN, so that an empty
    picture gives an empty context. Computed in float32, since half precision loses small weights.

    >>> masked_softmax(torch.zeros(1, 3), torch.tensor([[True, True, False]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    scores = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    return scores.softmax(-1) * mask


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean (B, D) of the real regions of `values` (B, R, D); zeros where `mask` (B, R) has none.

    >>> masked_mean(torch.tensor([[[2.0], [4.0], [99.0]]]), torch.tensor([[True, True, False]])).item()
    3.0
    """
    weight = mask.to(values.dtype)
    return torch.einsum("br,brd->bd", weight, values) / weight.sum(1, keepdim=True).clamp(min=1)


class AdditiveAttention(nn.Module):
    """Scores every region against a query with one hidden layer: v . tanh(W_q q + W_k k).

    Bahdanau et al. 2015, eq. 6; over picture regions as in Xu et al. 2015, eq. 4. The keys W_k k depend on the picture
    alone: compute them once with `keys` and pass them at each step. The query W_q q is the caller's, who can draw it
    from one product with whatever else its state decides.

    >>> attend = AdditiveAttention(value_size=6, hidden_size=5)
    >>> values, mask = torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)
    >>> context, weights = attend(torch.randn(2, 5), attend.keys(values), values, mask)
    >>> context.shape, weights.shape
    (torch.Size([2, 6]), torch.Size([2, 3]))
    """

    def __init__(self, value_size: int, hidden_size: int) -> None:
        super().__init__()
        self.key = nn.Linear(value_size, hidden_size, bias=False)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """The picture's side of the score: (B, R, value_size) to (B, R, hidden_size)."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Context (B, D) and weights (B, R) for `query` (B, A), `keys` (B, R, A), `values` (B, R, D), `mask` (B, R)."""
        scores = self.score(torch.tanh(keys + query.unsqueeze(1))).squeeze(-1)
        weights = masked_softmax(scores, mask)
        context = torch.bmm(weights.to(values.dtype).unsqueeze(1), values).squeeze(1)
        return context, weights
