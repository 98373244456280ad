"""Tagging words: sentences in columns, and how many words get the right tag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seesay.data.conll import Sentence, read_conll
from seesay.data.records import SPLITS
from seesay.data.sequences import TagSet, hold_out
from seesay.engines import Engine
from seesay.errors import CheckpointError, DataError, UnknownName
from seesay.files import make_folder, replace_file, write_json
from seesay.metrics.tagging import TagScores, evaluate_tags
from seesay.recipe import TagRecipe, locate
from seesay.restoring import recipe_in
from seesay.tagger import Tagger
from seesay.text.lexicon import Lexicon
from seesay.text.splits import canonical_split
from seesay.training.folder import RunFolder


@dataclass(frozen=True)
class Tags:
    """See `seesay.tasks.Material`."""

    lexicon: Lexicon
    train: TagSet
    dev: TagSet
    sentences: tuple[Sentence, ...]  # of `dev`

    @classmethod
    def gather(cls, recipe: TagRecipe, folder: RunFolder, begun: bool = False) -> Tags:
        """Everything that the recipe names; nothing is written."""
        train, dev = train_and_dev(recipe)
        lexicon = Lexicon.load(folder.vocabulary) if begun else lexicon_of(train, recipe)
        sets = TagSet.build(train, lexicon), TagSet.build(dev, lexicon, unknown_tags=True)
        return cls(lexicon, *sets, tuple(dev))

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide."""
        return {"sizes": self.lexicon.sizes, "tags": len(self.lexicon.tags)}

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""
        return {"model": {}, "vocabulary": self.lexicon.digest}

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads; none of it changes, and every checkpoint says it."""
        return {"sentences": self.train.digest, "development sentences": self.dev.digest}

    def save_words(self, path: Path) -> None:
        """Write the lexicon."""
        self.lexicon.save(path)

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """The share of the words of `dev` that get the right tag."""
        tagger = Tagger(engine, model, self.lexicon, header, device)
        found = tagger.tag([sentence.words for sentence in self.sentences])
        return {"accuracy": evaluate_tags([sentence.tags for sentence in self.sentences], found).accuracy}


def train_and_dev(recipe: TagRecipe) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences to learn from and those to choose by."""
    source = locate(recipe.data.train)
    train = read_conll(source)
    if recipe.data.dev:
        return train, read_conll(locate(recipe.data.dev))
    try:
        return hold_out(train, recipe.data.dev_share, recipe.seed)
    except DataError as fault:
        raise DataError(f"{source}: {fault}") from None


def lexicon_of(train: list[Sentence], recipe: TagRecipe) -> Lexicon:
    """The words, affixes, shapes and tags of the training sentences."""
    words, tags = [sentence.words for sentence in train], [sentence.tags for sentence in train]
    return Lexicon.build(words, tags, minimum_count=recipe.data.minimum_count)


def evaluate(
    run: Path, part: str = "dev", progress: Callable[[int, int], None] | None = None
) -> tuple[TagScores, Path]:
    """Tag and score a split with the best checkpoint of `run`; returns the scores and where the tagged words lie.

    Scores go to scores/SPLIT.json of the run folder, and words with the right tag and the found one to
    predictions/SPLIT.conll, in columns.
    """
    recipe, folder = recipe_in(run), RunFolder(run)
    if not isinstance(recipe, TagRecipe):
        raise CheckpointError(f"{run}: received a run of task '{recipe.task}'; expected a tagger; use one of these.")
    name = canonical_split(part)
    if name is None:
        raise UnknownName("split", part, SPLITS)
    train, dev = train_and_dev(recipe)
    if name == "test" and not recipe.data.test:
        raise DataError(f"{folder.recipe}: data.test is missing; expected the file of the test sentences; add it.")
    sentences = {"train": train, "dev": dev}.get(name) or read_conll(locate(recipe.data.test))
    words = [sentence.words for sentence in sentences]
    found = Tagger.open(run).tag(words, progress)
    known = {word for sentence in train for word in sentence.words}
    scores = evaluate_tags([sentence.tags for sentence in sentences], found, words=words, known_words=known)
    tagged = folder.path / "predictions" / f"{name}.conll"
    make_folder(tagged.parent)
    replace_file(tagged, _columns(sentences, found).encode())
    write_json(folder.scores(name), scores.to_json())
    return scores, tagged


def _columns(sentences: list[Sentence], found: list[tuple[str, ...]]) -> str:
    """A word, its tag and the one that was found a line, a blank line after each sentence."""
    return "".join(
        "".join("\t".join(row) + "\n" for row in zip(sentence.words, sentence.tags, tags, strict=True)) + "\n"
        for sentence, tags in zip(sentences, found, strict=True)
    )
