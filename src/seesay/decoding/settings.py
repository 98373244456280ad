"""How sentences are searched for, and what comes out: the same for tensors and for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seesay.errors import RecipeError, UnknownName
from seesay.text.vocabulary import EOS, PAD

NEVER = float("-inf")
METHODS = ("greedy", "beam", "sample")
LARGEST = 1000  # of beams, candidates and words: beyond it is a slip of the keyboard, and the memory is gone


class Hypothesis(NamedTuple):
    """One sentence: ids without <bos> and <eos>, and how likely the model finds it."""

    tokens: list[int]
    score: float  # sum of log-probabilities, <eos> included, over length ** length_penalty
    ended: bool  # False where max_length cut it off
    attention: Any  # (len(tokens), R), a tensor or an array as the model's state has it; None where it does not tell


@dataclass(frozen=True)
class Decoding:
    """How sentences are searched for. `length_penalty` 0 ranks by probability, 1 by the mean over words.

    `top_k` 0 and `top_p` 1 leave sampling unrestricted. `candidates` is how many sentences sampling draws a picture.
    `wanted` is how many of a beam's best are needed, 0 for all: with fewer, a search may end sooner.

    Raises RecipeError for a number out of range, UnknownName for an unknown method.

    >>> Decoding("sample", candidates=8).rows
    8
    """

    method: str = "beam"
    beam: int = 5
    max_length: int = 20
    length_penalty: float = 0.0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    candidates: int = 1
    wanted: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName("decoding method", self.method, METHODS)
        # NaN fails every comparison, so each of these says what is fine.
        limits = [
            ("beam", 1 <= self.beam <= LARGEST, f"from 1 to {LARGEST:,}"),
            ("max_length", 1 <= self.max_length <= LARGEST, f"from 1 to {LARGEST:,}"),
            ("length_penalty", -10 <= self.length_penalty <= 10, "from -10 to 10"),
            ("temperature", 0.01 <= self.temperature <= 100, "from 0.01 to 100"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("candidates", 1 <= self.candidates <= 10 * LARGEST, f"from 1 to {10 * LARGEST:,}"),
            ("wanted", self.wanted >= 0, "0 (all) or more"),
        ]
        for name, fine, expected in limits:
            if not fine:
                raise RecipeError(f"decoding.{name}: received {getattr(self, name)}; expected a number {expected}.")

    @property
    def rows(self) -> int:
        """How many sentences are under way for each picture."""
        return {"greedy": 1, "beam": self.beam, "sample": self.candidates}[self.method]


def ranked(
    scores: Sequence[float], ended: Sequence[bool], tokens: Sequence[Sequence[int]], attention: Any = None
) -> list[Hypothesis]:
    """The hypotheses of one picture, the best first; of equal ones the first stays first, and one of -inf is none.

    `tokens` hold <eos> and what pads after it, or neither; `attention` is (K, T, R).

    >>> [h.tokens for h in ranked([-2.0, NEVER, -1.0], [True, False, False], [[4, EOS, PAD], [5, 5, 5], [4, 6, 7]])]
    [[4, 6, 7], [4]]
    """
    result = []
    for k in sorted(range(len(scores)), key=lambda place: -scores[place]):
        if scores[k] == NEVER:
            continue
        ids = [token for token in tokens[k] if token not in (PAD, EOS)]
        where = None if attention is None else attention[k, : len(ids)]
        result.append(Hypothesis(ids, scores[k], ended[k], where))
    return result
