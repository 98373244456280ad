"""Several models that speak with one voice: the mean of their probabilities for each next word.

They may be of any kinds and sizes, with one vocabulary. B pictures, R regions, V vocabulary size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seesay.decoding.scores import widened
from seesay.errors import DataError
from seesay.nn.state import select


class Members:
    """The states of the models, one each; a part of a decoding state, with `len` and `select(rows)`."""

    def __init__(self, states: Sequence[Any]) -> None:
        self.states = tuple(states)

    def __len__(self) -> int:
        return len(self.states[0][0])

    def select(self, rows: Tensor) -> Members:
        """The states of the given rows, in that order."""
        return Members([select(state, rows) for state in self.states])


class Looking(NamedTuple):
    """The state of models of which some say where they look."""

    attention: Tensor  # (B, R) the mean of those who say
    members: Members


class Telling(NamedTuple):
    """The state of models that do not say where they look."""

    rows: Tensor  # (B,) nothing but the number of rows
    members: Members


class Ensemble:
    """Models as one with `start` and `step`; its logits are the log of the mean of their probabilities.

    Raises DataError for none, or where their vocabularies differ in size.

    >>> from seesay.models import build
    >>> one = build("captioning_rnn", {"hidden_size": 8}, feature_size=4, vocabulary_size=10).eval()
    >>> both = Ensemble([one, one])
    >>> features, mask = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    >>> words = torch.tensor([2, 2])
    >>> found, expected = (m.step(words, m.start(features, mask))[0].log_softmax(-1) for m in (both, one))
    >>> torch.allclose(found, expected, atol=1e-5)
    True
    """

    def __init__(self, models: Sequence[Any]) -> None:
        if not models:
            raise DataError("ensemble: received no model; expected one at least.")
        self.models = list(models)

    def eval(self) -> Ensemble:
        """All models as they are in use, without dropout."""
        for model in self.models:
            model.eval()
        return self

    def start(self, *inputs: Tensor) -> Looking | Telling:
        """The state before the first word, from `features` (B, R, D), `mask` (B, R) and whatever else a task has."""
        return _joined([model.start(*inputs) for model in self.models])

    def step(self, tokens: Tensor, state: Looking | Telling) -> tuple[Tensor, Looking | Telling]:
        """Log-probabilities (B, V) of the next word after `tokens` (B,), up to rounding."""
        found, states = [], []
        for model, own in zip(self.models, state.members.states, strict=True):
            logits, after = model.step(tokens, own)
            found.append(widened(logits).log_softmax(-1))
            states.append(after)
        sizes = sorted({logs.shape[-1] for logs in found})
        if len(sizes) > 1:
            raise DataError(f"ensemble: received vocabularies of {sizes} words; expected one and the same for all.")
        return torch.stack(found).logsumexp(0) - math.log(len(found)), _joined(states)


def _joined(states: Sequence[Any]) -> Looking | Telling:
    looked = [state.attention for state in states if getattr(state, "attention", None) is not None]
    members = Members(states)
    if looked:
        return Looking(torch.stack(looked).mean(0), members)
    return Telling(torch.zeros(len(members), device=states[0][0].device), members)
