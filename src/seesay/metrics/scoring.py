"""All COCO scores of a set of captions in one call, with the signature that says how they were computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seesay import __version__
from seesay.errors import DataError, MissingPart, UnknownName
from seesay.metrics import bleu, rouge, spice
from seesay.metrics.cider import Cider, CiderD, Vector
from seesay.metrics.pairs import Counts, Scores, Sums, check_pairs, count, mean_of, tokens_of
from seesay.text import ptb

if TYPE_CHECKING:
    from seesay.metrics.meteor.workers import Workers

__all__ = ["COCO", "METRICS", "QUICK", "Evaluation", "evaluate"]

METRICS = ("BLEU", "METEOR", "ROUGE_L", "CIDEr-D", "CIDEr", "SPICE")  # in the order of reports
COCO = METRICS[:-1]
QUICK = ("BLEU", "ROUGE_L", "CIDEr-D")  # after each epoch

# Below this many pictures almost every word looks rare, and CIDEr-D says little: sizes like COCO's are 5,000.
_FEW_PICTURES = 100
_COMPUTED = ("BLEU", "ROUGE_L", "CIDEr-D", "CIDEr", "SPICE", "METEOR")  # METEOR's own processes work meanwhile
_KEYS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", *METRICS[1:])
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
    references: Mapping[str, Sequence[str]],
    metrics: Collection[str] = COCO,
    tell: Callable[[str], None] | None = None,
) -> Evaluation:
    """COCO's scores of captions (id -> text) against references (id -> texts).

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
    check_pairs(candidates, references)
    captions = _Captions(
        {i: [*tokens_of(_text(i, caption))] for i, caption in candidates.items()},
        {i: [[*tokens_of(_text(i, text))] for text in _texts(i, references[i])] for i in candidates},
        tell,
    )
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
        notes=(*_notes(captions.tokens), *missing),
        sums={name: scores.sums or mean_of(scores.per_id) for name, scores in found.items()},
    )


class _Captions:
    """Tokenised candidates and references, and their n-grams, counted once for all metrics that need them."""

    def __init__(
        self,
        tokens: dict[str, list[str]],
        references: dict[str, list[list[str]]],
        tell: Callable[[str], None] | None,
    ) -> None:
        self.tokens, self.references, self.tell = tokens, references, tell
        self.meteor: Workers | None = None
        self._counts: tuple[dict[str, Counts], dict[str, list[Counts]]] | None = None
        self._vectors: tuple[CiderD, dict[str, Vector], dict[str, list[Vector]]] | None = None

    def begin_meteor(self) -> None:
        """Let other processes work on METEOR while the rest is computed here, where it is worth their start."""
        from seesay.metrics.meteor.workers import MANY, Workers

        if len(self.tokens) >= MANY:
            with suppress(MissingPart):  # said when its turn comes
                self.meteor = Workers(self.tokens, self.references, self.tell)

    def vectors(self) -> tuple[CiderD, dict[str, Vector], dict[str, list[Vector]]]:
        """A scorer of these references and the vectors of both sides, which CIDEr and CIDEr-D share."""
        if self._vectors is None:
            counts, references = self.counts()
            scorer = CiderD.fit_counts(references)
            vectors = {i: [scorer.vector(each) for each in some] for i, some in references.items()}
            self._vectors = scorer, {i: scorer.vector(each) for i, each in counts.items()}, vectors
        return self._vectors

    def counts(self) -> tuple[dict[str, Counts], dict[str, list[Counts]]]:
        if self._counts is None:
            self._counts = count(self.tokens, self.references)
        return self._counts


def _meteor(captions: _Captions) -> Scores:
    from seesay.metrics.meteor import Meteor  # its stemmer is an optional part

    if captions.meteor is not None:
        return captions.meteor.result()
    return Meteor.load(progress=captions.tell).score(captions.tokens, captions.references)


def _cider_d(captions: _Captions) -> Scores:
    scorer, candidates, references = captions.vectors()
    return scorer.score_vectors(candidates, references)


def _cider(captions: _Captions) -> Scores:
    scorer, candidates, references = captions.vectors()
    return Cider(scorer.document_frequency, scorer.documents).score_vectors(candidates, references)


_SCORERS: dict[str, Callable[[_Captions], dict[str, Scores]]] = {
    "BLEU": lambda captions: bleu.score_counts(*captions.counts()),
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


def _texts(picture: str, references: Any) -> Sequence[Any]:
    # A lone string is a sequence of letters to Python; scored as references it would go unnoticed.
    if not isinstance(references, (list, tuple)):
        raise DataError(
            f"captions: picture {picture} has the references {references!r:.60}; expected a list of strings; "
            "put even a single reference in a list."
        )
    return references


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
