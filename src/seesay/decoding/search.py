"""Greedy search, sampling and beam search over anything with `step(tokens, state) -> (logits, state)`.

The state is a NamedTuple of batch-first tensors. Every function takes the state of B pictures before their first word
and returns, for each picture, its hypotheses, the best first. There is always at least one, ended or not.
B pictures, K beams or samples, R regions, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from seesay.decoding.settings import NEVER, Decoding, Hypothesis, ranked
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

__all__ = ["Decoding", "Generators", "Hypothesis", "Steps", "beam", "decode", "greedy", "restrict", "sample"]

Generators = torch.Generator | Sequence[torch.Generator] | None  # for all pictures together, or one for each


class Steps(Protocol):
    """What a model must offer to be decoded."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits (B, V) of the next word after `tokens` (B,), and the new state."""


def decode(model: Steps, state: Any, decoding: Decoding, generators: Generators = None) -> list[list[Hypothesis]]:
    """Search by `decoding.method`; only sampling needs `generators`."""
    if decoding.method == "sample":
        return sample(model, state, decoding, generators)
    return beam(
        model,
        state,
        width=decoding.rows,
        max_length=decoding.max_length,
        length_penalty=decoding.length_penalty,
        wanted=decoding.wanted,
    )


def greedy(model: Steps, state: Any, *, max_length: int = 20, length_penalty: float = 0.0) -> list[list[Hypothesis]]:
    """The likeliest word at each step: a beam of one."""
    return beam(model, state, width=1, max_length=max_length, length_penalty=length_penalty)


def log_probabilities(logits: Tensor, first: bool) -> Tensor:
    """Log-probabilities (..., V) in float32 of what may be said: never <unk>, <pad>, <bos>, nor an empty sentence.

    The normaliser still counts the forbidden words, so that a score is the model's own probability.
    """
    scores = logits.float().log_softmax(-1)
    forbidden = [UNK, PAD, BOS, EOS] if first else [UNK, PAD, BOS]
    scores[..., forbidden] = NEVER
    return scores


def _rank(sums: Tensor, length: Tensor, penalty: float) -> Tensor:
    return sums / length.float().clamp(min=1) ** penalty if penalty else sums


class _Beams(NamedTuple):
    """K beams of each of the B pictures still searching; all (B, K, ...). An ended beam keeps its place."""

    sums: Tensor
    ended: Tensor
    tokens: Tensor  # (B, K, t), <pad> after <eos>
    attention: Tensor | None  # (B, K, t, R)

    def of(self, places: Tensor) -> _Beams:
        """The beams of the pictures at these places."""
        attention = None if self.attention is None else self.attention[places]
        return _Beams(self.sums[places], self.ended[places], self.tokens[places], attention)

    def lengths(self) -> Tensor:
        """Words said so far (B, K), <eos> among them."""
        return (self.tokens != PAD).sum(-1)

    def growing(self) -> Tensor:
        """Which beams (B, K) can still be continued; the model is asked about these alone."""
        return ~self.ended & (self.sums > NEVER)


@torch.no_grad()
def beam(
    model: Steps, state: Any, *, width: int = 5, max_length: int = 20, length_penalty: float = 0.0, wanted: int = 0
) -> list[list[Hypothesis]]:
    """Beam search; `width` hypotheses a picture, or the best `wanted` of these; distinct, the best first.

    Ended and growing beams compete for the same `width` places, each with its score so far. The rows of a beam leave
    the batch once it has ended, and a picture leaves once nothing that grows can come among its wanted ones; no picture
    depends on its neighbours.
    """
    count = len(state[0])
    found: list[list[Hypothesis]] = [[] for _ in range(count)]
    waiting = torch.arange(count, device=state[0].device)
    beams = _first_beams(state, width)
    words = torch.full((count,), BOS, device=waiting.device)
    for position in range(max_length):
        if len(waiting) == 0:
            break
        logits, state = model.step(words, state)
        beams, rows = _extend(beams, logits, getattr(state, "attention", None), length_penalty)
        last = position == max_length - 1
        leaving = _settled(beams, 0 if length_penalty else wanted) | last
        for place in leaving.nonzero().flatten().tolist():
            found[int(waiting[place])] = _hypotheses(beams, place, length_penalty)[: wanted or None]
        stay = (~leaving).nonzero().flatten()
        beams, waiting = beams.of(stay), waiting[stay]
        growing = beams.growing()
        state, words = select(state, rows[stay][growing]), beams.tokens[..., -1][growing]
    return found


def _first_beams(state: Any, width: int) -> _Beams:
    count, device = len(state[0]), state[0].device
    sums = torch.full((count, width), NEVER, device=device)
    sums[:, 0] = 0.0  # the beams start alike: only the first may grow
    tokens = torch.empty((count, width, 0), dtype=torch.long, device=device)
    where = getattr(state, "attention", None)
    attention = None if where is None else where.new_empty(count, width, 0, where.shape[-1])
    return _Beams(sums, torch.zeros_like(sums, dtype=torch.bool), tokens, attention)


