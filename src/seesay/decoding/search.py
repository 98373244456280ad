"""Greedy search, sampling and beam search over anything with `step(tokens, state) -> (logits, state)`.

The state is a NamedTuple of batch-first tensors. Every function takes the state of B pictures before their first word
and returns, for each picture, its hypotheses, the best first. There is always at least one, ended or not.
B pictures, K beams or samples, R regions, V vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from seesay.errors import RecipeError, UnknownName
from seesay.nn.state import select
from seesay.text.vocabulary import BOS, EOS, PAD, UNK

NEVER = float("-inf")
METHODS = ("greedy", "beam", "sample")


class Steps(Protocol):
    """What a model must offer to be decoded."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits (B, V) of the next word after `tokens` (B,), and the new state."""


class Hypothesis(NamedTuple):
    """One sentence: ids without <bos> and <eos>, and how likely the model finds it."""

    tokens: list[int]
    score: float  # sum of log-probabilities, <eos> included, over length ** length_penalty
    ended: bool  # False where max_length cut it off
    attention: Tensor | None  # (len(tokens), R), where the model tells


@dataclass(frozen=True)
class Decoding:
    """How sentences are searched for. `length_penalty` 0 ranks by probability, 1 by the mean over words.

    `top_k` 0 and `top_p` 1 leave sampling unrestricted. `candidates` is how many sentences sampling draws a picture.
    """

    method: str = "beam"
    beam: int = 5
    max_length: int = 20
    length_penalty: float = 0.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    candidates: int = 1

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName("decoding method", self.method, METHODS)
        limits = [
            ("beam", self.beam >= 1, "at least 1"),
            ("max_length", self.max_length >= 1, "at least 1"),
            ("temperature", self.temperature > 0, "above 0"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("candidates", self.candidates >= 1, "at least 1"),
        ]
        for name, fine, expected in limits:
            if not fine:
                raise RecipeError(f"decoding.{name}: received {getattr(self, name)}; expected {expected}.")


def decode(
    model: Steps, state: Any, decoding: Decoding, generator: torch.Generator | None = None
) -> list[list[Hypothesis]]:
    """Search by `decoding.method`; only sampling needs `generator`."""
    if decoding.method == "greedy":
        return greedy(model, state, max_length=decoding.max_length, length_penalty=decoding.length_penalty)
    if decoding.method == "beam":
        return beam(
            model,
            state,
            width=decoding.beam,
            max_length=decoding.max_length,
            length_penalty=decoding.length_penalty,
        )
    return sample(model, state, decoding, generator)


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


@torch.no_grad()
def beam(
    model: Steps, state: Any, *, width: int = 5, max_length: int = 20, length_penalty: float = 0.0
) -> list[list[Hypothesis]]:
    """Beam search; `width` hypotheses a picture, distinct, the best first.

    Ended and growing beams compete for the same `width` places, each with its score so far. A picture leaves the batch
    once all its beams have ended; no picture depends on its neighbours.
    """
    count = len(state[0])
    found: list[list[Hypothesis]] = [[] for _ in range(count)]
    waiting = torch.arange(count, device=state[0].device)
    beams = _first_beams(state, width)
    state = select(state, waiting.repeat_interleave(width))
    words = torch.full((count * width,), BOS, device=waiting.device)
    for position in range(max_length):
        if len(waiting) == 0:
            break
        logits, state = model.step(words, state)
        beams, parents = _extend(beams, logits, getattr(state, "attention", None), length_penalty)
        last = position == max_length - 1
        leaving = _settled(beams) | last
        for place in leaving.nonzero().flatten().tolist():
            found[int(waiting[place])] = _hypotheses(beams, place, length_penalty)
        stay = (~leaving).nonzero().flatten()
        beams = beams.of(stay)
        waiting, rows = waiting[stay], parents[stay].flatten()
        state, words = select(state, rows), beams.tokens[..., -1].flatten()
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
    """The best K continuations of each picture, and the rows (B, K) of the state that they grew from."""
    count, width = beams.sums.shape
    scores = log_probabilities(logits, first=beams.tokens.shape[-1] == 0).view(count, width, -1)
    size = scores.shape[-1]
    scores = scores.masked_fill(beams.ended.unsqueeze(-1), NEVER)
    scores[..., PAD].masked_fill_(beams.ended, 0.0)  # an ended beam goes on unchanged
    sums = beams.sums.unsqueeze(-1) + scores
    lengths = beams.lengths() + (~beams.ended)
    ranked = _rank(sums, lengths.unsqueeze(-1), penalty)
    best = ranked.flatten(1).topk(width).indices
    parent, word = best // size, best % size
    pick = torch.arange(count, device=best.device).unsqueeze(1)
    attention = None
    if where is not None and beams.attention is not None:
        seen = torch.cat([beams.attention, where.view(count, width, 1, -1)], dim=2)
        attention = seen[pick, parent]
    grown = _Beams(
        sums.flatten(1).gather(1, best),
        beams.ended[pick, parent] | (word == EOS),
        torch.cat([beams.tokens[pick, parent], word.unsqueeze(-1)], dim=-1),
        attention,
    )
    return grown, pick * width + parent


def _settled(beams: _Beams) -> Tensor:
    """Pictures (B,) whose every beam has ended. (A beam that cannot grow, sum -inf, counts as ended.)"""
    return (beams.ended | (beams.sums == NEVER)).all(1)


def _hypotheses(beams: _Beams, place: int, penalty: float) -> list[Hypothesis]:
    scores = _rank(beams.sums[place], beams.lengths()[place], penalty)
    result = []
    for k in scores.argsort(descending=True, stable=True).tolist():
        if scores[k] == NEVER:
            continue
        ids = [token for token in beams.tokens[place, k].tolist() if token not in (PAD, EOS)]
        where = None if beams.attention is None else beams.attention[place, k, : len(ids)]
        result.append(Hypothesis(ids, float(scores[k]), bool(beams.ended[place, k]), where))
    return result


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
def sample(
    model: Steps, state: Any, decoding: Decoding, generator: torch.Generator | None = None
) -> list[list[Hypothesis]]:
    """Draws `decoding.candidates` sentences a picture; scores are the model's own, unrestricted."""
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
        drawn = torch.multinomial(narrowed.softmax(-1), 1, generator=generator).squeeze(1)
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
