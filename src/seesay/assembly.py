"""From a recipe to everything that training holds in its hands, and from there to a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay import __version__
from seesay.checkpoint import write_checkpoint
from seesay.engines import Engine, open_engine
from seesay.errors import CheckpointError
from seesay.recipe import AnyRecipe, AnyStage, Model, Training, recipe_of
from seesay.tasks import Material, suited
from seesay.training.folder import RunFolder
from seesay.training.progress import Progress

# Keys of data sections.
PATHS = ("captions", "questions", "features", "flipped", "pictures", "concepts", "train", "dev", "test")
# Settings that may change between two parts of a run: names, and where data lie that are compared by content.
_FREE = {"name", "notice", "training.start_from", *(f"data.{key}" for key in PATHS)}


@dataclass
class Work:
    """Everything that training holds in its hands."""

    recipe: AnyRecipe
    folder: RunFolder
    engine: Engine
    material: Material
    model: Any
    average: Any | None
    optimizer: Any
    progress: Progress

    @property
    def stage(self) -> AnyStage:
        """The stage under way."""
        return self.recipe.stages[self.progress.stage]

    @property
    def judged(self) -> Any:
        """The weights that are evaluated: the averaged ones where the recipe asks for them."""
        return self.model if self.average is None else self.average


def engine_of(recipe: AnyRecipe) -> Engine:
    """The engine that a recipe asks for, which can do all that its stages say; RecipeError where it cannot."""
    engine = open_engine(recipe.training.engine)
    engine.check(recipe.stages, recipe.training)
    return engine


def settle(recipe: AnyRecipe, engine: Engine) -> AnyRecipe:
    """The recipe with absolute paths and all settings of its model: the run serves from anywhere, and for ever."""
    data = recipe.data.model_dump()
    for key in PATHS:
        if data.get(key) and not data[key].startswith("seesay:"):
            data[key] = str(Path(data[key]).resolve())
    training = recipe.training.model_dump()
    if training["start_from"]:
        training["start_from"] = str(Path(training["start_from"]).resolve())
    complete = engine.complete(recipe.task, recipe.model.name, recipe.model.settings)
    sections = {
        "data": type(recipe.data)(**data),
        "model": Model(name=recipe.model.name, **complete),
        "training": Training(**training),
    }
    return recipe.model_copy(update=sections)


def assemble(recipe: AnyRecipe, folder: RunFolder, material: Material, engine: Engine, progress: Progress) -> Work:
    """Model and optimiser for what a recipe asks; nothing is written."""
    model = engine.build(recipe.task, recipe.model.name, recipe.model.settings, material.sizes, recipe.seed)
    model, material = engine.move(model, recipe.training.device), suited(material, model)
    stage = recipe.stages[progress.stage]
    average = engine.copy(model) if stage.average else None
    return Work(recipe, folder, engine, material, model, average, engine.optimizer(model, stage), progress)


def check_recipe(recipe: AnyRecipe, header: dict[str, Any], path: Path) -> None:
    """Refuse to go on with other settings than the run began with; its name and where its data lie may change."""
    begun = header.get("recipe")
    if not isinstance(begun, dict) or not isinstance(header.get("data"), dict):
        raise CheckpointError(
            f"{path}: begun by an older seesay, which noted too little to go on exactly; it can be evaluated and used; "
            "to train, begin a new run."
        )
    begun = recipe_of(begun, path).model_dump(mode="json")  # a setting that is newer than the run has its default
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
    if work.material.about["vocabulary"] != header["vocabulary"]:
        raise CheckpointError(f"{path}: its vocabulary.json is not the one that it was trained with; put its own back.")
    for part, digest in work.material.digests.items():
        if header["data"].get(part) != digest:
            raise CheckpointError(
                f"{path}: its {part} have changed since it was trained; it cannot go on exactly; "
                "put back what was there, or begin a new run."
            )
    here = work.engine.about()
    other = [f"{name} {header.get(name)} before, {now} now" for name, now in here.items() if header.get(name) != now]
    return f"{path}: goes on, but not to the last bit: {'; '.join(other)}." if other else ""


def save(work: Work) -> None:
    """Write the newest checkpoint; on return everything logged so far is safe too."""
    header = header_of(work) | {"progress": work.progress.as_dict(), "log_size": work.folder.log_size()}
    write_checkpoint(work.folder.last, work.engine.pack(work.model, work.average, work.optimizer), header)


def header_of(work: Work) -> dict[str, Any]:
    """What a reader of the weights must know."""
    recipe, about = work.recipe, work.material.about
    return {
        "seesay": __version__,
        "task": recipe.task,
        "engine": work.engine.name,
        **about,
        "model": {"name": recipe.model.name, "settings": recipe.model.settings, **about["model"]},
        "data": work.material.digests,
        "recipe": recipe.model_dump(mode="json"),
        **work.engine.about(),
    }
