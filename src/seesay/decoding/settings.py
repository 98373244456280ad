"""How sentences are searched for, and what comes out: the same for tensors and for arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

from seesay.arguments import shortened
from seesay.errors import RecipeError, UnknownName
from seesay.text.vocabulary import EOS, PAD, SPECIALS, UNK, Vocabulary

NEVER = float("-inf")
METHODS = ("greedy", "beam", "sample", "consensus")
DRAWING = ("sample", "consensus")  # those that draw sentences
PRECISIONS = ("float32", "bf16", "int8")  # of a model in use: see seesay.decoding.inference
LARGEST = 1000  # of beams, candidates and words: beyond it is a slip of the keyboard, and the memory is gone


class Hypothesis(NamedTuple):
    """One sentence: ids without <bos> and <eos>, and how likely the model finds it."""

    tokens: list[int]
    score: float  # sum of log-probabilities, <eos> included, over length ** length_penalty
    ended: bool  # False where max_length cut it off
    attention: Any  # (len(tokens), R), a tensor or an array as the model's state has it; None where it does not tell


_KINDS: dict[type, tuple[type, str]] = {  # of a setting, by its default's: what serves, and what that is called
    str: (str, "text"),
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    tuple: (tuple, "a tuple"),
}


@dataclass(frozen=True)
class Decoding:
    """How sentences are searched for. `length_penalty` 0 ranks by probability, 1 by the mean over words.

    `top_k` 0 and `top_p` 1 leave sampling unrestricted. `candidates` is how many sentences sampling draws a picture.
    By "consensus", the sentences of a `beam` are ranked by how well they agree with the `candidates` drawn: see
    `seesay.consensus`, which a captioner asks; the searches themselves know its two `parts` only.
    `wanted` is how many of a beam's best are needed, 0 for all: with fewer, a search may end sooner.
    `groups` part a beam into equal ones, one after another, that lose `diversity` for each time an earlier group has
    just said the same word (Vijayakumar et al. 2018). `min_length` words come before the end; no `no_repeat_ngram`
    words in a row come twice, 0 for any. `forbidden` and `required` are words with spaces between; `resolve` finds
    their ids. `deduplicate` says once a word that comes several times running, as the released S2 does before it
    scores; `faithful` lets <unk> and, where `min_length` is 1 or less, nothing at all be said, as S2 and M2 do.

    Raises RecipeError for a number out of range or options that exclude each other, UnknownName for an unknown method.

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
    groups: int = 1
    diversity: float = 0.5
    min_length: int = 1
    no_repeat_ngram: int = 0
    forbidden: str = ""
    required: str = ""
    deduplicate: bool = False
    faithful: bool = False

    def __post_init__(self) -> None:
        for one in fields(self):
            _check_kind(one.name, getattr(self, one.name), type(one.default))
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
            ("groups", self.groups >= 1 and self.beam % self.groups == 0, f"that divides the beam of {self.beam}"),
            ("diversity", 0 <= self.diversity <= 1000, "from 0 to 1,000"),
            ("min_length", 0 <= self.min_length <= self.max_length, f"from 0 to max_length, {self.max_length}"),
            ("no_repeat_ngram", 0 <= self.no_repeat_ngram <= LARGEST, f"from 0 (off) to {LARGEST:,}"),
        ]
        for name, fine, expected in limits:
            if not fine:
                raise RecipeError(f"decoding.{name}: received {getattr(self, name)}; expected a number {expected}.")
        self._check_together()

    def _check_together(self) -> None:
        """What makes no sense together, or without a beam, is refused, not left out."""
        if self.method != "beam" and self.groups > 1:
            raise RecipeError(f"decoding.groups: received {self.groups} with method '{self.method}'; expected 'beam'.")
        if self.method == "consensus" and self.candidates == 1:
            raise RecipeError(
                "decoding.candidates: received 1 with method 'consensus'; expected 2 or more sentences drawn, such as "
                "100, which the others are judged by."
            )
        if not self.required:
            return
        if self.method in DRAWING or self.groups > 1:
            given = f"method '{self.method}'" if self.method in DRAWING else f"{self.groups} groups"
            raise RecipeError(
                f"decoding.required: received '{self.required}' with {given}; expected a search without groups."
            )
        words = self.required.split()
        both = sorted(set(words) & set(self.forbidden.split()))
        if both:
            raise RecipeError(f"decoding.required: received '{both[0]}', which is forbidden too; expected one of both.")
        if len(set(words)) > self.max_length:
            raise RecipeError(
                f"decoding.required: received {len(set(words))} words; expected at most max_length, {self.max_length}."
            )

    @property
    def least(self) -> int:
        """How many words come before the end at least."""
        return 0 if self.faithful and self.min_length == 1 else self.min_length

    @property
    def rows(self) -> int:
        """How many sentences are under way for each picture; each required word adds as many as the beam is wide."""
        width = {"greedy": 1, "beam": self.beam, "sample": self.candidates}.get(self.method)
        return (width or max(self.beam, self.candidates)) * (1 + len(set(self.required.split())))

    def parts(self) -> tuple[Self, Self]:
        """Of a search by consensus, the search for what may be said and the drawing of what it is judged by."""
        likely = replace(self, method="beam", temperature=1.0, top_k=0, top_p=1.0, candidates=1, wanted=0)
        return likely, replace(self, method="sample")


