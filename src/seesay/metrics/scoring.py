"""All COCO scores of a set of captions in one call, with the signature that says how they were computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seesay import __version__
from seesay.errors import DataError
from seesay.metrics import bleu, rouge
from seesay.metrics.cider import CiderD
from seesay.metrics.pairs import Scores, check_pairs, count
from seesay.text import ptb

__all__ = ["Evaluation", "Scores", "evaluate"]

# Below this many pictures almost every word looks rare, and CIDEr-D says little: sizes like COCO's are 5,000.
_FEW_PICTURES = 100


@dataclass(frozen=True)
class Evaluation:
    """The scores of a set of captions.

    `corpus` maps a metric's name to its score; `per_id` maps a picture's id to its metrics; `signature` states
    metrics, tokeniser, references per picture and number of pictures; `notes` are cautions for the reader.
    """

    corpus: dict[str, float]
    per_id: dict[str, dict[str, float]]
    signature: str
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The scores as plain objects, without the notes: what a run folder keeps in scores/SPLIT.json."""
        return {"corpus": self.corpus, "per_id": self.per_id, "signature": self.signature}


def evaluate(candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> Evaluation:
    """BLEU-1 to 4, ROUGE-L and CIDEr-D of captions (id -> text) against references (id -> texts).

    The texts are tokenised here, as COCO does. An empty candidate scores 0 and is counted. CIDEr-D takes its document
    frequencies from these references. Raises DataError when the ids differ, a text is not a string, or there is no
    candidate.

    >>> result = evaluate({"1": "A dog runs."}, {"1": ["a dog runs", "the dog is running"]})
    >>> round(result.corpus["BLEU-3"], 3), result.corpus["CIDEr-D"]
    (1.0, 0.0)
    >>> result.signature
    'BLEU-1..4+ROUGE-L+CIDEr-D|tok:seesay-ptb-1|refs:2|n:1|seesay:0.1.0'
    """
    check_pairs(candidates, references)
    tokens = {i: ptb.tokenize(_text(i, caption)) for i, caption in candidates.items()}
    reference_tokens = {i: [ptb.tokenize(_text(i, text)) for text in _texts(i, references[i])] for i in candidates}
    counts, reference_counts = count(tokens, reference_tokens)
    metrics = {
        **bleu.score_counts(counts, reference_counts),
        "ROUGE-L": rouge.score(tokens, reference_tokens),
        "CIDEr-D": CiderD.fit_counts(reference_counts).score_counts(counts, reference_counts),
    }
    return Evaluation(
        corpus={name: scores.corpus for name, scores in metrics.items()},
        per_id={i: {name: scores.per_id[i] for name, scores in metrics.items()} for i in tokens},
        signature=_signature(reference_tokens),
        notes=_notes(tokens),
    )


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


def _signature(references: Mapping[str, list[list[str]]]) -> str:
    counts = sorted({len(captions) for captions in references.values()})
    refs = str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
    return f"BLEU-1..4+ROUGE-L+CIDEr-D|tok:{ptb.VERSION}|refs:{refs}|n:{len(references)}|seesay:{__version__}"


def _notes(tokens: Mapping[str, list[str]]) -> tuple[str, ...]:
    notes = []
    if len(tokens) == 1:
        notes.append("CIDEr-D is 0 by definition with a single picture: no word tells it from others.")
    elif len(tokens) < _FEW_PICTURES:
        notes.append(f"CIDEr-D over {len(tokens)} pictures: too few for document frequencies that compare with others.")
    empty = sum(not words for words in tokens.values())
    if empty:
        notes.append(f"{empty} of {len(tokens)} candidates are empty; they count, with a score of 0.")
    return tuple(notes)
