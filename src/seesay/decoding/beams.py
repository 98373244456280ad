"""Beams of pictures and how they grow: together, in groups that keep apart, or in banks by the required words said.

B pictures, G groups or banks of K beams each, N beams that grow, V vocabulary size, R regions, C required words.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seesay.decoding.constraints import Constraints
from seesay.decoding.scores import best, normalisers, widened
from seesay.decoding.settings import NEVER, Resolved
from seesay.text.vocabulary import EOS, PAD


class Found(NamedTuple):
    """Sentences of B pictures, W each, the best first."""

    ids: Tensor  # (B, W, T), <pad> after <eos>
    lengths: Tensor  # (B, W) words, <eos> among them
    sums: Tensor  # (B, W) of log-probabilities, without any penalty; -inf where there is no such sentence
    ended: Tensor  # (B, W) False where the greatest length cut it off
    attention: Tensor | None  # (B, W, T, R)


class Beams(NamedTuple):
    """The beams of the pictures still searching; all (B, G, K, ...). An ended beam keeps its place."""

    sums: Tensor
    ended: Tensor
    lengths: Tensor  # words said, <eos> among them
    tokens: Tensor  # (B, G, K, t), <pad> after <eos>
    met: Tensor  # (B, G, K, C) which required words have been said
    attention: Tensor | None  # (B, G, K, t, R)

    def of(self, places: Tensor) -> Beams:
        """The beams of the pictures at these places."""
        return Beams(*(None if part is None else part[places] for part in self))  # type: ignore[arg-type]

    def growing(self) -> Tensor:
        """Which beams (B, G, K) can still be continued; the model is asked about these alone."""
        return ~self.ended & (self.sums > NEVER)


class _Choice(NamedTuple):
    """The best K continuations of each group: (B, G, K) each."""

    parents: Tensor  # places among the picture's G * K beams
    words: Tensor
    sums: Tensor


def first_beams(count: int, decoding: Resolved, like: Tensor, where: Tensor | None) -> Beams:
    """Beams of `count` pictures before the first word, on the device of `like`; `where` (count, R) gives R."""
    required = len(decoding.required_ids)
    shape = (count, 1 + required, decoding.beam if decoding.method == "beam" else 1)
    if decoding.groups > 1:
        shape = (count, decoding.groups, decoding.beam // decoding.groups)
    sums = torch.full(shape, NEVER, device=like.device)
    # Beams of a group start alike: only the first may grow. No required word has been said yet.
    sums[:, : decoding.groups, 0] = 0.0
    lengths = torch.zeros(shape, dtype=torch.long, device=like.device)
    met = torch.zeros(*shape, required, dtype=torch.bool, device=like.device)
    attention = None if where is None else where.new_empty(*shape, 0, where.shape[-1])
    return Beams(sums, torch.zeros_like(sums, dtype=torch.bool), lengths, lengths.new_empty(*shape, 0), met, attention)


def ranks(sums: Tensor, lengths: Tensor, penalty: float) -> Tensor:
    """What sentences are compared by: sums over lengths ** penalty."""
    return sums / lengths.clamp(min=1).to(sums.dtype) ** penalty if penalty else sums


class Growth:
    """Beams grow by a word. `logits` and `where` of a step have a row for each growing beam, in their order."""

    def __init__(self, decoding: Resolved, device: torch.device) -> None:
        self.decoding = decoding
        self.constraints = Constraints(decoding, device)
        self.required = torch.tensor(decoding.required_ids, dtype=torch.long, device=device)

    def __call__(self, beams: Beams, logits: Tensor, where: Tensor | None) -> tuple[Beams, Tensor]:
        """The best continuations of each picture, and the rows (B, G, K) of the state that they grew from.

        `logits` are used up.
        """
        growing = beams.growing()
        logits = widened(logits)
        base = beams.sums[growing] - normalisers(logits)
        self.constraints.apply(logits, beams.tokens[growing])
        if len(self.required):
            choice = self._in_banks(beams, growing, logits, base)
        else:
            choice = self._in_groups(beams, growing, logits, base)
        row = growing.flatten().cumsum(0).view_as(growing) - 1
        return self._grown(beams, growing, choice, where), _gather(row, choice.parents)

    def _grown(self, beams: Beams, growing: Tensor, choice: _Choice, where: Tensor | None) -> Beams:
        ended = _gather(beams.ended, choice.parents)
        attention = beams.attention
        if where is not None and attention is not None:
            now = where.new_zeros(*growing.shape, 1, where.shape[-1])
            now[growing] = where.unsqueeze(1)
            attention = _gather(torch.cat([attention, now], dim=3), choice.parents)
        return Beams(
            choice.sums,
            ended | (choice.words == EOS),
            _gather(beams.lengths, choice.parents) + ~ended,
            torch.cat([_gather(beams.tokens, choice.parents), choice.words.unsqueeze(-1)], dim=-1),
            _gather(beams.met, choice.parents) | (choice.words.unsqueeze(-1) == self.required),
            attention,
        )

    def _own(self, beams: Beams, growing: Tensor, values: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Sums and words (B, G, K, k) that can come next, from those (N, k) of the growing beams.

        Of one beam's words at most K can be among the best K of all, so each beam brings its own best: a picture then
        chooses from K times K words, not from K times V.
        """
        sums = values.new_full((*growing.shape, values.shape[1]), NEVER)
        table = torch.full_like(sums, PAD, dtype=torch.long)
        sums[growing], table[growing] = values, words
        sums[..., 0] = torch.where(beams.ended, beams.sums.to(sums.dtype), sums[..., 0])  # goes on unchanged
        return sums, table

    def _ranks(self, beams: Beams, sums: Tensor) -> Tensor:
        return ranks(sums, (beams.lengths + ~beams.ended).unsqueeze(-1), self.decoding.length_penalty)

    def _in_groups(self, beams: Beams, growing: Tensor, logits: Tensor, base: Tensor) -> _Choice:
        """Each group chooses from its own beams' words, and later ones avoid what earlier ones have just chosen."""
        groups, width = growing.shape[1:]
        picture, group, _ = growing.nonzero(as_tuple=True)
        chosen: list[_Choice] = []
        for number in range(groups):
            mine = slice(None) if groups == 1 else (group == number).nonzero().flatten()
            scores, less = logits[mine], None
            if chosen and self.decoding.diversity:
                said = torch.cat([each.words for each in chosen], dim=1)
                cost = torch.where(said == PAD, 0.0, -self.decoding.diversity).to(scores.dtype)  # <pad>: had ended
                less = torch.zeros_like(scores).scatter_add_(1, said[picture[mine]], cost[picture[mine]])
            values, words = best(scores if less is None else scores + less, min(width, scores.shape[1]))
            values = scores.gather(1, words) + base[mine].unsqueeze(1)
            some = Beams(*(None if part is None else part[:, number : number + 1] for part in beams))  # type: ignore[arg-type]
            sums, table = self._own(some, growing[:, number : number + 1], values, words)
            order = self._ranks(some, sums)
            if less is not None:
                order = order.clone()  # the sums themselves stay as they are
                order[growing[:, number : number + 1]] += less.gather(1, words)
            at = order.flatten(1).topk(width).indices
            parents = at // sums.shape[-1] + number * width
            chosen.append(_Choice(parents, table.flatten(1).gather(1, at), sums.flatten(1).gather(1, at)))
        return _Choice(*(torch.stack(parts, dim=1) for parts in zip(*chosen, strict=True)))

    def _in_banks(self, beams: Beams, growing: Tensor, logits: Tensor, base: Tensor) -> _Choice:
        """Bank c keeps the best sentences that have c required words: its own, longer by another word, and those of the
        bank before, longer by a required one (grid beam search: Hokamp and Liu 2017). Only the last bank's may end.
        """
        width, unmet = growing.shape[2], ~beams.met[growing]
        asked = logits[:, self.required]
        opened = torch.full((*growing.shape, len(self.required)), NEVER, dtype=logits.dtype, device=logits.device)
        opened[growing] = asked.masked_fill(~unmet, NEVER) + base.unsqueeze(1)
        logits[:, self.required] = asked.masked_fill(unmet, NEVER)
        logits[:, EOS].masked_fill_(unmet.any(1), NEVER)
        values, words = best(logits, min(width, logits.shape[1]))
        sums, table = self._own(beams, growing, values + base.unsqueeze(1), words)
        orders = (self._ranks(beams, sums), self._ranks(beams, opened))
        needed = self.required.expand_as(opened)
        chosen = []
        beam = torch.arange(width, device=logits.device)
        for bank in range(growing.shape[1]):
            sources = [(bank, sums, table, orders[0]), (bank - 1, opened, needed, orders[1])][: 2 if bank else 1]
            total = torch.cat([some[:, at].flatten(1) for at, some, _, _ in sources], dim=1)
            word = torch.cat([some[:, at].flatten(1) for at, _, some, _ in sources], dim=1)
            order = torch.cat([some[:, at].flatten(1) for at, _, _, some in sources], dim=1)
            parent = torch.cat([(at * width + beam).repeat_interleave(some.shape[-1]) for at, some, _, _ in sources])
            at = order.topk(width).indices
            chosen.append(_Choice(parent[at], word.gather(1, at), total.gather(1, at)))
        return _Choice(*(torch.stack(parts, dim=1) for parts in zip(*chosen, strict=True)))


def _gather(part: Tensor, parents: Tensor) -> Tensor:
    """Of each picture's beams (B, G, K, ...) those at `parents` (B, G, K)."""
    picture = torch.arange(len(part), device=part.device)[:, None, None]
    return part.flatten(1, 2)[picture, parents]
