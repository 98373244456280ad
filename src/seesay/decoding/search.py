"""Greedy search, beam search and sampling over anything with `step(tokens, state) -> (logits, state)`.

The state is a NamedTuple of batch-first tensors, or of parts that select their own rows (`seesay.nn.state`). Every
function takes the state of B pictures before their first word and returns, for each picture, its sentences, the best
first. There is always at least one, ended or not. B pictures, W sentences of each, T words, V vocabulary size.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from seesay.decoding.beams import Beams, Found, Growth, first_beams, ranks
from seesay.decoding.sampling import Generators, draw
from seesay.decoding.scores import log_probabilities, restrict
from seesay.decoding.settings import (
    NEVER,
    Decoding,
    Hypothesis,
    Resolved,
    check_resolved,
    ranked,
    without_repeats,
)
from seesay.errors import DataError
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, PAD

__all__ = [
    "Decoding",
    "Found",
    "Generators",
    "Hypothesis",
    "Steps",
    "beam",
    "decode",
    "find",
    "greedy",
    "log_probabilities",
    "restrict",
    "sample",
]


class Steps(Protocol):
    """What a model must offer to be decoded."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits (B, V) of the next word after `tokens` (B,), and the new state. The search may overwrite logits."""


def decode(model: Steps, state: Any, decoding: Decoding, generators: Generators = None) -> list[list[Hypothesis]]:
    """Search by `decoding.method`; only sampling needs `generators`.

    Raises RecipeError where `decoding` has words without ids, DataError where logits are not numbers, or no sentence
    is possible under the constraints.
    """
    resolved = check_resolved(decoding)
    found = draw(model, state, resolved, generators) if decoding.method == "sample" else find(model, state, resolved)
    return _hypotheses(found, resolved)


def greedy(model: Steps, state: Any, *, max_length: int = 20, length_penalty: float = 0.0) -> list[list[Hypothesis]]:
    """The likeliest word at each step: a beam of one."""
    return beam(model, state, width=1, max_length=max_length, length_penalty=length_penalty)


def beam(
    model: Steps, state: Any, *, width: int = 5, max_length: int = 20, length_penalty: float = 0.0, wanted: int = 0
) -> list[list[Hypothesis]]:
    """Beam search; `width` hypotheses a picture, or the best `wanted` of these; distinct, the best first."""
    return decode(model, state, Decoding("beam", width, max_length, length_penalty, wanted=wanted))


def sample(model: Steps, state: Any, decoding: Decoding, generators: Generators = None) -> list[list[Hypothesis]]:
    """Draws `decoding.candidates` sentences a picture; scores are the model's own, unrestricted.

    With a generator for each picture, its sentences do not depend on what else is in the batch.
    """
    resolved = check_resolved(decoding)
    return _hypotheses(draw(model, state, resolved, generators), resolved)


@torch.no_grad()
def find(model: Steps, state: Any, decoding: Decoding) -> Found:
    """Beam search, as tensors; of each picture's sentences the best first, distinct.

    Ended and growing beams compete for the same places, each with its score so far. The rows of a beam leave the batch
    once it has ended, and a picture leaves once nothing that grows can come among its wanted ones; no picture depends
    on its neighbours.
    """
    decoding = check_resolved(decoding)
    count, device = len(state[0]), state[0].device
    growth = Growth(decoding, device)
    beams = first_beams(count, decoding, state[0], getattr(state, "attention", None))
    found = _nothing_yet(beams, decoding)
    waiting = torch.arange(count, device=device)
    words = torch.full((count * decoding.groups,), BOS, device=device)
    if decoding.groups > 1:
        state = select(state, waiting.repeat_interleave(decoding.groups))
    for position in range(decoding.max_length if count else 0):
        logits, state = model.step(words, state)
        beams, rows = growth(beams, logits, getattr(state, "attention", None))
        leaving = _settled(beams, decoding) | (position == decoding.max_length - 1)
        found = _kept(found, waiting[leaving], beams.of(leaving))
        stay = (~leaving).nonzero().flatten()
        if len(stay) == 0:
            break
        beams, waiting = beams.of(stay), waiting[stay]
        growing = beams.growing()
        state, words = select(state, rows[stay][growing]), beams.tokens[..., -1][growing]
    return _in_order(found, decoding)


