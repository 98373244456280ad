"""Recipes: one TOML file describes one run completely; an unknown key is an error with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seesay.errors import RecipeError, UnknownName

PACKAGE = Path(__file__).parent
HOMES = (PACKAGE / "recipes", PACKAGE.parents[1] / "recipes")  # installed, or beside the source


# What pydantic finds at fault, and what a recipe should say instead; `{example}` is an example for the place.
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "string_too_long": "at most {max_length} letters",
    "string_pattern_mismatch": "letters, digits, spaces, '.', '_' and '-', beginning with a letter or digit",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "model_type": "{example}",
    "tuple_type": "{example}",
    "too_short": "{example}",
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Data(_Section):
    """Which pictures and captions. A path that starts with "seesay:" lies in the package."""

    captions: str
    features: str
    flipped: str = ""  # features of the mirrored pictures, if training should use them
    pictures: str = ""  # the folder of the pictures, for reports and for extraction where `features` is missing
    minimum_count: int = Field(4, ge=1)
    max_words: int = Field(24, ge=1)


class Sentences(_Section):
    """Which tagged sentences, in columns: one token a line, a blank line between sentences, or CoNLL-U."""

    train: str
    dev: str = ""  # where it is missing, a part of `train` is kept aside
    dev_share: float = Field(0.1, gt=0, lt=1)
    test: str = ""
    minimum_count: int = Field(1, ge=1)  # rarer words are all one unknown word


class Model(BaseModel):
    """The model's file name, and the settings of its Config."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})


