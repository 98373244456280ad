"""From a recipe to everything that training holds in its hands, and from there to a checkpoint."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seesay import __version__
from seesay.checkpoint import write_checkpoint
from seesay.data.batches import CaptionSet
from seesay.data.features import FeatureStore
from seesay.data.records import Record, split
from seesay.errors import CheckpointError
from seesay.models import build, move
from seesay.recipe import Data, Recipe, Stage, locate
from seesay.text.vocabulary import Vocabulary
from seesay.training.folder import RunFolder
from seesay.training.state import Progress, pack


@dataclass
class Work:
    """Everything that training holds in its hands."""

    recipe: Recipe
    folder: RunFolder
    vocabulary: Vocabulary
    train: CaptionSet
    dev: CaptionSet
    store: FeatureStore
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
    sets = {
        name: CaptionSet.build(
            split(records, name),
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
        model,
        average,
        make_optimizer(model, stage),
        progress,
    )


def _require_features(source: str, sets: dict[str, CaptionSet]) -> None:
    """Every picture must have its features before the first step, not at the 800th."""
    for some in sets.values():
        for store in filter(None, (some.features, some.flipped)):
            store.require([record.file for record in some.records], source)


def check_same(work: Work, header: dict[str, Any], path: Path) -> None:
    """Refuse to go on with another vocabulary, other captions or other features than the run began with."""
    if work.vocabulary.digest != header["vocabulary"]:
        raise CheckpointError(f"{path}: its vocabulary.json is not the one that it was trained with; put its own back.")
    if _data_digest(work) != header["data"]:
        raise CheckpointError(
            f"{path}: captions or features have changed since it was trained; it cannot go on exactly."
        )


def _data_digest(work: Work) -> list[str]:
    return [work.train.digest, work.dev.digest, work.store.digest]


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
        "data": _data_digest(work),
        "decoding": recipe.decoding.model_dump(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
