"""Asking about pictures: questions, answers, features and what pictures show, and scores against human questions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.asker import CONCEPTS, Asker
from seesay.data.features import FeatureStore
from seesay.data.questions import LONGEST_ANSWER, QuestionSet
from seesay.data.vqa import Asked, part_of, read_questions
from seesay.decoding.settings import Decoding
from seesay.engines import Engine
from seesay.errors import RecipeError
from seesay.files import make_folder, replace_file
from seesay.metrics.scoring import QUICK
from seesay.metrics.scoring import evaluate as score
from seesay.namer import Namer
from seesay.recipe import AskRecipe, locate
from seesay.restoring import best_of
from seesay.tasks.pictures import check_search, cut_notice, open_stores, picture_digests, require_features
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import Vocabulary
from seesay.training.folder import RunFolder

AT_ONCE = 100  # pictures whose concepts are looked for together


@dataclass(frozen=True)
class Questions:
    """See `seesay.tasks.Material`."""

    recipe: AskRecipe
    vocabulary: Vocabulary
    train: QuestionSet
    dev: QuestionSet
    asked: tuple[Asked, ...]  # about the pictures of `dev`
    store: FeatureStore
    flipped: FeatureStore | None
    namer: Namer
    named_by: Path  # the run folder of `namer`

    @classmethod
    def gather(cls, recipe: AskRecipe, folder: RunFolder, begun: bool = False) -> Questions:
        """Everything that the recipe names; nothing is written. A run that has begun has its own copy of the namer."""
        source = locate(recipe.data.questions)
        everything = read_questions(source)
        parts = {name: part_of(everything, name, source) for name in ("train", "dev")}
        vocabulary = Vocabulary.load(folder.vocabulary) if begun else _words_of(parts["train"], recipe, source)
        check_search(recipe, vocabulary)
        store, flipped = open_stores(recipe.data)
        named_by = folder.path / CONCEPTS if begun else locate(recipe.data.concepts)
        namer = Namer.open(named_by, recipe.training.device)
        _check_encoder(namer, store, recipe)
        if recipe.training.start_from and not begun:
            _check_start(Path(recipe.training.start_from), namer, recipe)
        store.require([one.file for some in parts.values() for one in some], recipe.data.questions)
        sets = {
            name: QuestionSet.build(
                part,
                vocabulary,
                store,
                concepts_of(part, namer, store),
                max_words=recipe.data.max_words,
                flipped=flipped if name == "train" else None,
                hidden=recipe.data.hidden_answers,
            )
            for name, part in parts.items()
        }
        require_features(recipe.data.questions, {name: some.captions for name, some in sets.items()})
        asked = tuple(parts["dev"])
        return cls(recipe, vocabulary, sets["train"], sets["dev"], asked, store, flipped, namer, named_by)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know of the questions and answers: how many were too long."""
        data, parts = self.recipe.data, {"train": self.train.captions, "dev": self.dev.captions}
        questions = cut_notice(data.questions, "questions", parts, data.max_words, "data.max_words")
        return (*questions, *_answers_cut(data.questions, {"train": self.train, "dev": self.dev}))

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide."""
        concepts = len(self.namer.words)
        return {
            "feature_size": self.store.size,
            "vocabulary_size": len(self.vocabulary),
            "concept_count": concepts,
        }

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""
        return {
            "model": {"feature_size": self.store.size, "concept_count": len(self.namer.words)},
            "encoder": self.store.encoder,
            "vocabulary": self.vocabulary.digest,
            "concepts": self.namer.digest,
            "decoding": self.recipe.decoding.model_dump(),
        }

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads; none of it changes, and every checkpoint says it."""
        records = [some.captions.records for some in (self.train, self.dev)]
        return {
            "questions": self.train.digest,
            "development questions": self.dev.digest,
            **picture_digests(records, self.store, self.flipped),
            "concepts": hashlib.sha256(best_of(self.named_by).read_bytes()).hexdigest(),
        }

    def save_words(self, path: Path) -> None:
        """Write the vocabulary, and beside it what names a new picture's concepts: the run folder alone will serve."""
        self.vocabulary.save(path)
        best = best_of(self.named_by)
        own = RunFolder(path.parent / CONCEPTS)
        make_folder(own.best.parent)
        replace_file(own.best, best.read_bytes())
        replace_file(own.vocabulary, (best.parent.parent / "vocabulary.json").read_bytes())

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """BLEU, ROUGE-L and CIDEr-D of one likeliest question about each picture of `dev`, no answer being given."""
        asker = Asker(engine, model, self.vocabulary, self.namer, header, device)
        greedy = Decoding("greedy", max_length=self.recipe.decoding.max_length)
        found: dict[str, str] = {}
        for start in range(0, len(self.asked), AT_ONCE):
            some = self.asked[start : start + AT_ONCE]
            concepts = np.stack([self.dev.concepts[one.id] for one in some])
            features = self.store.read([one.file for one in some])
            questions = asker.ask_about(features, ("",) * len(some), 1, greedy, concepts)
            found |= {one.id: each[0].text for one, each in zip(some, questions, strict=True)}
        return score(found, {one.id: list(one.references) for one in self.asked}, QUICK).corpus


def concepts_of(asked: Sequence[Asked], namer: Namer, store: FeatureStore) -> dict[str, NDArray[np.float32]]:
    """How likely each picture shows each concept, (C,) by the picture's id; mirrored, it shows the same."""
    found: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        rows = namer.probabilities(store.read([one.file for one in some]))
        found |= {one.id: row for one, row in zip(some, rows, strict=True)}
    return found


def _answers_cut(source: str, sets: dict[str, QuestionSet]) -> tuple[str, ...]:
    counts = [f"{some.cut_answers:,} answers of '{name}'" for name, some in sets.items() if some.cut_answers]
    line = f"{source}: cut {' and '.join(counts)} to {LONGEST_ANSWER} words, as more are never heard."
    return (line,) if counts else ()


def _words_of(asked: Sequence[Asked], recipe: AskRecipe, source: Path) -> Vocabulary:
    """The words of the questions and answers; a run that begins with another's weights has the other's words first."""
    sentences = [tokenize(text) for one in asked for each in one.questions for text in (each.text, each.answer)]
    own = Vocabulary.build(sentences, recipe.data.minimum_count, source)
    if not recipe.training.start_from:
        return own
    first = Vocabulary.load(best_of(Path(recipe.training.start_from)).parent.parent / "vocabulary.json")
    known = set(first.words)
    return Vocabulary((*first.words, *(word for word in own.words if word not in known)), recipe.data.minimum_count)


def _check_encoder(namer: Namer, store: FeatureStore, recipe: AskRecipe) -> None:
    """Features of another encoder, even if of the same size, would name concepts at random."""
    if namer.header["encoder"] != store.encoder or namer.header["model"]["feature_size"] != store.size:
        raise RecipeError(
            f"data.concepts: received '{recipe.data.concepts}', trained on features of {namer.header['encoder']} "
            f"({namer.header['model']['feature_size']} numbers a region); expected those of {store.path}, "
            f"{store.encoder} ({store.size}); train both on features of the same encoder."
        )


def _check_start(run: Path, namer: Namer, recipe: AskRecipe) -> None:
    """Weights that read concepts mean something with the same concepts alone."""
    theirs = best_of(run).parent.parent / CONCEPTS
    if theirs.is_dir() and Namer.open(theirs).digest != namer.digest:
        raise RecipeError(
            f"data.concepts: received '{recipe.data.concepts}', which names other concepts than the run of "
            f"training.start_from; expected the same ones; say '{theirs}'."
        )
