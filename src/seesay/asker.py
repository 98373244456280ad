"""A trained asker in use: from photographs and answers to questions, with where the model looked for each word."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.arguments import listed
from seesay.captioner import Caption, check_search
from seesay.data.questions import LONGEST_ANSWER, encode_answer, pad_answers
from seesay.decoding.settings import Decoding, Hypothesis, as_asked, resolve
from seesay.engines import Engine
from seesay.errors import CheckpointError, DataError, RecipeError
from seesay.namer import Namer
from seesay.photographs import OF_SIGHTED, Picture, Sighted
from seesay.restoring import open_run
from seesay.text.asking import is_whole, spell
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import UNK, Vocabulary

CONCEPTS = "concepts"  # the folder within a run folder that holds the run's own namer
_HEADER = {  # what a checkpoint must say of itself to be used
    **OF_SIGHTED,
    "concepts": str,
    "model.concept_count": int,
    "decoding": dict,
}


@dataclass(frozen=True)
class Asker(Sighted):
    """A model with its words, and with what names the concepts of a picture; make one with `Asker.open(run)`."""

    engine: Engine
    model: Any  # as the engine built it
    vocabulary: Vocabulary
    namer: Namer
    header: dict[str, Any]  # of the checkpoint
    device: str = "cpu"

    @classmethod
    def open(cls, run: Path | str, device: str = "cpu") -> Asker:
        """Read the best checkpoint of a run folder, or a given checkpoint file within one."""
        opened = open_run(run, "ask", _HEADER, Vocabulary.load)
        check_search(opened.header, opened.file)
        folder = opened.file.parent.parent / CONCEPTS
        namer = Namer.open(folder, device)
        if namer.digest != opened.header["concepts"]:
            raise CheckpointError(f"{folder}: not the concepts that {opened.file} was trained with; put its own back.")
        sizes = {key: opened.header["model"][key] for key in ("feature_size", "concept_count")}
        sizes["vocabulary_size"] = len(opened.words)
        engine, model = opened.restore(sizes, None, device)
        return cls(engine, model, opened.words, namer, opened.header, device)

    @property
    def decoding(self) -> Decoding:
        """The search that the run's recipe asks for."""
        return Decoding(**self.header["decoding"])

    def ask(self, pictures: Sequence[Picture], answer: str = "", n_best: int = 1) -> list[list[Caption]]:
        """Questions about photographs (paths, the bytes of files, or opened ones), for each the best first.

        `answer` is what they should have as their answer, "" for any. Raises DataError for a picture that cannot be
        read, RecipeError for an answer with a word that the model does not know.
        """
        return [questions for _, questions in self.stream(pictures, answer, n_best)]

    def stream(
        self,
        pictures: Iterable[Picture],
        answer: str = "",
        n_best: int = 1,
        decoding: Decoding | None = None,
        on_bad: Callable[[DataError], None] | None = None,
    ) -> Iterator[tuple[Picture, list[Caption]]]:
        """Each photograph with its questions, as they come; the search is made wide enough for `n_best`.

        With `on_bad`, a picture that cannot be read is told there and left out.
        """
        self._check(answer)
        search = wide_enough(as_asked(decoding, self.decoding), n_best)
        for seen in self.see(pictures, on_bad):
            found = self.ask_about(seen.features, [answer] * len(seen.pictures), n_best, search)
            yield from zip(seen.pictures, found, strict=True)

    def _check(self, answer: str) -> None:
        """Raises RecipeError for an answer that the model could not hear."""
        words = tokenize(answer)
        unknown = [word for word, i in zip(words, self.vocabulary.encode(words), strict=True) if i == UNK]
        if unknown or (answer and not words):
            raise RecipeError(
                f"--answer: received '{(unknown or [answer])[0]:.40}'; expected words that the model has learned, from "
                "its questions and their answers; take another answer, or none."
            )
        if len(words) > LONGEST_ANSWER:
            raise RecipeError(
                f"--answer: received {len(words)} words; expected {LONGEST_ANSWER} at most, as more are never heard; "
                "take a shorter answer."
            )

    def ask_about(
        self,
        features: NDArray[Any],
        answers: Sequence[str],
        n_best: int = 1,
        decoding: Decoding | None = None,
        concepts: NDArray[np.float32] | None = None,
    ) -> list[list[Caption]]:
        """Questions about features (B, R, D) with `answers` ("" for any): for each at most `n_best`, the best first.

        No question comes twice, and one that breaks off or repeats itself comes only where there is no other.
        `concepts` (B, C) are those of the pictures where they are known already.
        """
        self.check_features(features)
        answers = listed(answers, "answers", "a list of answers")
        if len(answers) != len(features):
            raise DataError(f"answers: received {len(answers)} for {len(features)} pictures; expected one for each.")
        if not len(features):
            return []
        if concepts is None:
            concepts = self.namer.probabilities(features)
        heard = pad_answers([encode_answer(answer, self.vocabulary) for answer in answers])
        search = resolve(as_asked(decoding, self.decoding), self.vocabulary)
        found = self.engine.describe(self.model, features, search, None, self.device, (concepts, heard))
        return [self._best(some, n_best) for some in found]

    def _best(self, hypotheses: Sequence[Hypothesis], n_best: int) -> list[Caption]:
        found: list[Caption] = []
        whole: dict[str, Caption] = {}
        for one in hypotheses:
            tokens = tuple(self.vocabulary.decode(one.tokens))
            found.append(Caption(spell(tokens), one.score, tokens, one.attention))
            if one.ended and is_whole(tokens):
                whole.setdefault(found[-1].text, found[-1])
        return (list(whole.values()) or found[:1])[:n_best]


def wide_enough(decoding: Decoding, n_best: int) -> Decoding:
    """The search with twice as many beams as questions are wanted, at least, as some will not be whole.

    >>> wide_enough(Decoding(beam=3), 1).beam, wide_enough(Decoding(beam=3), 4).beam
    (3, 8)
    """
    if n_best == 1 and decoding.method != "beam":
        return decoding
    beam = max(decoding.beam, 2 * n_best if n_best > 1 else 1)
    beam = -(-beam // decoding.groups) * decoding.groups
    return dataclasses.replace(decoding, method="beam", beam=beam, wanted=0)
