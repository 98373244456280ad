"""The listing of all keys in docs/start.md says what the recipe's own types say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from seesay.recipe import Recipe, read_recipe
from seesay.sections import Data, Decoding, Model, Training
from seesay.stages import SelfCriticalStage, Stage

PAGE = Path(__file__).resolve().parent.parent / "docs" / "start.md"
SECTIONS: dict[str, type[BaseModel]] = {"data": Data, "training": Training, "decoding": Decoding}
EXAMPLES = {"name", "captions", "features", "model", "data", "stages", "objective"}  # which have no default to compare


def listed() -> str:
    """The listing, a TOML block named all-keys.toml."""
    found = re.search(
        r"^```toml\n(# all-keys\.toml\n.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found
    return found[1]


def defaults(kind: type[BaseModel]) -> dict[str, Any]:
    return {key: field.get_default() for key, field in kind.model_fields.items() if key not in EXAMPLES}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_lists_each_key_with_its_default(name: str) -> None:
    section = tomllib.loads(listed())[name]
    assert section.keys() == SECTIONS[name].model_fields.keys()
    assert {key: value for key, value in section.items() if key not in EXAMPLES} == defaults(SECTIONS[name])


@pytest.mark.parametrize(
    ("place", "kind"), [(0, Stage), (1, SelfCriticalStage)], ids=["cross-entropy", "self-critical"]
)
def test_a_stage_lists_each_key_with_its_default(place: int, kind: type[BaseModel]) -> None:
    stage = tomllib.loads(listed())["stages"][place]
    assert stage.keys() == kind.model_fields.keys()
    read = kind.model_validate(stage)
    assert {key: getattr(read, key) for key in stage if key not in EXAMPLES} == defaults(kind)


def test_the_head_lists_each_key_and_the_whole_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "all-keys.toml"
    path.write_text(listed(), encoding="utf-8")
    recipe = read_recipe(path, [])
    assert isinstance(recipe, Recipe)
    assert tomllib.loads(listed()).keys() == Recipe.model_fields.keys()
    assert (recipe.task, recipe.seed, recipe.notice) == ("caption", 1, "") and recipe.model == Model(name="attend_tell")