def _extend(beams: _Beams, logits: Tensor, where: Tensor | None, penalty: float) -> tuple[_Beams, Tensor]:
    """The best K continuations of each picture, and the rows (B, K) of the state that the growing ones grew from.

    `logits` and `where` have a row for each growing beam, in their order.
    """
    count, width = beams.sums.shape
    growing = beams.growing()
    scores = torch.full((count, width, logits.shape[-1]), NEVER, device=logits.device)
    scores[growing] = log_probabilities(logits, first=beams.tokens.shape[-1] == 0)
    size = scores.shape[-1]
    scores[..., PAD].masked_fill_(beams.ended, 0.0)  # an ended beam goes on unchanged
    sums = beams.sums.unsqueeze(-1) + scores
    lengths = beams.lengths() + (~beams.ended)
    ranked = _rank(sums, lengths.unsqueeze(-1), penalty)
    best = ranked.flatten(1).topk(width).indices
    parent, word = best // size, best % size
    pick = torch.arange(count, device=best.device).unsqueeze(1)
    attention = None
    if where is not None and beams.attention is not None:
        now = where.new_zeros(count, width, where.shape[-1])
        now[growing] = where
        attention = torch.cat([beams.attention, now.unsqueeze(2)], dim=2)[pick, parent]
    grown = _Beams(
        sums.flatten(1).gather(1, best),
        beams.ended[pick, parent] | (word == EOS),
        torch.cat([beams.tokens[pick, parent], word.unsqueeze(-1)], dim=-1),
        attention,
    )
    return grown, (growing.flatten().cumsum(0) - 1).view(count, width)[pick, parent]


def _settled(beams: _Beams, wanted: int) -> Tensor:
    """Pictures (B,) of which no beam grows, or none that could come among the best `wanted`: sums can only fall."""
    growing = beams.sums.masked_fill(beams.ended, NEVER).amax(1)
    settled = growing == NEVER
    if wanted:
        kept = beams.sums.masked_fill(~beams.ended, NEVER).topk(min(wanted, beams.sums.shape[1])).values[:, -1]
        settled = settled | (growing < kept)
    return settled


def _hypotheses(beams: _Beams, place: int, penalty: float) -> list[Hypothesis]:
    scores = _rank(beams.sums[place], beams.lengths()[place], penalty)
    attention = None if beams.attention is None else beams.attention[place]
    return ranked(scores.tolist(), beams.ended[place].tolist(), beams.tokens[place].tolist(), attention)


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


@torch.no_grad()
def sample(model: Steps, state: Any, decoding: Decoding, generators: Generators = None) -> list[list[Hypothesis]]:
    """Draws `decoding.candidates` sentences a picture; scores are the model's own, unrestricted.

    With a generator for each picture, its sentences do not depend on what else is in the batch.
    """
    count, each = len(state[0]), decoding.candidates
    rows = torch.arange(count, device=state[0].device).repeat_interleave(each)
    state = select(state, rows)
    words = torch.full_like(rows, BOS)
    sums, ended = torch.zeros(len(rows), device=rows.device), torch.zeros_like(rows, dtype=torch.bool)
    said: list[Tensor] = []
    seen: list[Tensor] = []
    for position in range(decoding.max_length):
        logits, state = model.step(words, state)
        scores = log_probabilities(logits, first=position == 0)
        narrowed = restrict(scores / decoding.temperature, top_k=decoding.top_k, top_p=decoding.top_p)
        drawn = _draw(narrowed.softmax(-1), each, generators)
        words = torch.where(ended, PAD, drawn)
        sums = sums + torch.where(ended, 0.0, scores.gather(1, drawn.unsqueeze(1)).squeeze(1))
        ended = ended | (words == EOS)
        said.append(words)
        if (where := getattr(state, "attention", None)) is not None:
            seen.append(where)
        if bool(ended.all()):
            break
    attention = torch.stack(seen, 1).view(count, each, len(seen), -1) if seen else None
    tokens = torch.stack(said, 1).view(count, each, -1)
    drawn_all = _Beams(sums.view(count, each), ended.view(count, each), tokens, attention)
    return [_hypotheses(drawn_all, place, decoding.length_penalty) for place in range(count)]


def _draw(chances: Tensor, each: int, generators: Generators) -> Tensor:
    """A word for each row of `chances` (B * each, V), the rows of a picture by its own generator."""
    if generators is None or isinstance(generators, torch.Generator):
        return torch.multinomial(chances, 1, generator=generators).squeeze(1)
    parts = zip(chances.split(each), generators, strict=True)
    return torch.cat([torch.multinomial(part, 1, generator=own) for part, own in parts]).squeeze(1)
