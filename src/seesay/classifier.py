"""A trained classifier in use: from texts to labels, each with its probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from seesay.arguments import listed, shortened
from seesay.data.labels import Labelled
from seesay.data.texts import TextSet
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.restoring import OF_ALL, open_run
from seesay.text.lexicon import Lexicon
from seesay.text.tokens import split_by

BATCH = 64
_HEADER = {"task": str} | OF_ALL | {"texts.tokens": str, "texts.max_words": int}  # what a checkpoint must say of itself


class Guess(NamedTuple):
    """A label that a text may have, and how probable it is."""

    label: str
    probability: float


@dataclass(frozen=True)
class Classifier:
    """A model with its words and labels; make one with `Classifier.open(run)`."""

    engine: Engine
    model: Any
    lexicon: Lexicon
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path | str, device: str = "cpu", engine: str | None = None) -> Classifier:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        opened = open_run(run, "classify", _HEADER, Lexicon.load)
        sizes = {"sizes": opened.words.sizes, "labels": len(opened.words.tags)}
        chosen, model = opened.restore(sizes, engine, device)
        return cls(chosen, model, opened.words, opened.header, device)

    def words(self, text: str) -> list[str]:
        """The words of a text as the classifier sees them: none of an empty one."""
        return split_by(self.header["texts"]["tokens"])(text)[: self.header["texts"]["max_words"]]

    def classify(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> list[list[Guess]]:
        """All labels of each text, the most probable first; of a text without words, by the labels alone.

        Raises DataError for a lone text, and for what is no text.
        """
        texts = listed(texts, "texts", "a list of texts")
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise DataError(f"text {number}: received {shortened(text)}; expected a string; give the text itself.")
        found: list[list[Guess]] = [[]] * len(texts)
        places = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # of like length: no work on padding
        for done in range(0, len(places), BATCH):
            some = places[done : done + BATCH]
            unlabelled = [Labelled("", texts[place]) for place in some]
            batch = next(TextSet.build(unlabelled, self.lexicon, self.words, unknown_labels=True).in_order(BATCH))
            shares = self.engine.classify(self.model, batch, self.device).tolist()
            for place, row in zip(some, shares, strict=True):
                guesses = map(Guess, self.lexicon.tags, row)
                found[place] = sorted(guesses, key=lambda guess: -guess.probability)
            if progress:
                progress(min(done + BATCH, len(places)), len(places))
        return found