class _Stage(_Section):
    epochs: int = Field(10, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: int = Field(100, ge=0)  # steps, but never more than a tenth of the stage's
    decay: Literal["constant", "cosine", "linear"] = "cosine"
    floor: float = Field(0.02, ge=0, le=1)  # of the learning rate, at the end of the decay
    clip: float = Field(1.0, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    average: float = Field(0.0, ge=0, lt=1)  # the decay of the weights' moving average, 0 for none
    patience: int = Field(5, ge=1)  # epochs without a better score on development data


class Stage(_Stage):
    """One stage of training a captioner."""

    objective: Literal["cross_entropy"] = "cross_entropy"
    pictures_per_batch: int = Field(10, ge=1)
    doubly_stochastic: float = Field(0.0, ge=0)
    select_by: Literal["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D"] = "CIDEr-D"

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.pictures_per_batch


class TagStage(_Stage):
    """One stage of training a tagger."""

    sentences_per_batch: int = Field(32, ge=1)
    select_by: Literal["accuracy"] = "accuracy"

    @property
    def batch_size(self) -> int:
        """How much goes into one step."""
        return self.sentences_per_batch


class Training(_Section):
    """How training runs on this machine. `save_every` is in steps, 0 saves at the end of each epoch only."""

    engine: Literal["torch", "numpy"] = "torch"
    precision: Literal["float32", "bf16"] = "float32"
    device: str = "cpu"
    save_every: int = Field(0, ge=0)
    log_every: int = Field(10, ge=1)


class Decoding(_Section):
    """How sentences are searched for when the run is evaluated and used."""

    method: Literal["greedy", "beam", "sample"] = "beam"
    beam: int = Field(5, ge=1, le=1000)
    max_length: int = Field(20, ge=1, le=1000)
    length_penalty: float = 0.0


class _Recipe(_Section):
    name: str = Field(pattern=r"^\w[\w .-]*$", max_length=100)  # names the run's folder, too
    seed: int = Field(1, ge=0, lt=2**63)
    notice: str = ""  # said plainly at the head of the report
    model: Model
    training: Training = Training()


class Recipe(_Recipe):
    """All settings of one run that trains a captioner."""

    task: Literal["caption"] = "caption"
    data: Data
    stages: tuple[Stage, ...] = Field(min_length=1, strict=False)
    decoding: Decoding = Decoding()


class TagRecipe(_Recipe):
    """All settings of one run that trains a tagger."""

    task: Literal["tag"] = "tag"
    data: Sentences
    stages: tuple[TagStage, ...] = Field(min_length=1, strict=False)


AnyRecipe = Recipe | TagRecipe
KINDS: dict[str, type[Recipe] | type[TagRecipe]] = {"caption": Recipe, "tag": TagRecipe}


def locate(path: str) -> Path:
    """A path of a recipe; "seesay:" stands for the data that come with the package."""
    return PACKAGE / "data" / path.removeprefix("seesay:") if path.startswith("seesay:") else Path(path)


def find_recipe(name: str) -> Path:
    """The recipe file of that path, or else one of seesay's own of that name."""
    if Path(name).is_file():
        return Path(name)
    own = {file.stem: file for home in HOMES if home.is_dir() for file in sorted(home.glob("*.toml"))}
    if Path(name).stem in own:
        return own[Path(name).stem]
    raise UnknownName("recipe", name, own)


def read_recipe(path: Path, overrides: Iterable[str] = ()) -> AnyRecipe:
    """Read a recipe and apply `overrides` such as "stages.0.epochs=3" or "model.dropout=0.2"."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise RecipeError(f"{path}: cannot be read ({fault.strerror}); expected a recipe in TOML.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise RecipeError(f"{path}: not valid TOML: {fault}.") from None
    for override in overrides:
        _apply(content, override)
    return recipe_of(content, path)


def recipe_of(content: dict[str, Any], source: Path) -> AnyRecipe:
    """The recipe with these settings; `source` names the file that they come from in errors."""
    task = content.get("task", "caption")
    if not isinstance(task, str) or task not in KINDS:
        raise RecipeError(f"{source}: {UnknownName('task', str(task), KINDS)}")
    try:
        return KINDS[task].model_validate(content)
    except ValidationError as fault:
        raise _explain(source, fault, KINDS[task]) from None


def write_recipe(recipe: AnyRecipe) -> bytes:
    """The complete recipe as TOML; read back it is the same recipe."""
    return tomli_w.dumps(recipe.model_dump(mode="json")).encode()


def _apply(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override}: expected key=value, such as stages.0.epochs=3.")
    *parents, last = key.strip().split(".")
    place: Any = content
    for parent in parents:
        place = _child(place, parent, override)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if isinstance(place, list):
        raise RecipeError(
            f"--set {override}: '{'.'.join(parents)}' is a list; expected a key within it, such as 0.epochs."
        )
    place[last] = value


def _child(place: Any, name: str, override: str) -> Any:
    if isinstance(place, list):
        if not name.isdigit() or int(name) >= len(place):
            raise RecipeError(f"--set {override}: '{name}' is not among the entries 0 to {len(place) - 1}.")
        return place[int(name)]
    if not isinstance(place.setdefault(name, {}), dict | list):
        raise RecipeError(f"--set {override}: '{name}' is a value, not a section.")
    return place[name]


def _explain(path: Path, fault: ValidationError, kind: type[BaseModel]) -> Exception:
    """The first fault in one line; an unknown key is named with its nearest known one."""
    first = fault.errors()[0]
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        known = _fields(where[:-1], kind)
        return RecipeError(
            f"{path}: {UnknownName('key', '.'.join(where), ('.'.join([*where[:-1], k]) for k in known))}"
        )
    if first["type"] == "missing":
        return RecipeError(f"{path}: '{'.'.join(where)}' is missing; expected {_example(where)}.")
    wanted = _WANTED.get(first["type"], first["msg"]).format(example=_example(where), **first.get("ctx", {}))
    return RecipeError(f"{path}: {'.'.join(where)}: received {first['input']!r:.80}; expected {wanted}.")


def _example(where: list[str]) -> str:
    """How a recipe says what belongs at this place."""
    sections = {
        "data": "a section [data] with captions and features",
        "model": "a section [model] with the model's name",
        "stages": "at least one section [[stages]]",
    }
    if where[0] in sections and (len(where) == 1 or where[-1].isdigit()):
        return sections[where[0]]
    return f"a section [{where[0]}]" if where[0] in ("training", "decoding") else f'{where[-1]} = "..."'


def _fields(where: list[str], kind: type[BaseModel]) -> list[str]:
    """The keys that the section at this place may have."""
    section: Any = kind
    for part in where:
        if not part.isdigit():
            annotation = section.model_fields[part].annotation
            section = next((one for one in get_args(annotation) if one is not Ellipsis), annotation)  # of a tuple
    return list(section.model_fields)
