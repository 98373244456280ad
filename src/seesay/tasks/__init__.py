"""What a run learns from and is judged by: a file for each task, with the same names for training to use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from seesay.engines import Engine
from seesay.recipe import AnyRecipe, AskRecipe, ClassifyRecipe, ConceptRecipe, Recipe, TagRecipe
from seesay.training.folder import RunFolder


class Examples(Protocol):
    """The examples of one split, ready to be cut into batches."""

    def __len__(self) -> int:
        """How many there are."""

    def shuffled(self, size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches of one epoch from the `start`-th on; they depend on `seed` and `epoch` alone."""

    def in_order(self, size: int) -> Iterator[Any]:
        """Every example once, in the order given."""


class Material(Protocol):
    """Everything that a recipe's data section names, opened and checked, with the words or tags found in it."""

    @property
    def train(self) -> Examples:
        """To learn from."""

    @property
    def dev(self) -> Examples:
        """To choose the best epoch by."""

    @property
    def sizes(self) -> dict[str, Any]:
        """The sizes of a model that the data decide."""

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint's header says of them."""

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that training reads."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know of them, such as how many captions were too long; said when training begins."""

    def save_words(self, path: Path) -> None:
        """Write what turns words into ids."""

    def scores(self, engine: Engine, model: Any, header: dict[str, Any], device: str) -> dict[str, float]:
        """What the model reaches on `dev`."""


def suited(material: Material, model: Any) -> Material:
    """The material for this model: captions that are longer than its positions are cut there; all else stays."""
    positions = getattr(getattr(model, "config", None), "positions", None)
    if positions is None or not hasattr(material, "within"):
        return material
    shorter: Material = material.within(positions)
    return shorter


def gather(recipe: AnyRecipe, folder: RunFolder, begun: bool = False) -> Material:
    """The material of a recipe; a run that has `begun` keeps the words that lie in its folder."""
    match recipe:
        case Recipe():
            from seesay.tasks.caption import Captions

            return Captions.gather(recipe, folder, begun)
        case AskRecipe():
            from seesay.tasks.ask import Questions

            return Questions.gather(recipe, folder, begun)
        case ConceptRecipe():
            from seesay.tasks.concepts import Concepts

            return Concepts.gather(recipe, folder, begun)
        case TagRecipe():
            from seesay.tasks.tag import Tags

            return Tags.gather(recipe, folder, begun)
        case ClassifyRecipe():
            from seesay.tasks.classify import Texts

            return Texts.gather(recipe, folder, begun)
