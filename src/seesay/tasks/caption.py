"""Describing pictures: captions, features, and scores against human captions."""

from __future__ import annotations

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
from seesay.errors import RecipeError
from seesay.evaluation import describe_records, score_captions
from seesay.metrics.endings import OPEN_ENDS
from seesay.metrics.meteor import Meteor
from seesay.metrics.mixture import MixedReward
from seesay.recipe import Recipe, SelfCriticalStage, locate
from seesay.tasks.pictures import check_search, cut_notice, open_stores, part_of, picture_digests, require_features
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
        check_search(recipe, vocabulary)
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
        data, parts = self.recipe.data, {"train": self.train, "dev": self.dev}
        most, why = data.max_words, "data.max_words"
        if self.positions is not None and self.positions - 1 < most:
            most, why = self.positions - 1, f"model.positions = {self.positions}, with room for <bos>"
        return cut_notice(data.captions, "captions", parts, most, why)

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


def _words(records: list[Record], recipe: Recipe, source: Path) -> Vocabulary:
    tokenized = [tokenize(caption) for record in records for caption in record.captions]
    return Vocabulary.build(tokenized, recipe.data.minimum_count, source)