def _settled(beams: Beams, decoding: Resolved) -> Tensor:
    """Pictures (B,) of which no beam grows, or none that could come among the best wanted: sums can only fall."""
    sums, ended = beams.sums.flatten(1), beams.ended.flatten(1)
    growing = sums.masked_fill(ended, NEVER).amax(1)
    settled = growing == NEVER
    # With a penalty a longer sentence may still win; two groups may have found the same one.
    if decoding.wanted and not decoding.length_penalty and (decoding.groups == 1 or decoding.wanted == 1):
        kept = sums.masked_fill(~ended, NEVER).topk(min(decoding.wanted, beams.sums.shape[2])).values[:, -1]
        settled = settled | (growing < kept)
    return settled


def _nothing_yet(beams: Beams, decoding: Resolved) -> Found:
    """Room for what will be found, and nothing in it. Of banks, only the last one's sentences count."""
    count, groups, width = beams.sums.shape
    shape = (count, width * (1 if decoding.required_ids else groups))
    ids = beams.tokens.new_full((*shape, decoding.max_length), PAD)
    where = beams.attention
    attention = None if where is None else where.new_zeros(*ids.shape, where.shape[-1])
    never = beams.sums.new_full(shape, NEVER)
    return Found(ids, beams.lengths.new_zeros(shape), never, torch.zeros_like(never, dtype=torch.bool), attention)


def _kept(found: Found, pictures: Tensor, beams: Beams) -> Found:
    """`found` with the sentences of pictures that leave."""
    if len(pictures) == 0:
        return found
    each, said = found.sums.shape[1], beams.tokens.shape[-1]

    def last(part: Tensor) -> Tensor:
        return part.flatten(1, 2)[:, -each:]

    found.ids[pictures, :, :said] = last(beams.tokens)
    found.lengths[pictures], found.ended[pictures] = last(beams.lengths), last(beams.ended)
    if found.attention is not None and beams.attention is not None:
        found.attention[pictures, :, :said] = last(beams.attention)
    sums = found.sums.to(beams.sums.dtype)  # float64 where the model computes in it
    sums[pictures] = last(beams.sums)
    return found._replace(sums=sums)


def _in_order(found: Found, decoding: Resolved) -> Found:
    """The best first, and no sentence of a picture twice."""
    sums = found.sums
    if decoding.groups > 1:
        same = (found.ids.unsqueeze(1) == found.ids.unsqueeze(2)).all(-1)
        sums = sums.masked_fill(same.tril(-1).any(2), NEVER)
    if bool((sums == NEVER).all(1).any()):
        raise DataError(
            "decoding: received constraints that leave no sentence; expected one at least; lower min_length or "
            "no_repeat_ngram, or require fewer words."
        )
    order = ranks(sums, found.lengths, decoding.length_penalty).argsort(dim=1, descending=True, stable=True)
    picture = torch.arange(len(order), device=order.device).unsqueeze(1)
    return Found(*(None if part is None else part[picture, order] for part in found._replace(sums=sums)))  # type: ignore[arg-type]


def _hypotheses(found: Found, decoding: Resolved) -> list[list[Hypothesis]]:
    scores = ranks(found.sums, found.lengths, decoding.length_penalty).tolist()
    result = []
    for place, (ended, ids) in enumerate(zip(found.ended.tolist(), found.ids.tolist(), strict=True)):
        where = None if found.attention is None else found.attention[place]
        some = ranked(scores[place], ended, ids, where)
        if decoding.method == "beam" and decoding.wanted:
            some = some[: decoding.wanted]
        result.append([without_repeats(one) for one in some] if decoding.deduplicate else some)
    return result
