"""Low-rank bilinear blocks: pooling, attention over regions, and co-attention of words and regions.

They stand apart from `seesay.nn.attention`, whose scores are sums and dot products: here what two sides say is
multiplied, number by number, or each side is weighed by the other. Every block is usable alone.
B batch, W queries, R regions, T words, A hidden size of a block, D value size, G glimpses.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seesay.nn.attention import masked_softmax
from seesay.nn.dropout import Dropout


class LowRankPooling(nn.Module):
    """Joins two vectors by the product of what each says: tanh(U x) * tanh(V y), a bilinear form of low rank.

    MLB (Kim et al. 2017, section 3). With `projected` an output layer follows, tanh(P .), as in the equations of Liu
    et al. 2018, whose code has none. In training a share `dropout` of the product is left out.

    >>> join = LowRankPooling(6, 4, 8)
    >>> join(torch.randn(2, 5, 6), torch.randn(2, 1, 4)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(
        self, left_size: int, right_size: int, output_size: int, *, projected: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.left = nn.Linear(left_size, output_size)
        self.right = nn.Linear(right_size, output_size)
        self.output = nn.Sequential(nn.Linear(output_size, output_size), nn.Tanh()) if projected else nn.Identity()
        self.dropout = Dropout(dropout)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """The joint vector (..., output_size) of `left` (..., left_size) and `right` (..., right_size)."""
        return self.output(self.dropout(torch.tanh(self.left(left)) * torch.tanh(self.right(right))))


class SumPooling(nn.Module):
    """Joins two vectors by the sum of what each says: tanh(U x + V y); what low-rank pooling is held against.

    >>> SumPooling(6, 4, 8)(torch.randn(2, 6), torch.randn(2, 4)).shape
    torch.Size([2, 8])
    """

    def __init__(self, left_size: int, right_size: int, output_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.left = nn.Linear(left_size, output_size)
        self.right = nn.Linear(right_size, output_size, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """The joint vector (..., output_size) of `left` (..., left_size) and `right` (..., right_size)."""
        return self.dropout(torch.tanh(self.left(left) + self.right(right)))


class LowRankAttention(nn.Module):
    """Scores every region by low-rank pooling with the query, p . (tanh(W_v v) * tanh(W_q q)), once for each glimpse.

    Kim et al. 2017, section 4, where two glimpses, each with a softmax of its own, are set side by side. The keys
    tanh(W_v v) depend on the picture alone: compute them once with `keys` and pass them at each step. As p and the
    query meet before the keys do, all scores are one batched product, and nothing of size (B, W, R, A) is ever held;
    with `projected`, p . tanh(U (tanh(W_v v) * tanh(W_q q))) as Liu et al. 2018 write it, it must be. In training a
    share `dropout` of the product is left out, the same numbers for all regions.

    >>> attend = LowRankAttention(value_size=6, query_size=4, hidden_size=5, glimpses=2)
    >>> values, mask = torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool)
    >>> context, weights = attend(torch.randn(2, 4), attend.keys(values), values, mask)
    >>> context.shape, weights.shape
    (torch.Size([2, 12]), torch.Size([2, 2, 3]))
    """

    def __init__(
        self,
        value_size: int,
        query_size: int,
        hidden_size: int,
        *,
        glimpses: int = 1,
        projected: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.key = nn.Linear(value_size, hidden_size)
        self.query = nn.Linear(query_size, hidden_size)
        self.output = nn.Linear(hidden_size, hidden_size) if projected else None
        # As a linear layer starts; without a bias, which no softmax would notice.
        self.score = nn.Parameter(torch.empty(glimpses, hidden_size).uniform_(-1, 1) * hidden_size**-0.5)
        self.dropout = Dropout(dropout)

    def keys(self, values: Tensor) -> Tensor:
        """The picture's side of the product: (B, R, D) to (B, R, A)."""
        return torch.tanh(self.key(values))

    def queries(self, x: Tensor) -> Tensor:
        """The asking side of the product: (..., query_size) to (..., A)."""
        return self.dropout(torch.tanh(self.query(x)))

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts of all glimpses (B, G D) and weights (B, G, R) for `query` (B, query_size).

        `keys` are (B, R, A), `values` (B, R, D), `mask` (B, R) is True at regions; a picture without any has weights
        and a context of zeros.
        """
        context, weights = self.weigh(self.queries(query).unsqueeze(1), keys, values, mask)
        return context.squeeze(1), weights.squeeze(1)

    def weigh(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same for several of a picture's `queries` (B, W, A): contexts (B, W, G D) and weights (B, W, G, R)."""
        weights = masked_softmax(self._scores(queries, keys), mask[:, None, None])
        context = torch.bmm(weights.flatten(1, 2).to(values.dtype), values)
        return context.unflatten(1, weights.shape[1:3]).flatten(2), weights

    def _scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Scores (B, W, G, R) before the softmax."""
        if self.output is not None:
            joint = torch.tanh(self.output(queries.unsqueeze(2) * keys.unsqueeze(1)))
            return nn.functional.linear(joint, self.score).transpose(2, 3)
        asked = queries.unsqueeze(2) * self.score
        scores = torch.bmm(asked.flatten(1, 2), keys.transpose(1, 2).to(asked.dtype))
        return scores.unflatten(1, asked.shape[1:3])


class CoAttended(NamedTuple):
    """What each side is to the other, and how much each of its parts counts for that."""

    picture: Tensor  # (B, D) the regions, weighed
    sentence: Tensor  # (B, Q) the words, weighed
    regions: Tensor  # (B, R) weights
    words: Tensor  # (B, T) weights


class ParallelCoAttention(nn.Module):
    """Words and regions weigh one another at the same time, through how well each word fits each region.

    Lu et al. 2016, parallel co-attention: C = tanh(Q W_b V'), H_v = tanh(V W_v + C' Q W_q), H_q = tanh(Q W_q + C V W_v)
    for words Q (T, Q) and regions V (R, D), and a softmax over w_v . H_v and w_q . H_q. What is masked neither weighs
    nor is weighed; a side without anything real has weights and a sum of zeros.

    >>> attend = ParallelCoAttention(word_size=4, value_size=6, hidden_size=5)
    >>> found = attend(torch.randn(2, 7, 4), torch.ones(2, 7).bool(), torch.randn(2, 3, 6), torch.ones(2, 3).bool())
    >>> found.picture.shape, found.sentence.shape, found.words.shape
    (torch.Size([2, 6]), torch.Size([2, 4]), torch.Size([2, 7]))
    """

    def __init__(self, word_size: int, value_size: int, hidden_size: int) -> None:
        super().__init__()
        self.fit = nn.Linear(value_size, word_size, bias=False)
        self.word = nn.Linear(word_size, hidden_size, bias=False)
        self.region = nn.Linear(value_size, hidden_size, bias=False)
        self.word_score = nn.Linear(hidden_size, 1, bias=False)
        self.region_score = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, words: Tensor, said: Tensor, values: Tensor, mask: Tensor) -> CoAttended:
        """For `words` (B, T, Q) with `said` (B, T) True at words, `values` (B, R, D) with `mask` (B, R) at regions."""
        fits = torch.tanh(torch.bmm(words, self.fit(values).transpose(1, 2)))
        fits = fits.masked_fill(~(said.unsqueeze(2) & mask.unsqueeze(1)), 0)  # (B, T, R)
        asked, seen = self.word(words), self.region(values)
        over_regions = torch.tanh(seen + torch.bmm(fits.transpose(1, 2), asked))
        over_words = torch.tanh(asked + torch.bmm(fits, seen))
        regions = masked_softmax(self.region_score(over_regions).squeeze(-1), mask)
        spoken = masked_softmax(self.word_score(over_words).squeeze(-1), said)
        return CoAttended(_summed(regions, values), _summed(spoken, words), regions, spoken)


def _summed(weights: Tensor, parts: Tensor) -> Tensor:
    return torch.einsum("bn,bnd->bd", weights.to(parts.dtype), parts)
