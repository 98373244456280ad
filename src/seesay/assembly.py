"""From a recipe to everything that training holds in its hands, and from there to a checkpoint."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seesay import __version__
from seesay.checkpoint import write_checkpoint
from seesay.data.batches import CaptionSet
from seesay.data.features import FeatureStore
from seesay.data.records import Record
from seesay.errors import CheckpointError, DataError
from seesay.models import build, move
from seesay.recipe import Data, Recipe, Stage, locate
from seesay.text.vocabulary import Vocabulary
from seesay.training.folder import RunFolder
from seesay.training.state import Progress, pack

# Settings that may change between two parts of a run: names, and where data lie that are compared by content.
_FREE = {"name", "notice", "data.captions", "data.features", "data.flipped", "data.pictures"}


@dataclass
class Work:
    """Everything that training holds in its hands."""

    recipe: Recipe
    folder: RunFolder
    vocabulary: Vocabulary
    train: CaptionSet
    dev: CaptionSet
    store: FeatureStore
    flipped: FeatureStore | None
    model: nn.Module
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    progress: Progress

    @property
    def stage(self) -> Stage:
        """The stage under way."""
        return self.recipe.stages[self.progress.stage]

    @property
    def judged(self) -> nn.Module:
        """The weights that are evaluated: the averaged ones where the recipe asks for them."""
        return self.model if self.average is None else self.average


def settle(recipe: Recipe) -> Recipe:
    """The recipe with absolute paths, so that the run can be resumed and evaluated from anywhere."""
    data = recipe.data.model_dump()
    for key in ("captions", "features", "flipped", "pictures"):
        if data[key] and not data[key].startswith("seesay:"):
            data[key] = str(Path(data[key]).resolve())
    return recipe.model_copy(update={"data": Data(**data)})


def assemble(
    recipe: Recipe, folder: RunFolder, records: list[Record], vocabulary: Vocabulary, progress: Progress | None = None
) -> Work:
    """Everything that a recipe names, opened and checked; nothing is written."""
    store = FeatureStore(locate(recipe.data.features))
    flipped = FeatureStore(locate(recipe.data.flipped)) if recipe.data.flipped else None
    _check_stores(store, flipped)
    sets = {
        name: CaptionSet.build(
            part_of(recipe, records, name),
            vocabulary,
            store,
            max_words=recipe.data.max_words,
            flipped=flipped if name == "train" else None,
        )
        for name in ("train", "dev")
    }
    _require_features(recipe.data.captions, sets)
    progress = progress or Progress()
    torch.manual_seed(recipe.seed)
    model = build(recipe.model.name, recipe.model.settings, feature_size=store.size, vocabulary_size=len(vocabulary))
    model = move(model, recipe.training.device)
    stage = recipe.stages[progress.stage]
    average = copy.deepcopy(model) if stage.average else None
    return Work(
        recipe,
        folder,
        vocabulary,
        sets["train"],
        sets["dev"],
        store,
        flipped,
        model,
        average,
        make_optimizer(model, stage),
        progress,
    )


def part_of(recipe: Recipe, records: list[Record], name: str) -> list[Record]:
    """The records of one of the two splits that training needs; DataError where there are none."""
    chosen = [record for record in records if record.split == name]
    if not chosen:
        raise DataError(
            f"{locate(recipe.data.captions)}: received {len(records):,} pictures, none of split '{name}'; expected "
            "some of 'train' to learn from and some of 'dev' to choose the best epoch; change the split of a few."
        )
    return chosen


def _check_stores(store: FeatureStore, flipped: FeatureStore | None) -> None:
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


def _require_features(source: str, sets: dict[str, CaptionSet]) -> None:
    """Every picture must have its features before the first step, not at the 800th."""
    for some in sets.values():
        for store in filter(None, (some.features, some.flipped)):
            store.require([record.file for record in some.records], source)


def check_recipe(recipe: Recipe, header: dict[str, Any], path: Path) -> None:
    """Refuse to go on with other settings than the run began with; its name and where its data lie may change."""
    begun = header.get("recipe")
    if not isinstance(begun, dict) or not isinstance(header.get("data"), dict):
        raise CheckpointError(
            f"{path}: begun by an older seesay, which noted too little to go on exactly; it can be evaluated and used; "
            "to train, begin a new run."
        )
    before, now = _flat(begun), _flat(recipe.model_dump(mode="json"))
    for key in sorted((before.keys() | now.keys()) - _FREE):
        if before.get(key) != now.get(key):
            raise CheckpointError(
                f"{path / 'recipe.toml'}: received {key} = {_shown(now, key)}; the run began with "
                f"{_shown(before, key)} and goes on exactly or not at all; put it back, or begin another run with it."
            )


def _shown(settings: dict[str, Any], key: str) -> str:
    return f"{settings[key]!r:.80}" if key in settings else "nothing"


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names, as --set spells them."""
    if not isinstance(content, dict | list):
        return {prefix: content}
    items = content.items() if isinstance(content, dict) else enumerate(content)
    return {key: v for name, each in items for key, v in _flat(each, f"{prefix}.{name}".lstrip(".")).items()}


def check_same(work: Work, header: dict[str, Any], path: Path) -> str:
    """Refuse to go on with another vocabulary or other data than the run began with.

    What makes later bits differ without making them wrong, another torch or thread count, is told instead.
    """
    if work.vocabulary.digest != header["vocabulary"]:
        raise CheckpointError(f"{path}: its vocabulary.json is not the one that it was trained with; put its own back.")
    for part, digest in _digests(work).items():
        if header["data"].get(part) != digest:
            raise CheckpointError(
                f"{path}: its {part} have changed since it was trained; it cannot go on exactly; "
                "put back what was there, or begin a new run."
            )
    here = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    other = [f"{name} {header.get(name)} before, {now} now" for name, now in here.items() if header.get(name) != now]
    return f"{path}: goes on, but not to the last bit: {'; '.join(other)}." if other else ""


def _digests(work: Work) -> dict[str, str]:
    """SHA-256 of everything that training reads."""
    files = json.dumps([[record.file for record in some.records] for some in (work.train, work.dev)])
    return {
        "captions": work.train.digest,
        "development captions": work.dev.digest,
        "names of the pictures": hashlib.sha256(files.encode()).hexdigest(),
        "features": work.store.digest,
        "flipped features": "" if work.flipped is None else work.flipped.digest,
    }


def make_optimizer(model: nn.Module, stage: Stage) -> torch.optim.Optimizer:
    """Adam or AdamW; weight decay is for matrices only, as biases and norms have nothing to shrink for."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": stage.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    kind: type[torch.optim.Adam] = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[stage.optimizer]
    return kind(groups, lr=stage.learning_rate)


def save(work: Work) -> None:
    """Write the newest checkpoint; on return everything logged so far is safe too."""
    header = header_of(work) | {"progress": work.progress.as_dict(), "log_size": work.folder.log_size()}
    write_checkpoint(work.folder.last, pack(work.model, work.average, work.optimizer), header)


def header_of(work: Work) -> dict[str, Any]:
    """What a reader of the weights must know."""
    recipe = work.recipe
    return {
        "seesay": __version__,
        "model": {"name": recipe.model.name, "settings": recipe.model.settings, "feature_size": work.store.size},
        "encoder": work.store.encoder,
        "vocabulary": work.vocabulary.digest,
        "data": _digests(work),
        "recipe": recipe.model_dump(mode="json"),
        "decoding": recipe.decoding.model_dump(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
