"""From a recipe to everything that training holds in its hands, and from there to a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seesay import __version__
from seesay.checkpoint import write_checkpoint
from seesay.data.batches import batches
from seesay.engines import Engine, open_engine
from seesay.errors import CheckpointError, RecipeError, UnknownName
from seesay.recipe import AnyRecipe, AnyStage, Model, SelfCriticalStage, Training, recipe_of
from seesay.tasks import Material, suited
from seesay.training.folder import RunFolder
from seesay.training.progress import Progress
from seesay.training.schedules import Schedule, noam, stepwise, warm_up_and_decay

LOSS_BATCH = 20  # pictures or sentences; what fits in memory everywhere
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


def check_stages(work: Work) -> None:
    """Raises RecipeError for a stage that could teach nothing, or weighs what a model attends to that attends to none.

    Asked before a run begins, and not where its recipe is read: a run that exists can be used as it is.
    """
    for number, stage in enumerate(work.recipe.stages):
        if isinstance(stage, SelfCriticalStage) and stage.samples == 1 and stage.method == "beam":
            raise RecipeError(
                f"stages.{number}.samples: received 1 with method 'beam' and baseline 'greedy', which find the same "
                "caption, so that nothing is learned; expected 2 or more, or method 'sample'."
            )
        value = getattr(stage, "doubly_stochastic", 0)
        if value and not getattr(work.model, "attends", True):
            raise RecipeError(
                f"stages.{number}.doubly_stochastic: received {value:g} with model '{work.recipe.model.name}', which "
                "attends to no regions; expected 0; or take a model that does, such as 'attend_tell'."
            )


def shortfalls(work: Work) -> Iterator[str]:
    """What the stages from here on ask for and do not come to, a line each."""
    for number, stage in enumerate(work.recipe.stages):
        if number >= work.progress.stage and (short := getattr(stage, "short_of", "")):
            yield f"stages.{number}.{short}."


def span(work: Work) -> tuple[int, int]:
    """The steps of the stage under way, and how many of them warm up: a short stage must not end before its warm-up."""
    total = work.stage.epochs * batches(len(work.material.train), work.stage.batch_size)
    return total, min(work.stage.warmup, total // 10)


def schedule_of(work: Work) -> Schedule:
    """The learning rate by the stage's own steps."""
    stage, (total, warmup) = work.stage, span(work)
    if stage.decay == "noam":
        return noam(stage.learning_rate, warmup=warmup)
    if stage.decay == "steps":
        return stepwise(stage.learning_rate, stage.factors, epoch_steps=total // stage.epochs, warmup=warmup)
    return warm_up_and_decay(stage.learning_rate, warmup=warmup, total=total, decay=stage.decay, floor=stage.floor)


def on_dev(work: Work) -> tuple[dict[str, float], float]:
    """Scores and loss on development data; UnknownName where the score that the stage selects by is not among them."""
    device = work.recipe.training.device
    scores = work.material.scores(work.engine, work.judged, header_of(work), device)
    if work.stage.select_by not in scores:
        raise UnknownName("score", work.stage.select_by, scores)
    dev = work.material.dev.in_order(LOSS_BATCH)
    return scores, work.engine.mean_loss(work.judged, dev, work.recipe.task, device)


def check_recipe(recipe: AnyRecipe, header: dict[str, Any], path: Path) -> None:
    """Refuse to go on with other settings than the run began with; its name and where its data lie may change."""
    begun, progress = header.get("recipe"), header.get("progress")
    if isinstance(progress, dict) and progress.get("done") and not progress.get("step"):
        raise CheckpointError(
            f"{path}: its weights were imported, not trained by seesay; expected a run that 'seesay train' began; it "
            "can be evaluated and used; to train from them, name it as training.start_from of another run."
        )
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
