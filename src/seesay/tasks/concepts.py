"""Naming what pictures show: the content words of captions, features, and average precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seesay.arguments import path_of
from seesay.data.concepts import ConceptSet
from seesay.data.features import FeatureStore
from seesay.data.records import Record, read_records, split
from seesay.engines import Engine
from seesay.evaluation import open_features
from seesay.files import write_json
from seesay.metrics.naming import NamingScores, evaluate_naming
from seesay.namer import Namer
from seesay.recipe import ConceptRecipe, locate
from seesay.restoring import recipe_in
from seesay.tasks.pictures import open_stores, part_of, picture_digests
from seesay.text.concepts import ConceptWords
from seesay.text.ptb import tokenize
from seesay.text.splits import known_split
from seesay.training.folder import RunFolder

AT_ONCE = 100  # pictures whose features are read together
TOLD = 10  # concepts of each picture in the predictions


@dataclass(frozen=True)
class Concepts:
    """See `seesay.tasks.Material`."""

    recipe: ConceptRecipe
    words: ConceptWords
    train: ConceptSet
    dev: ConceptSet
    store: FeatureStore
    flipped: FeatureStore | None

    @classmethod
    def gather(cls, recipe: ConceptRecipe, folder: RunFolder, begun: bool = False) -> Concepts:
        """Everything that the recipe names; nothing is written."""
        source = locate(recipe.data.captions)
        records = read_records(source)
        train, dev = part_of(records, "train", source), part_of(records, "dev", source)
        words = ConceptWords.load(folder.vocabulary) if begun else _words_of(train, recipe, source)
        store, flipped = open_stores(recipe.data)
        store.require([record.file for record in (*train, *dev)], recipe.data.captions)
        if flipped is not None:
            flipped.require([record.file for record in train], recipe.data.captions)
        sets = ConceptSet.build(train, words, store, flipped), ConceptSet.build(dev, words, store)
        return cls(recipe, words, *sets, store, flipped)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know: that there are fewer concepts than asked for."""
        count = self.recipe.data.concept_count
        if len(self.words) == count:
            return ()
        return (
            f"{self.recipe.data.captions}: {len(self.words):,} concepts instead of {count:,} (data.concept_count): its "
            "training captions have no more content words.",
        )

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide."""
        return {"feature_size": self.store.size, "concept_count": len(self.words)}

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""
        return {
            "model": {"feature_size": self.store.size},
            "encoder": self.store.encoder,
            "vocabulary": self.words.digest,
        }

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads; none of it changes, and every checkpoint says it."""
        captions = {"captions": self.train.digest, "development captions": self.dev.digest}
        return captions | picture_digests((self.train.records, self.dev.records), self.store, self.flipped)

    def save_words(self, path: Path) -> None:
        """Write the concepts."""
        self.words.save(path)

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """The mean average precision of the concepts of `dev`."""
        namer = Namer(engine, model, self.words, header, device)
        found = probabilities_of(namer, self.dev.records, self.store)
        return {"mAP": evaluate_naming(self.words.words, self.dev.shown, found).mAP}


def _words_of(records: list[Record], recipe: ConceptRecipe, source: Path) -> ConceptWords:
    """The most frequent content words of the training captions."""
    tokenized = (tokenize(caption) for record in records for caption in record.captions)
    return ConceptWords.build(tokenized, recipe.data.concept_count, source)


def probabilities_of(
    namer: Namer,
    records: tuple[Record, ...],
    store: FeatureStore,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """How likely each picture shows each concept: (pictures, C); features are read a hundred pictures at a time."""
    rows = []
    for start in range(0, len(records), AT_ONCE):
        some = records[start : start + AT_ONCE]
        rows.append(namer.probabilities(store.read([record.file for record in some])))
        if progress:
            progress(start + len(some), len(records))
    return np.concatenate(rows)


def evaluate(
    run: Path | str,
    part: str = "dev",
    captions: Path | str | None = None,
    features: Path | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NamingScores, Path]:
    """Name what the pictures of a split show with the best checkpoint of `run`; returns scores and where the names lie.

    `captions` and `features` take the place of those of the recipe, and then the files are named after them too.
    Scores go to scores/SPLIT.json of the run folder, the likeliest concepts of each picture to predictions/SPLIT.json.
    """
    recipe, folder, which = recipe_in(run, ConceptRecipe), RunFolder(run), known_split(part)
    captions, features = captions and path_of(captions, "captions"), features and path_of(features, "features")
    name = "-".join([*([captions.stem] if captions else []), which, *([features.stem] if features else [])])
    namer = Namer.open(run, recipe.training.device)
    records = split(read_records(captions or locate(recipe.data.captions)), part)
    store = open_features(features or locate(recipe.data.features), namer.header)
    some = ConceptSet.build(records, namer.concepts, store)
    found = probabilities_of(namer, some.records, store, progress)
    scores = evaluate_naming(namer.words, some.shown, found)
    about = {
        "split": which,
        "captions": str(captions or recipe.data.captions),
        "features": str(features or recipe.data.features),
        "checkpoint_step": namer.header["progress"]["step"],
    }
    items = [
        {
            "id": record.id,
            "file": record.file,
            "concepts": [{"concept": word, "probability": chance} for word, chance in namer.likeliest(row, TOLD)],
            "named": [namer.words[i] for i in named],
        }
        for record, row, named in zip(some.records, found, some.named, strict=True)
    ]
    write_json(folder.scores(name), scores.to_json())
    write_json(folder.predictions(name), about | {"items": items})
    return scores, folder.predictions(name)