def _check_kind(name: str, value: Any, kind: type) -> None:
    serves, called = _KINDS[kind]
    if not isinstance(value, serves) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(f"decoding.{name}: received {value!r:.60}; expected {called}.")


def as_asked(decoding: Any, usual: Decoding) -> Decoding:
    """The search that somebody hands in, or the `usual` one for None; RecipeError for what is no `Decoding`.

    >>> as_asked(None, Decoding(beam=2)).beam, as_asked(Decoding(beam=4), Decoding()).beam
    (2, 4)
    """
    if decoding is None:
        return usual
    if not isinstance(decoding, Decoding):
        raise RecipeError(f"decoding: received {shortened(decoding)}; expected a Decoding, such as Decoding(beam=3).")
    return decoding


@dataclass(frozen=True)
class Resolved(Decoding):
    """A `Decoding` with the ids of its words; made by `resolve`."""

    forbidden_ids: tuple[int, ...] = ()
    required_ids: tuple[int, ...] = ()


def resolve(decoding: Decoding, vocabulary: Vocabulary) -> Decoding:
    """`decoding` with the ids of its forbidden and required words; itself where there are none.

    A forbidden word that the model does not know is never said, and passed over: one list serves several runs.
    Raises RecipeError for a required one, and for one that the model knows in lower case.

    >>> words = Vocabulary.build([["a", "dog"]], minimum_count=1)
    >>> found = resolve(Decoding(forbidden="elephant", required="dog a dog"), words)
    >>> found.forbidden_ids, found.required_ids
    ((), (5, 4))
    """
    if not decoding.forbidden and not decoding.required:
        return decoding
    found: dict[str, Any] = {}
    for key in ("forbidden", "required"):
        words = list(dict.fromkeys(getattr(decoding, key).split()))
        pairs = list(zip(words, vocabulary.encode(words), strict=True))
        for word, number in pairs:
            if number == UNK:
                _check_unknown(key, word, vocabulary)
        found[f"{key}_ids"] = tuple(number for word, number in pairs if number != UNK or word == SPECIALS[UNK])
    return replace(Resolved(**vars(decoding)), **found)


def _check_unknown(key: str, word: str, vocabulary: Vocabulary) -> None:
    """Raises RecipeError for a word that the model cannot say, unless it is `forbidden` and nobody says it."""
    if vocabulary.encode([word.lower()]) != [UNK]:
        raise RecipeError(
            f"decoding.{key}: received '{word}'; expected '{word.lower()}', as all that the model says is in lower "
            "case; write it so."
        )
    if key == "required":
        raise RecipeError(
            f"decoding.{key}: received '{word}'; expected one of the {len(vocabulary) - len(SPECIALS):,} words "
            "that the model knows, in lower case; leave it out."
        )


def check_resolved(decoding: Decoding) -> Resolved:
    """`decoding` as one with ids; RecipeError where its words have none yet, or where it takes a captioner."""
    if decoding.method == "consensus":
        raise RecipeError("decoding.method: received 'consensus'; expected one of its parts(); ask a Captioner.")
    if isinstance(decoding, Resolved):
        return decoding
    if decoding.forbidden or decoding.required:
        words = f"{decoding.forbidden} {decoding.required}".strip()
        raise RecipeError(
            f"decoding: received the words '{words}'; expected their ids; call resolve with a vocabulary."
        )
    return Resolved(**vars(decoding))


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


def without_repeats(hypothesis: Hypothesis) -> Hypothesis:
    """The same with each word once that comes several times running.

    >>> without_repeats(Hypothesis([4, 4, 5, 4], -1.0, True, None)).tokens
    [4, 5, 4]
    """
    ids = hypothesis.tokens
    kept = [place for place, word in enumerate(ids) if place == 0 or word != ids[place - 1]]
    where = None if hypothesis.attention is None else hypothesis.attention[kept]
    return hypothesis._replace(tokens=[ids[place] for place in kept], attention=where)
