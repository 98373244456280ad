"""Recipes: one TOML file describes one run completely; an unknown key is an error with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError

from seesay.arguments import listed, path_of
from seesay.errors import RecipeError, UnknownName
from seesay.sections import (
    KINDS,
    AnyRecipe,
    AskRecipe,
    ClassifyRecipe,
    ConceptRecipe,
    Data,
    Decoding,
    Labels,
    Model,
    PictureWords,
    Questions,
    Recipe,
    Sentences,
    TagRecipe,
    Training,
)
from seesay.stages import OBJECTIVES, AnyStage, ClassifyStage, ConceptStage, SelfCriticalStage, Stage, TagStage

__all__ = [
    "PACKAGE",
    "AnyRecipe",
    "AnyStage",
    "AskRecipe",
    "ClassifyRecipe",
    "ClassifyStage",
    "ConceptRecipe",
    "ConceptStage",
    "Data",
    "Decoding",
    "Labels",
    "Model",
    "PictureWords",
    "Questions",
    "Recipe",
    "SelfCriticalStage",
    "Sentences",
    "Stage",
    "TagRecipe",
    "TagStage",
    "Training",
    "find_recipe",
    "locate",
    "read_recipe",
    "recipe_of",
    "write_recipe",
]

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
    "string_too_short": "a name or a path",
    "string_pattern_mismatch": "letters, digits, spaces, '.', '_' and '-', beginning with a letter or digit",
    "literal_error": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "model_type": "{example}",
    "tuple_type": "{example}",
    "too_short": "{example}",
    "too_long": "at most {max_length}",
    "dict_type": "{example}",
}
# What belongs under a key that holds neither text nor one number.
_NO_STRINGS = {
    "factors": "pairs such as [[1, 1.0], [11, 0.2]]",
    "betas": "two numbers such as [0.9, 0.98]",
    "columns": "two column numbers such as [0, 1]",
    "reward": 'scores with their weights, such as { "CIDEr-D" = 1.0 }',
}


def locate(path: str) -> Path:
    """A path of a recipe; "seesay:" stands for the data that come with the package."""
    return PACKAGE / "data" / path.removeprefix("seesay:") if path.startswith("seesay:") else Path(path)


def find_recipe(name: Path | str) -> Path:
    """The recipe file of that path; `X`, `X.toml` and `recipes/X.toml` may also be one of seesay's own.

    Raises RecipeError where there is no such file: a mistyped path never runs another recipe.

    >>> find_recipe("demo").name, find_recipe("recipes/demo.toml").name
    ('demo.toml', 'demo.toml')
    """
    if path_of(name, "recipe").is_file():
        return Path(name)
    name = str(name)
    own = {file.stem: file for home in HOMES if home.is_dir() for file in sorted(home.glob("*.toml"))}
    bare = name.removeprefix("recipes/").removesuffix(".toml")
    named = "/" not in name or (name == f"recipes/{bare}.toml" and "/" not in bare)
    if named and bare in own:
        return own[bare]
    if name and Path(name).is_dir():
        raise RecipeError(f"{name}: received a folder; expected a recipe, a file in TOML; name the file in it.")
    if named:
        raise RecipeError(f"{name}: no such file, nor a recipe of seesay's own. {UnknownName('recipe', bare, own)}")
    raise RecipeError(f"{name}: no such file; expected a recipe in TOML; check the path.")


def read_recipe(path: Path | str, overrides: Iterable[str] = ()) -> AnyRecipe:
    """Read a recipe and apply `overrides` such as "stages.0.epochs=3" or "model.dropout=0.2"."""
    path = path_of(path, "recipe")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise RecipeError(f"{path}: cannot be read ({fault.strerror}); expected a recipe in TOML.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise RecipeError(f"{path}: not valid TOML: {fault}.") from None
    for override in listed(overrides, "overrides", "a list such as ['stages.0.epochs=3']"):
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
    # Of a stage, pydantic also says which kind it took it for.
    where = [str(part) for n, part in enumerate(first["loc"]) if not (n == 2 and part in OBJECTIVES)]
    if first["type"] == "extra_forbidden":
        known = _fields(first["loc"], kind)
        if other := _objective_with(first["loc"]):
            return RecipeError(
                f"{path}: {'.'.join(where)}: received in a stage of objective '{first['loc'][2]}'; expected in one of "
                f"'{other}' alone; leave it out."
            )
        return RecipeError(
            f"{path}: {UnknownName('key', '.'.join(where), ('.'.join([*where[:-1], k]) for k in known))}"
        )
    if first["type"] == "missing":
        return RecipeError(f"{path}: '{'.'.join(where)}' is missing; expected {_example(where)}.")
    if first["type"] == "union_tag_invalid":
        received, expected = first["ctx"]["tag"], " or ".join(map(repr, OBJECTIVES))
        return RecipeError(f"{path}: {'.'.join(where)}.objective: received {received!r:.80}; expected {expected}.")
    if first["type"] == "value_error":
        return RecipeError(f"{path}: {'.'.join([*where, str(first['ctx']['error'])])}.")
    wanted = _WANTED.get(first["type"], first["msg"]).format(example=_example(where), **first.get("ctx", {}))
    if where[-1] == "[key]":
        where.pop()  # the fault is in the key itself
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
    if found := next((_NO_STRINGS[part] for part in where if part in _NO_STRINGS), ""):
        return found
    return f"a section [{where[0]}]" if where[0] in ("training", "decoding") else f'{where[-1]} = "..."'


def _objective_with(loc: tuple[int | str, ...]) -> str:
    """The other objective, if a key that a stage of one does not have belongs to it; "" where it does not."""
    if len(loc) != 4 or loc[2] not in OBJECTIVES:
        return ""
    return next((name for name, kind in OBJECTIVES.items() if name != loc[2] and loc[3] in kind.model_fields), "")


def _fields(loc: tuple[int | str, ...], kind: type[BaseModel]) -> list[str]:
    """The keys that the section with the key at `loc` may have."""
    section: Any = kind
    for part in loc[:-1]:
        if part in OBJECTIVES:
            section = OBJECTIVES[str(part)]
        elif isinstance(part, str):
            annotation = section.model_fields[part].annotation
            section = next((one for one in get_args(annotation) if one is not Ellipsis), annotation)  # of a tuple
    return list(section.model_fields)
