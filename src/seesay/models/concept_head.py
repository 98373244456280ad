"""Which of many concepts a picture shows: a yes or no for each, from the regions of its grid.

With `pooling` "mean", a hidden layer reads the mean region, which costs next to nothing. Otherwise each region is
projected by itself, and what it says for each concept is pooled over the picture: with "attention", each concept has
regions of its own to look at, by a softmax over what a second layer says of them; with "noisy_or", a concept is there
unless every region denies it (Fang et al. 2015, section 3).
B pictures, R regions, D feature size, H hidden size, C concepts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from seesay.errors import RecipeError
from seesay.nn.attention import masked_mean, masked_softmax, real_regions
from seesay.nn.dropout import Dropout, RegionDropout

TASK = "concepts"
# The first guess: about as often as a picture shows a concept, 2%; of many regions, hardly one may claim it.
_RARE = {"attention": -4.0, "noisy_or": -8.0, "mean": -4.0}
POOLINGS = tuple(_RARE)


@dataclass(frozen=True)
class Config:
    """Size and regularisation of the network; `pooling` is one of `POOLINGS`."""

    pooling: str = "mean"
    hidden_size: int = 512
    dropout: float = 0.5
    region_dropout: float = 0.0  # the share of the regions that a step of training hides


class Model(nn.Module):
    """The network; see the module's text for its ways of pooling.

    >>> model = Model(Config(hidden_size=8), feature_size=3, concept_count=11)
    >>> model(torch.randn(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)).shape
    torch.Size([2, 11])
    """

    def __init__(self, config: Config, *, feature_size: int, concept_count: int) -> None:
        super().__init__()
        if config.pooling not in POOLINGS:
            raise RecipeError(
                f"model.pooling: received '{config.pooling}'; expected {' or '.join(map(repr, POOLINGS))}."
            )
        self.config = config
        hidden = config.hidden_size
        self.grid = nn.Sequential(nn.Linear(feature_size, hidden), nn.ReLU(), nn.LayerNorm(hidden))
        self.hide = RegionDropout(config.region_dropout)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(hidden, concept_count)
        nn.init.constant_(self.head.bias, _RARE[config.pooling])
        self.look = nn.Linear(hidden, concept_count) if config.pooling == "attention" else None

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """The logits (B, C) of features (B, R, D), whose real regions `mask` (B, R) tells; DataError for none."""
        features, mask = real_regions(features, mask)
        mask = self.hide(mask)
        if self.config.pooling == "mean":
            return self.head(self.dropout(self.grid(masked_mean(features, mask))))
        regions = self.dropout(self.grid(features))
        says = self.head(regions).transpose(1, 2)  # (B, C, R)
        if self.look is None:
            return noisy_or(says, mask.unsqueeze(1))
        weights = masked_softmax(self.look(regions).transpose(1, 2), mask.unsqueeze(1))
        return (weights * says).sum(-1)


def noisy_or(logits: Tensor, mask: Tensor) -> Tensor:
    """The logits of "in one region at least" from those of each region, over the True places of the last axis.

    p = 1 - product of (1 - p_r), computed with logarithms so that many or few regions lose no digits.

    >>> two = noisy_or(torch.zeros(1, 3), torch.tensor([[True, True, False]]))
    >>> round(two.sigmoid().item(), 4)
    0.75
    """
    nowhere = -(softplus(logits.float()) * mask).sum(-1)  # log of the product, at most 0
    return torch.log((-torch.expm1(nowhere)).clamp(min=torch.finfo(torch.float32).tiny)) - nowhere
