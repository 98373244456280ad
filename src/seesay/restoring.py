"""What opening a trained model takes, whatever its task: the file, its header, its weights, its engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from seesay.arguments import path_of
from seesay.checkpoint import Arrays, read_checkpoint
from seesay.engines import Engine, has_torch, open_engine
from seesay.errors import CheckpointError
from seesay.training.folder import RunFolder

if TYPE_CHECKING:  # recipes take a tenth of a second to import, which using a model need not wait for
    from seesay.recipe import AnyRecipe

Wanted = TypeVar("Wanted", bound="AnyRecipe")
OF_ALL: dict[str, type] = {  # what a checkpoint of any task must say of itself to be used
    "vocabulary": str,
    "model.name": str,
    "model.settings": dict,
    "progress.step": int,
}
TRAINED = {  # what a run of each task trains
    "caption": "a captioner",
    "ask": "an asker",
    "concepts": "a namer",
    "tag": "a tagger",
    "classify": "a classifier",
}


@overload
def recipe_in(run: Path | str) -> AnyRecipe: ...
@overload
def recipe_in(run: Path | str, kind: type[Wanted]) -> Wanted: ...
def recipe_in(run: Path | str, kind: Any = None) -> Any:
    """The recipe of a run folder; CheckpointError where the folder is not one, or its recipe not of that kind."""
    from seesay.recipe import read_recipe

    file = RunFolder(run).recipe
    if not file.exists():
        raise CheckpointError(
            f"{run}: not a run folder; expected one that 'seesay train' made, with recipe.toml in it."
        )
    recipe = read_recipe(file)
    if kind is not None and not isinstance(recipe, kind):
        wanted = TRAINED[kind.model_fields["task"].default]
        raise CheckpointError(f"{run}: received a run of task '{recipe.task}'; expected {wanted}; use one of these.")
    return recipe


def best_of(run: Path | str) -> Path:
    """The best checkpoint of a run folder, or the file itself; CheckpointError where there is none yet."""
    run = path_of(run, "run", "a run folder or a checkpoint, as text or a pathlib.Path")
    if not run.exists():
        raise CheckpointError(
            f"{run}: not found; expected a run folder, as 'seesay train' makes it, or a checkpoint; check the path."
        )
    if not run.is_dir():
        return run
    file = run / "checkpoints" / "best.safetensors"
    if not file.exists():
        raise CheckpointError(f"{run}: no checkpoint in it yet; expected {file}, which 'seesay train' writes.")
    return file


def best_step(run: Path | str) -> int:
    """After how many steps of training the best checkpoint of a run was made; CheckpointError where it is not said."""
    file = best_of(run)
    header: Any = read_checkpoint(file)[1]
    task = header.get("task", "caption") if isinstance(header, dict) else "caption"
    check_header(header, {"progress.step": int}, task, file)
    return int(header["progress"]["step"])


def weights_of(arrays: Iterable[str]) -> str:
    """The prefix of the weights to use: the averaged ones where there are any, or else the last ones.

    >>> weights_of(["model/bias", "average/bias"]), weights_of(["model/bias"])
    ('average/', 'model/')
    """
    return "average/" if any(name.startswith("average/") for name in arrays) else "model/"


def engine_for(header: Mapping[str, Any], asked: str | None) -> Engine:
    """The engine to open a checkpoint with: the one asked for, or else the one that trained it if it can be had.

    Both read the same files and say the same words, so that a run trained with torch serves where torch is not.
    """
    usual = header.get("engine", "torch")
    return open_engine(asked or (usual if usual == "numpy" or has_torch() else "numpy"))


class Words(Protocol):
    """What turns words into ids: a vocabulary or a lexicon."""

    @property
    def digest(self) -> str:
        """Equal exactly when all ids mean the same."""


Some = TypeVar("Some", bound=Words)


@dataclass(frozen=True)
class Opened(Generic[Some]):
    """The best checkpoint of a run with the words that it was trained with; its model is not built yet."""

    task: str
    file: Path
    arrays: Arrays
    header: dict[str, Any]
    words: Some

    def restore(self, sizes: Mapping[str, Any], engine: str | None, device: str) -> tuple[Engine, Any]:
        """The engine, as `engine_for` chooses it, and the model with its weights on that device.

        `sizes` are those of the model that its words and features decide.
        """
        chosen, about = engine_for(self.header, engine), self.header["model"]
        model = chosen.build(self.task, about["name"], about["settings"], sizes, 0)
        chosen.load(model, self.arrays, weights_of(self.arrays), str(self.file))
        return chosen, chosen.move(model, device)


def open_run(run: Path | str, task: str, wanted: Mapping[str, type], load: Callable[[Path], Some]) -> Opened[Some]:
    """The best checkpoint of a run folder, or a given checkpoint file within one, checked to be one of `task`.

    `wanted` are the keys that its header must have, `load` reads its words. Raises CheckpointError for a checkpoint
    that is missing, damaged or of another task, and for words other than those it was trained with.
    """
    file = best_of(run)
    arrays, header = read_checkpoint(file)
    check_header(header, wanted, task, file)
    path = file.parent.parent / "vocabulary.json"
    words = load(path)
    if words.digest != header["vocabulary"]:
        raise CheckpointError(f"{path}: not the vocabulary that {file} was trained with; put its own back.")
    return Opened(task, file, arrays, header, words)


def check_header(header: Any, wanted: Mapping[str, type], task: str, file: Path) -> None:
    """Raises CheckpointError where a whole checkpoint is not one of this task; `wanted` names keys and their types."""
    about = header if isinstance(header, dict) else {}
    if about.get("task", task) != task:
        other = str(about["task"])
        received = f"{TRAINED[other]} ('seesay {other}' uses it)" if other in TRAINED else other
        raise CheckpointError(f"{file}: received {received}; expected {TRAINED[task]}.")
    for key, kind in wanted.items():
        value: Any = about
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, kind):
            raise CheckpointError(
                f"{file}: received {key} {value!r:.40} in its header; expected {kind.__name__}, as in a checkpoint "
                "that 'seesay train' wrote; use one of these."
            )
