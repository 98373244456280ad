"""From a model to token ids: greedy, sampling and beam search over anything with `start` and `step`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seesay.decoding.beams import Found
    from seesay.decoding.search import Steps


def beam(
    model: Steps, state: Any, *, width: int = 5, max_length: int = 20, length_penalty: float = 0.0, **options: Any
) -> Found:
    """Beam search over `model.step` from the `state` of B pictures before their first word, as tensors.

    Ids (B, K, max_length) with <pad> after <eos>, lengths (B, K), raw sums of log-probabilities (B, K), which have
    ended, and where the model looked; for each picture the best first. Further `options` are those of
    `seesay.decoding.settings.Decoding`, which raises `RecipeError` where they are out of range.

    >>> import torch
    >>> from typing import NamedTuple
    >>> class Count(NamedTuple):
    ...     said: torch.Tensor
    >>> class Parrot:  # says word 4 twice, then ends
    ...     def step(self, tokens, state):
    ...         return 50 * torch.eye(5)[torch.where(state.said < 2, 4, 3)], Count(state.said + 1)
    >>> found = beam(Parrot(), Count(torch.zeros(1)), width=1, max_length=4)
    >>> found.ids.tolist(), found.lengths.tolist()
    ([[[4, 4, 3, 1]]], [[3]])
    """
    from seesay.decoding import search  # brings torch, which settings and the search on arrays do without

    settings = search.Decoding("beam", width, max_length, length_penalty, **options)
    return search.find(model, state, settings)
