"""Classifying texts: texts with labels, and how many get the right one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seesay.classifier import Classifier, Guess
from seesay.data.labels import Labelled, Told, hold_out, labels_of, read_labelled
from seesay.data.texts import TextSet
from seesay.engines import Engine
from seesay.errors import DataError
from seesay.files import make_folder, replace_file, write_json
from seesay.metrics.classifying import LabelScores, evaluate_labels
from seesay.recipe import ClassifyRecipe, locate
from seesay.restoring import recipe_in
from seesay.text.lexicon import Lexicon
from seesay.text.splits import known_split
from seesay.text.tokens import Split, split_by
from seesay.training.folder import RunFolder


@dataclass(frozen=True)
class Parts:
    """The texts of a recipe: to learn from, to choose by, and to be judged by once; what was left out of them is told.

    `test` is empty where the recipe asks for none.
    """

    train: list[Labelled]
    dev: list[Labelled]
    test: list[Labelled]
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Texts:
    """See `seesay.tasks.Material`."""

    lexicon: Lexicon
    train: TextSet
    dev: TextSet
    texts: tuple[Labelled, ...]  # of `dev`
    way: dict[str, Any]  # how texts become words
    notices: tuple[str, ...] = ()

    @classmethod
    def gather(cls, recipe: ClassifyRecipe, folder: RunFolder, begun: bool = False) -> Texts:
        """Everything that the recipe names; nothing is written."""
        parts, split = parts_of(recipe), splitter(recipe)
        lexicon = Lexicon.load(folder.vocabulary) if begun else lexicon_of(parts.train, recipe)
        train = TextSet.build(parts.train, lexicon, split)
        dev = TextSet.build(parts.dev, lexicon, split, unknown_labels=True)
        way = {"tokens": recipe.data.tokens, "max_words": recipe.data.max_words}
        return cls(lexicon, train, dev, tuple(parts.dev), way, parts.told)

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide."""
        return {"sizes": self.lexicon.sizes, "labels": len(self.lexicon.tags)}

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""
        return {"model": {}, "vocabulary": self.lexicon.digest, "texts": self.way}

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads; none of it changes, and every checkpoint says it."""
        return {"texts": self.train.digest, "development texts": self.dev.digest}

    def save_words(self, path: Path) -> None:
        """Write the lexicon, with the labels."""
        self.lexicon.save(path)

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """The share of the texts of `dev` that get the right label, and the mean F1 of the labels."""
        classifier = Classifier(engine, model, self.lexicon, header, device)
        found = [some[0].label for some in classifier.classify([one.text for one in self.texts])]
        scores = evaluate_labels([one.label for one in self.texts], found)
        return {"accuracy": scores.accuracy, "macro_F1": scores.macro_f1}


def splitter(recipe: ClassifyRecipe) -> Split:
    """What makes words of a text as the recipe says: a text longer than its `max_words` is cut there."""
    split, limit = split_by(recipe.data.tokens), recipe.data.max_words
    return lambda text: split(text)[:limit]


def parts_of(recipe: ClassifyRecipe) -> Parts:
    """The texts of a recipe; what it names no file for is held out of `train`.

    Raises DataError for a line that is no labelled text and for a label of which too few texts are there to hold some
    out, unless the recipe says to skip: then such lines are left out, such labels are in `train` alone, and both are
    told.
    """
    data, bad, short = recipe.data, list[str](), list[str]()
    skips = data.on_bad == "skip"

    def read(path: str) -> list[Labelled]:
        if not path:
            return []
        told = bad.append if skips else None
        return _with_words(read_labelled(locate(path), data.encoding, told), split_by(data.tokens), told)

    train, dev, test = map(read, (data.train, data.dev, data.test))
    shares = [0.0 if test else data.test_share, 0.0 if dev else data.dev_share]
    train, held_test, held_dev = hold_out(train, shares, data.split_seed, short.append if skips else None)
    dev, test = dev or held_dev, test or held_test
    if len(labels_of(train)) < 2 or not dev:
        lacking = "no text to choose by" if not dev else f"texts of one label alone, {train[0].label[:40]!r}"
        raise DataError(
            f"{locate(data.train)}: received {lacking}; expected two labels or more, with several texts each; add some."
        )
    told = _counted(bad, "left out", "line") + _counted(short, "not held out", "label")
    return Parts(train, dev, test, (*told, *_unlike(train, dev, recipe)))


def lexicon_of(train: Sequence[Labelled], recipe: ClassifyRecipe) -> Lexicon:
    """The words of the training texts, as they are or lower-cased, and the labels."""
    data, split = recipe.data, splitter(recipe)
    words, labels = [split(one.text) for one in train], [[one.label] for one in train]
    return Lexicon.build(
        words,
        labels,
        minimum_count=data.minimum_count,
        prefixes=data.prefixes,
        suffixes=data.suffixes,
        shape=False,
        lower=data.lower,
    )


def evaluate(
    run: Path | str, part: str = "dev", progress: Callable[[int, int], None] | None = None
) -> tuple[LabelScores, Path]:
    """Classify and score a split with the best checkpoint of `run`; returns the scores and where the labels lie.

    Scores go to scores/SPLIT.json of the run folder. A line of predictions/SPLIT.tsv is the right label, the one found,
    its probability and the text, a tab between them.
    """
    recipe, folder, name = recipe_in(run, ClassifyRecipe), RunFolder(run), known_split(part)
    parts = parts_of(recipe)
    texts = {"train": parts.train, "dev": parts.dev, "test": parts.test}[name]
    if not texts:
        raise DataError(
            f"{folder.recipe}: received neither data.test nor data.test_share; expected one of them for the test "
            "texts; begin a run with one."
        )
    classifier = Classifier.open(run)
    found = [guesses[0] for guesses in classifier.classify([one.text for one in texts], progress)]
    scores = evaluate_labels([one.label for one in texts], [guess.label for guess in found])
    written = folder.predictions(name, "tsv")
    make_folder(written.parent)
    replace_file(written, _lines(texts, found).encode())
    write_json(folder.scores(name), scores.to_json() | {"checkpoint_step": classifier.header["progress"]["step"]})
    return scores, written


def _with_words(texts: list[Labelled], split: Split, told: Told | None) -> list[Labelled]:
    """The texts that have words; those without are told, or an error."""
    found = []
    for one in texts:
        if split(one.text):
            found.append(one)
            continue
        fault = f"{one.place}: received {one.text[:40]!r}, in which there is no word; expected one; remove the line."
        if told is None:
            raise DataError(fault)
        told(fault)
    return found


def _counted(faults: list[str], fate: str, what: str) -> tuple[str, ...]:
    """How many there are, with the first of them; nothing where there is none."""
    several = f"{len(faults)} {what}{'s' if len(faults) > 1 else ''} {fate}"
    return (f"{several}: {faults[0]}",) if faults else ()


def _unlike(train: list[Labelled], dev: list[Labelled], recipe: ClassifyRecipe) -> list[str]:
    """What a person should know of texts that cannot be learned from, or got right, as they are."""
    known, told = labels_of(train), []
    if unknown := {label: count for label, count in labels_of(dev).items() if label not in known}:
        first = next(one for one in dev if one.label in unknown)
        told.append(
            f"development texts with a label that no training text has, which count as mistakes: "
            f"{sum(unknown.values()):,}, the first {first.label[:40]!r} at {first.place}"
        )
    split, limit = split_by(recipe.data.tokens), recipe.data.max_words
    if cut := sum(len(split(one.text)) > limit for one in (*train, *dev)):
        told.append(f"texts that are cut after {limit} words (data.max_words): {cut:,}")
    return told


def _lines(texts: Sequence[Labelled], found: Sequence[Guess]) -> str:
    return "".join(
        f"{one.label}\t{guess.label}\t{guess.probability:.4f}\t{one.text}\n"
        for one, guess in zip(texts, found, strict=True)
    )
