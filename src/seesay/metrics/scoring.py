"""All COCO scores of a set of captions in one call, with the signature that says how they were computed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from seesay import __version__
from seesay.errors import DataError, MissingPart, UnknownName
from seesay.metrics import bleu, rouge, spice
from seesay.metrics.cider import Cider, CiderD, Vector
from seesay.metrics.pairs import Counts, Scores, Sums, check_pairs, mean_of, ngrams, tokens_of
from seesay.text import ptb

if TYPE_CHECKING:
    from seesay.metrics.meteor.workers import Workers

__all__ = ["COCO", "METRICS", "QUICK", "Evaluation", "References", "evaluate"]

METRICS = ("BLEU", "METEOR", "ROUGE_L", "CIDEr-D", "CIDEr", "SPICE")  # in the order of reports
COCO = METRICS[:-1]
QUICK = ("BLEU", "ROUGE_L", "CIDEr-D")  # after each epoch

# Below this many pictures almost every word looks rare, and CIDEr-D says little: sizes like COCO's are 5,000.
_FEW_PICTURES = 100
_COMPUTED = ("BLEU", "ROUGE_L", "CIDEr-D", "CIDEr", "SPICE", "METEOR")  # METEOR's own processes work meanwhile
_KEYS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", *METRICS[1:])
# Letters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_LONG_WORD = 8  # of these letters, as the mean over a caption's words
_NAMES = {"BLEU": "BLEU-1..4", "METEOR": "METEOR-1.5", "SPICE": "SPICE-1.0"}


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of captions.

    `corpus` maps a metric's name (COCO's: Bleu_1 to Bleu_4, METEOR, ROUGE_L, CIDEr-D, CIDEr, SPICE) to its score;
    `per_id` maps a picture's id to its metrics; `signature` states metrics, tokeniser, references per picture and
    number of pictures; `notes` are cautions for the reader, and what was skipped and why. `sums` is for intervals.
    """

    corpus: dict[str, float]
    per_id: dict[str, dict[str, float]]
    signature: str
    notes: tuple[str, ...] = ()
    sums: dict[str, Sums] = field(default_factory=dict, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """The scores as plain objects, without the notes: what a run folder keeps in scores/SPLIT.json."""
        return {"corpus": self.corpus, "per_id": self.per_id, "signature": self.signature}


def evaluate(
    candidates: Mapping[str, str],
    references: Mapping[str, Sequence[str]] | References,
    metrics: Collection[str] = COCO,
    tell: Callable[[str], None] | None = None,
) -> Evaluation:
    """COCO's scores of captions (id -> text) against references (id -> texts), which may be prepared for several calls.

    The texts are tokenised here, as COCO does. An empty candidate scores 0 and is counted. CIDEr takes its document
    frequencies from these references. A metric whose parts are not installed (METEOR, SPICE) is left out, and a note
    says why; `tell` hears of METEOR's data being packed, which happens once. Raises DataError when the ids differ, a
    text is not a string, or there is no candidate, and UnknownName for a metric that is not one of METRICS.

    >>> result = evaluate({"1": "A dog runs."}, {"1": ["a dog runs", "the dog is running"]}, ["BLEU", "CIDEr-D"])
    >>> round(result.corpus["Bleu_3"], 3), result.corpus["CIDEr-D"]
    (1.0, 0.0)
    >>> result.signature.split("|")[0], result.signature.split("|")[2:]
    ('BLEU-1..4+CIDEr-D', ['refs:2', 'n:1', 'seesay:0.1.0'])
    """
    for name in metrics:
        if name not in METRICS:
            raise UnknownName("metric", name, METRICS)
    prepared = references if isinstance(references, References) else References(references)
    check_pairs(candidates, prepared.texts)
    captions = _Captions({i: [*tokens_of(_text(i, text))] for i, text in candidates.items()}, prepared, tell)
    found: dict[str, Scores] = {}
    computed, missing = [], []
    if "METEOR" in metrics:
        captions.begin_meteor()
    try:
        for name in sorted(metrics, key=_COMPUTED.index):
            try:
                found |= _SCORERS[name](captions)
                computed.append(name)
            except MissingPart as fault:
                missing.append(f"{name} is skipped: {fault}")
    finally:
        if captions.meteor is not None:
            captions.meteor.stop()
    found = {name: found[name] for name in _KEYS if name in found}
    return Evaluation(
        corpus={name: scores.corpus for name, scores in found.items()},
        per_id={i: {name: scores.per_id[i] for name, scores in found.items()} for i in captions.tokens},
        signature=_signature([name for name in METRICS if name in computed], captions.references),
        notes=(*_notes(captions.tokens), *_unspaced(candidates), *missing),
        sums={name: scores.sums or mean_of(scores.per_id) for name, scores in found.items()},
    )


class References:
    """References (id -> texts) as all metrics need them, made once for every system that is held against them.

    >>> prepared = References({"1": ["A dog runs."]})
    >>> [round(evaluate({"1": text}, prepared, ["BLEU"]).corpus["Bleu_1"], 6) for text in ("a dog runs", "cats")]
    [1.0, 0.0]
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        self.texts = texts

    @cached_property
    def tokens(self) -> dict[str, list[list[str]]]:
        """The references in tokens; DataError for one that is not text."""
        return {i: [[*tokens_of(_text(i, text))] for text in some] for i, some in self.texts.items()}

    @cached_property
    def counts(self) -> dict[str, list[Counts]]:
        """Their n-grams."""
        return {i: [ngrams(caption) for caption in some] for i, some in self.tokens.items()}

    @cached_property
    def scorer(self) -> CiderD:
        """CIDEr with their document frequencies."""
        return CiderD.fit_counts(self.counts)

    @cached_property
    def vectors(self) -> dict[str, list[Vector]]:
        """Their vectors, which CIDEr and CIDEr-D share."""
        return {i: [self.scorer.vector(each) for each in some] for i, some in self.counts.items()}


class _Captions:
    """Tokenised candidates and their n-grams, counted once for all metrics that need them, beside the references."""

    def __init__(
        self, tokens: dict[str, list[str]], references: References, tell: Callable[[str], None] | None
    ) -> None:
        self.tokens, self.prepared, self.references, self.tell = tokens, references, references.tokens, tell
        self.meteor: Workers | None = None

    def begin_meteor(self) -> None:
        """Let other processes work on METEOR while the rest is computed here, where it is worth their start."""
        from seesay.metrics.meteor.workers import MANY, Workers

        if len(self.tokens) >= MANY:
            with suppress(MissingPart):  # said when its turn comes
                self.meteor = Workers(self.tokens, self.references, self.tell)

    @cached_property
    def counts(self) -> dict[str, Counts]:
        return {i: ngrams(words) for i, words in self.tokens.items()}

    @cached_property
    def vectors(self) -> dict[str, Vector]:
        return {i: self.prepared.scorer.vector(each) for i, each in self.counts.items()}


def _meteor(captions: _Captions) -> Scores:
    from seesay.metrics.meteor import Meteor  # its stemmer is an optional part

    if captions.meteor is not None:
        return captions.meteor.result()
    return Meteor.load(progress=captions.tell).score(captions.tokens, captions.references)


def _cider_d(captions: _Captions) -> Scores:
    return captions.prepared.scorer.score_vectors(captions.vectors, captions.prepared.vectors)


def _cider(captions: _Captions) -> Scores:
    scorer = captions.prepared.scorer
    plain = Cider(scorer.document_frequency, scorer.documents)
    return plain.score_vectors(captions.vectors, captions.prepared.vectors)


_SCORERS: dict[str, Callable[[_Captions], dict[str, Scores]]] = {
    "BLEU": lambda captions: bleu.score_counts(captions.counts, captions.prepared.counts),
    "METEOR": lambda captions: {"METEOR": _meteor(captions)},
    "ROUGE_L": lambda captions: {"ROUGE_L": rouge.score(captions.tokens, captions.references)},
    "CIDEr-D": lambda captions: {"CIDEr-D": _cider_d(captions)},
    "CIDEr": lambda captions: {"CIDEr": _cider(captions)},
    "SPICE": lambda captions: {"SPICE": spice.score(captions.tokens, captions.references)},
}


def _text(picture: str, text: Any) -> str:
    if not isinstance(text, str):
        raise DataError(f"captions: picture {picture} has {text!r:.60}; expected a string; give the caption's text.")
    return text


def _signature(metrics: Sequence[str], references: Mapping[str, list[list[str]]]) -> str:
    counts = sorted({len(captions) for captions in references.values()})
    refs = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    names = "+".join(_NAMES.get(name, name) for name in metrics)
    return f"{names}|tok:{ptb.VERSION}|refs:{refs}|n:{len(references)}|seesay:{__version__}"


def _notes(tokens: Mapping[str, list[str]]) -> tuple[str, ...]:
    notes = []
    if len(tokens) == 1:
        notes.append("CIDEr is 0 by definition with a single picture: no word tells it from others.")
    elif len(tokens) < _FEW_PICTURES:
        notes.append(f"CIDEr over {len(tokens)} pictures: too few for document frequencies that compare with others.")
    empty = sum(not words for words in tokens.values())
    if empty:
        notes.append(f"{empty} of {len(tokens)} candidates are empty; they count, with a score of 0.")
    return tuple(notes)


def _unspaced(texts: Mapping[str, str]) -> Iterator[str]:
    """The caution that most captions seem to have no spaces between their words."""
    found = 0
    for text in texts.values():
        letters = [len(_UNSPACED.findall(word)) for word in text.split()]
        found += sum(letters) > _LONG_WORD * sum(map(bool, letters))
    if 2 * found > len(texts):
        yield (
            f"{found} of {len(texts)} candidates are in a script without spaces between words, and words are what "
            "stands between spaces: a whole phrase counts as one word; segment both files first."
        )
