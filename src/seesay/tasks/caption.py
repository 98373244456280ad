"""Describing pictures: captions, features, and scores against human captions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seesay.captioner import Captioner
from seesay.data.batches import CaptionSet
from seesay.data.features import FeatureStore
from seesay.data.records import Record, read_records
from seesay.decoding.settings import Decoding
from seesay.engines import Engine
from seesay.errors import DataError, RecipeError
from seesay.evaluation import describe_records, score_captions
from seesay.metrics.endings import OPEN_ENDS
from seesay.metrics.meteor import Meteor
from seesay.metrics.mixture import MixedReward
from seesay.recipe import Data, PictureWords, Questions, Recipe, SelfCriticalStage, locate
from seesay.text.ptb import tokenize
from seesay.text.vocabulary import UNK, Vocabulary
from seesay.training.folder import RunFolder
from seesay.training.worth import Judge


@dataclass(frozen=True)
class Captions:
    """See `seesay.tasks.Material`."""

    recipe: Recipe
    vocabulary: Vocabulary
    train: CaptionSet
    dev: CaptionSet
    store: FeatureStore
    flipped: FeatureStore | None
    positions: int | None = None  # of the model: the most words of a caption, <bos> among them

    @classmethod
    def gather(cls, recipe: Recipe, folder: RunFolder, begun: bool = False) -> Captions:
        """Everything that the recipe names; nothing is written."""
        source = locate(recipe.data.captions)
        records = read_records(source)
        train = part_of(records, "train", source)
        vocabulary = Vocabulary.load(folder.vocabulary) if begun else _words(train, recipe, source)
        parts = {"train": train, "dev": part_of(records, "dev", source)}
        store, flipped = open_stores(recipe.data)
        sets = {
            name: CaptionSet.build(
                parts[name],
                vocabulary,
                store,
                max_words=recipe.data.max_words,
                flipped=flipped if name == "train" else None,
            )
            for name in parts
        }
        require_features(recipe.data.captions, sets)
        if any(isinstance(stage, SelfCriticalStage) and stage.reward.get("METEOR") for stage in recipe.stages):
            Meteor.load()  # what is missing should be missed now, not when its stage comes
        return cls(recipe, vocabulary, sets["train"], sets["dev"], store, flipped)

    def within(self, positions: int) -> Captions:
        """The same for a model with so many positions: captions that are longer are cut, which `notices` tells.

        Raises RecipeError where the recipe has longer captions said.
        """
        lengths = {"decoding": self.recipe.decoding.max_length}
        for number, stage in enumerate(self.recipe.stages):
            if isinstance(stage, SelfCriticalStage):
                lengths[f"stages.{number}"] = stage.max_length
        for section, length in lengths.items():
            if length > positions:
                raise RecipeError(
                    f"{section}.max_length: received {length}; expected at most the model's positions, {positions}; "
                    "have fewer words said, or set more model.positions."
                )
        most = positions - 1
        return replace(self, train=self.train.within(most), dev=self.dev.within(most), positions=positions)

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know of the captions: how many were too long."""
        parts = {"train": self.train, "dev": self.dev}
        counts = [
            f"{some.cut:,} of {sum(map(len, some.encoded)):,} captions of '{name}'"
            for name, some in parts.items()
            if some.cut
        ]
        if not counts:
            return ()
        most, why = self.recipe.data.max_words, "data.max_words"
        if self.positions is not None and self.positions - 1 < most:
            most, why = self.positions - 1, f"model.positions = {self.positions}, with room for <bos>"
        return (f"{self.recipe.data.captions}: cut {' and '.join(counts)} to {most} words ({why}).",)

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide."""
        return {"feature_size": self.store.size, "vocabulary_size": len(self.vocabulary)}

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""
        return {
            "model": {"feature_size": self.store.size},
            "encoder": self.store.encoder,
            "vocabulary": self.vocabulary.digest,
            "decoding": self.recipe.decoding.model_dump(),
        }

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads; none of it changes, and every checkpoint says it."""
        captions = {"captions": self.train.digest, "development captions": self.dev.digest}
        return captions | picture_digests((self.train.records, self.dev.records), self.store, self.flipped)

    def save_words(self, path: Path) -> None:
        """Write the vocabulary."""
        self.vocabulary.save(path)

    def judge(self, stage: SelfCriticalStage) -> Judge:
        """What captions of `train` are rewarded for in a self-critical stage."""
        references = {record.id: record.captions for record in self.train.records}
        weights = {str(name): weight for name, weight in stage.reward.items()}
        reward = MixedReward(references, self.vocabulary, weights, with_end=stage.with_end, documents=stage.documents)
        return Judge(reward, frozenset(self.vocabulary.encode(OPEN_ENDS)) - {UNK})

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """BLEU, ROUGE-L and CIDEr-D of greedy captions of `dev`."""
        captioner = Captioner(engine, model, self.vocabulary, header, device)
        greedy = Decoding("greedy", max_length=self.recipe.decoding.max_length)
        found = describe_records(captioner, self.dev.records, self.store, greedy)
        return score_captions(found, self.dev.records).corpus


