"""Sentences drawn at random, word by word. B pictures, N sentences under way, R regions, V vocabulary size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seesay.decoding.beams import Found
from seesay.decoding.constraints import Constraints
from seesay.decoding.scores import normalisers, restrict, widened
from seesay.decoding.settings import NEVER, Resolved
from seesay.errors import DataError
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD

Generators = torch.Generator | Sequence[torch.Generator] | None  # for all pictures together, or one for each


@torch.no_grad()
def draw(model: Any, state: Any, decoding: Resolved, generators: Generators = None) -> Found:
    """Draws `decoding.candidates` sentences a picture, in the order of drawing; ended ones leave the batch.

    Sums are the model's own, unrestricted. With a generator for each picture, its sentences do not depend on what else
    is in the batch.
    """
    count, each = len(state[0]), decoding.candidates
    device = state[0].device
    under_way = torch.arange(count * each, device=device)
    state = select(state, under_way // each)
    words = torch.full_like(under_way, BOS)
    tokens = words.new_full((len(words), decoding.max_length), PAD)
    sums = torch.zeros(len(words), dtype=torch.float64, device=device)
    constraints, seen = Constraints(decoding, device), []
    for position in range(decoding.max_length):
        if len(under_way) == 0:
            break
        logits, state = model.step(words, state)
        logits = widened(logits)
        base = normalisers(logits)
        constraints.apply(logits, tokens[under_way, :position])
        narrowed = logits if decoding.temperature == 1 else logits / decoding.temperature
        narrowed = restrict(narrowed, top_k=decoding.top_k, top_p=decoding.top_p)
        words = _words(narrowed, _numbers(under_way // each, generators, count))
        sums[under_way] += (logits.gather(1, words.unsqueeze(1)).squeeze(1) - base).double()
        tokens[under_way, position] = words
        if (where := getattr(state, "attention", None)) is not None:
            seen.append(where.new_zeros(len(tokens), where.shape[-1]).index_copy(0, under_way, where))
        stay = (words != EOS).nonzero().flatten()
        if len(stay) < len(words):
            state, words, under_way = select(state, stay), words[stay], under_way[stay]
    attention = torch.stack(seen, 1).view(count, each, len(seen), -1) if seen else None
    tokens = tokens.view(count, each, -1)
    ended = (tokens == EOS).any(-1)
    return Found(tokens, (tokens != PAD).sum(-1), sums.view(count, each).to(torch.float32), ended, attention)


def _words(scores: Tensor, numbers: Tensor) -> Tensor:
    """The word (N,) of each row of unnormalised log-probabilities (N, V) in whose stretch of 0 to 1 its number falls.

    One number a row, where torch's own draw takes one for each word of the vocabulary.
    """
    highest = scores.amax(-1, keepdim=True)
    if bool((highest == NEVER).any()):
        raise DataError("decoding: received constraints that leave no word to say; expected one at least; loosen them.")
    reached = (scores - highest).exp_().cumsum(-1, dtype=torch.float64)
    # Scaled by the last sum and strictly above: a word of no chance is never drawn, whatever the rounding.
    aim = torch.minimum(numbers * reached[:, -1], reached[:, -1] * (1 - 2**-52))
    return torch.searchsorted(reached, aim.unsqueeze(1), right=True).squeeze(1)


def _numbers(pictures: Tensor, generators: Generators, count: int) -> Tensor:
    """A number (N,) from 0 up to 1 for each sentence of the `pictures` (N,), in order, by its picture's generator."""
    device = pictures.device
    if generators is None or isinstance(generators, torch.Generator):
        return torch.rand(len(pictures), dtype=torch.float64, generator=generators, device=device)
    sizes = torch.bincount(pictures, minlength=count).tolist()
    parts = zip(sizes, generators, strict=True)
    return torch.cat([torch.rand(n, dtype=torch.float64, generator=own, device=device) for n, own in parts if n])
