"""Greedy search, sampling and beam search without torch: what `search.py` does to tensors, done to NumPy arrays.

For anything with `step(tokens, state) -> (logits, state)`, the state a NamedTuple of batch-first arrays. Each function
takes the state of B pictures before their first word and returns, for each picture, its hypotheses, the best first.
There is always at least one, ended or not. B pictures, K beams or samples, R regions, V vocabulary size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from seesay.decoding.numpy_scores import (
    Floats,
    Ids,
    best,
    check_constraints,
    constrain,
    draw,
    log_probabilities,
    restrict,
)
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
from seesay.text.vocabulary import BOS, EOS, PAD

Flags = NDArray[np.bool_]
Generators = Sequence[np.random.Generator] | None  # one for each picture; None draws differently each time
State = TypeVar("State", bound=tuple[NDArray[Any], ...])


class Steps(Protocol):
    """What a model must offer to be decoded."""

    def step(self, tokens: Ids, state: Any) -> tuple[Floats, Any]:
        """Logits (B, V) of the next word after `tokens` (B,), and the new state."""


def decode(model: Steps, state: Any, decoding: Decoding, generators: Generators = None) -> list[list[Hypothesis]]:
    """Search by `decoding.method`; only sampling needs `generators`.

    Raises DataError where the model's logits are not numbers or no sentence is possible, RecipeError for diverse groups
    and required words, which torch's search has.

    >>> class Parrot:  # says word 4 twice, then ends: the state counts the words
    ...     def step(self, tokens, state):
    ...         words = np.where(state[0] < 2, 4, EOS)
    ...         return 50.0 * np.eye(5)[words], Count(state[0] + 1)
    >>> class Count(NamedTuple):
    ...     said: np.ndarray
    >>> [[h.tokens for h in some] for some in decode(Parrot(), Count(np.zeros(2)), Decoding("greedy"))]
    [[[4, 4]], [[4, 4]]]
    """
    resolved = check_resolved(decoding)
    check_constraints(resolved)
    search = _draw if decoding.method == "sample" else _find
    found = search(model, state, resolved, generators)
    return [[without_repeats(one) for one in some] for some in found] if decoding.deduplicate else found


def greedy(model: Steps, state: Any, *, max_length: int = 20, length_penalty: float = 0.0) -> list[list[Hypothesis]]:
    """The likeliest word at each step: a beam of one."""
    return beam(model, state, width=1, max_length=max_length, length_penalty=length_penalty)


def select(state: State, rows: NDArray[np.integer]) -> State:
    """The decoding state of the given batch rows (N,), in that order; rows may repeat (beams) or vanish (finished)."""
    return type(state)(*(part[rows] for part in state))


def _rank(sums: Floats, length: Ids, penalty: float) -> Floats:
    return sums / length.clip(min=1).astype(sums.dtype) ** penalty if penalty else sums


class _Beams(NamedTuple):
    """K beams of each of the B pictures still searching; all (B, K, ...). An ended beam keeps its place."""

    sums: Floats
    ended: Flags
    tokens: Ids  # (B, K, t), <pad> after <eos>
    attention: Floats | None  # (B, K, t, R)

    def of(self, places: Ids) -> _Beams:
        """The beams of the pictures at these places."""
        attention = None if self.attention is None else self.attention[places]
        return _Beams(self.sums[places], self.ended[places], self.tokens[places], attention)

    def lengths(self) -> Ids:
        """Words said so far (B, K), <eos> among them."""
        return (self.tokens != PAD).sum(-1)

    def growing(self) -> Flags:
        """Which beams (B, K) can still be continued; the model is asked about these alone."""
        return ~self.ended & (self.sums > NEVER)


def beam(
    model: Steps, state: Any, *, width: int = 5, max_length: int = 20, length_penalty: float = 0.0, wanted: int = 0
) -> list[list[Hypothesis]]:
    """Beam search; `width` hypotheses a picture, or the best `wanted` of these; distinct, the best first."""
    return decode(model, state, Decoding("beam", width, max_length, length_penalty, wanted=wanted))


def sample(model: Steps, state: Any, decoding: Decoding, generators: Generators = None) -> list[list[Hypothesis]]:
    """Draws `decoding.candidates` sentences a picture; scores are the model's own, unrestricted.

    A picture's sentences depend on its own generator alone, which is asked for `candidates` numbers before each of its
    words, until its last sentence has ended. Ended sentences leave the batch.
    """
    return decode(model, state, replace(decoding, method="sample"), generators)


def _find(model: Steps, state: Any, decoding: Resolved, _: Generators = None) -> list[list[Hypothesis]]:
    """Beam search.

    Ended and growing beams compete for the same places, each with its score so far. The rows of a beam leave
    the batch once it has ended, and a picture leaves once nothing that grows can come among its wanted ones; no picture
    depends on its neighbours.
    """
    count, penalty = len(state[0]), decoding.length_penalty
    wanted = decoding.wanted if decoding.method == "beam" else 0
    found: list[list[Hypothesis]] = [[] for _ in range(count)]
    waiting = np.arange(count)
    beams = _first_beams(state, decoding.rows)
    words = np.full(count, BOS)
    for position in range(decoding.max_length):
        if len(waiting) == 0:
            break
        logits, state = model.step(words, state)
        beams, rows = _extend(beams, logits, getattr(state, "attention", None), decoding)
        last = position == decoding.max_length - 1
        leaving = _settled(beams, 0 if penalty else wanted) | last
        for place in np.flatnonzero(leaving):
            found[waiting[place]] = _hypotheses(beams, place, penalty)[: wanted or None]
        stay = np.flatnonzero(~leaving)
        beams, waiting = beams.of(stay), waiting[stay]
        growing = beams.growing()
        state, words = select(state, rows[stay][growing]), beams.tokens[..., -1][growing]
    if not all(found):
        raise DataError("decoding: received constraints that leave no sentence; expected one at least; loosen them.")
    return found


def _first_beams(state: Any, width: int) -> _Beams:
    count = len(state[0])
    sums = np.full((count, width), NEVER, np.float32)
    sums[:, 0] = 0.0  # the beams start alike: only the first may grow
    where = getattr(state, "attention", None)
    attention = None if where is None else np.empty((count, width, 0, where.shape[-1]), where.dtype)
    return _Beams(sums, np.zeros(sums.shape, bool), np.empty((count, width, 0), np.intp), attention)


def _extend(beams: _Beams, logits: Floats, where: Floats | None, decoding: Resolved) -> tuple[_Beams, Ids]:
    """The best K continuations of each picture, and the rows (B, K) of the state that the growing ones grew from.

    `logits` and `where` have a row for each growing beam, in their order.
    """
    (count, width), growing = beams.sums.shape, beams.growing()
    scores = log_probabilities(logits)
    constrain(scores, beams.tokens[growing], decoding)
    sums, words = _continuations(beams, growing, scores)
    lengths = beams.lengths() + ~beams.ended
    chosen = best(_rank(sums, lengths[..., None], decoding.length_penalty).reshape(count, -1), width)
    parent, pick = chosen // sums.shape[-1], np.arange(count)[:, None]
    word = np.take_along_axis(words.reshape(count, -1), chosen, 1)
    attention = None
    if where is not None and beams.attention is not None:
        now = np.zeros((count, width, where.shape[-1]), where.dtype)
        now[growing] = where
        attention = np.concatenate([beams.attention, now[:, :, None]], 2)[pick, parent]
    grown = _Beams(
        np.take_along_axis(sums.reshape(count, -1), chosen, 1),
        beams.ended[pick, parent] | (word == EOS),
        np.concatenate([beams.tokens[pick, parent], word[..., None]], -1),
        attention,
    )
    return grown, (growing.cumsum() - 1).reshape(count, width)[pick, parent]


def _continuations(beams: _Beams, growing: Flags, scores: Floats) -> tuple[Floats, Ids]:
    """Sums and words (B, K, k) that can come next; `scores` (rows, V), used up, have a row for each growing beam.

    Of one beam's words at most K can be among the best K of all, so each beam brings its own best: a picture then
    chooses from K times K words, not from K times V.
    """
    width = beams.sums.shape[1]
    scores += beams.sums[growing][:, None]
    top = best(scores, min(width, scores.shape[1]))
    sums = np.full((*growing.shape, top.shape[1]), NEVER, scores.dtype)
    words = np.full(sums.shape, PAD)
    sums[growing], words[growing] = np.take_along_axis(scores, top, 1), top
    sums[beams.ended, 0] = beams.sums[beams.ended]  # an ended beam goes on unchanged
    return sums, words


def _settled(beams: _Beams, wanted: int) -> Flags:
    """Pictures (B,) of which no beam grows, or none that could come among the best `wanted`: sums can only fall."""
    growing = np.where(beams.ended, NEVER, beams.sums).max(1)
    settled: Flags = growing == NEVER
    if wanted:
        least = -min(wanted, beams.sums.shape[1])
        kept = np.sort(np.where(beams.ended, beams.sums, NEVER), 1)[:, least]
        settled = settled | (growing < kept)
    return settled


def _hypotheses(beams: _Beams, place: int | np.intp, penalty: float) -> list[Hypothesis]:
    one = beams.of(np.array([place]))
    scores = _rank(one.sums, one.lengths(), penalty)[0]
    attention = None if one.attention is None else one.attention[0]
    return ranked(scores.tolist(), one.ended[0].tolist(), one.tokens[0].tolist(), attention)


def _draw(model: Steps, state: Any, decoding: Resolved, generators: Generators = None) -> list[list[Hypothesis]]:
    count, each = len(state[0]), decoding.candidates
    generators = [np.random.default_rng() for _ in range(count)] if generators is None else generators
    if len(generators) != count:
        raise DataError(f"generators: received {len(generators)}; expected one for each of {count} pictures.")
    under_way = np.arange(count * each)  # the sentences that have not ended
    state = select(state, under_way // each)
    words = np.full(count * each, BOS)
    sums, tokens = np.zeros(count * each), np.full((count * each, decoding.max_length), PAD)
    seen: list[Floats] = []
    for position in range(decoding.max_length):
        if len(under_way) == 0:
            break
        logits, state = model.step(words, state)
        scores = log_probabilities(logits)
        constrain(scores, tokens[under_way, :position], decoding)
        if (scores.max(1, initial=NEVER) == NEVER).any():
            raise DataError("decoding: received constraints that leave no word to say; expected one; loosen them.")
        narrowed = restrict(scores / decoding.temperature, top_k=decoding.top_k, top_p=decoding.top_p)
        words = draw(narrowed, _numbers(generators, under_way, each))
        sums[under_way] += scores[np.arange(len(words)), words]
        tokens[under_way, position] = words
        if (where := getattr(state, "attention", None)) is not None:
            seen.append(np.zeros((count * each, where.shape[-1]), where.dtype))
            seen[-1][under_way] = where
        stay = np.flatnonzero(words != EOS)
        if len(stay) < len(words):
            state, words, under_way = select(state, stay), words[stay], under_way[stay]
    attention = np.stack(seen, 1).reshape(count, each, len(seen), -1) if seen else None
    ended = (tokens == EOS).any(1)
    every = _Beams(
        sums.reshape(count, each),
        ended.reshape(count, each),
        tokens.reshape(count, each, decoding.max_length),
        attention,
    )
    return [_hypotheses(every, place, decoding.length_penalty) for place in range(count)]


def _numbers(generators: Sequence[np.random.Generator], under_way: Ids, each: int) -> NDArray[np.float64]:
    """A number from 0 up to 1 for each sentence under way, by its picture's generator, the same whatever has ended."""
    pictures, rows = np.unique(under_way // each, return_inverse=True)
    drawn = np.stack([generators[picture].random(each) for picture in pictures])
    found: NDArray[np.float64] = drawn[rows, under_way % each]
    return found