def part_of(records: list[Record], name: str, source: Path) -> list[Record]:
    """The records of one of the two splits that training needs; DataError where there are none."""
    chosen = [record for record in records if record.split == name]
    if not chosen:
        raise DataError(
            f"{source}: received {len(records):,} pictures, none of split '{name}'; expected some of 'train' to learn "
            "from and some of 'dev' to choose the best epoch; change the split of a few."
        )
    return chosen


def _words(records: list[Record], recipe: Recipe, source: Path) -> Vocabulary:
    tokenized = [tokenize(caption) for record in records for caption in record.captions]
    return Vocabulary.build(tokenized, recipe.data.minimum_count, source)


def open_stores(data: Data | PictureWords | Questions) -> tuple[FeatureStore, FeatureStore | None]:
    """The features that a recipe names, and those of the mirrored pictures if it does; DataError where they differ."""
    store, flipped = FeatureStore(locate(data.features)), FeatureStore(locate(data.flipped)) if data.flipped else None
    check_stores(store, flipped)
    return store, flipped


def picture_digests(
    parts: Iterable[Sequence[Record]], store: FeatureStore, flipped: FeatureStore | None
) -> dict[str, str]:
    """SHA-256 of what training sees of pictures: which ones there are in each of its parts, and their features."""
    files = json.dumps([[record.file for record in part] for part in parts])
    return {
        "names of the pictures": hashlib.sha256(files.encode()).hexdigest(),
        "features": store.digest,
        "flipped features": "" if flipped is None else flipped.digest,
    }


def check_stores(store: FeatureStore, flipped: FeatureStore | None) -> None:
    """The features must be those of the pictures as they are, and the flipped ones their mirror images."""
    for key, some, mirrored in (("features", store, False), ("flipped", flipped, True)):
        if some is not None and some.flipped is not mirrored:
            kinds = ("the pictures as they are", "the mirrored pictures")
            raise DataError(
                f"{some.path}: features of {kinds[some.flipped]}; data.{key} expects those of {kinds[mirrored]}; "
                "name the right file, or make it with 'seesay features'" + (" --flipped." if mirrored else ".")
            )
    if flipped is not None and _kind(flipped) != _kind(store):
        raise DataError(
            f"{flipped.path}: features of {_kind(flipped)}; expected {_kind(store)}, as in {store.path}; make both "
            "with the same encoder."
        )


def _kind(store: FeatureStore) -> str:
    return f"{store.encoder} ({store.regions} x {store.size})"


def require_features(source: str, sets: dict[str, CaptionSet]) -> None:
    """Every picture must have its features before the first step, not at the 800th."""
    for some in sets.values():
        for store in filter(None, (some.features, some.flipped)):
            store.require([record.file for record in some.records], source)
