"""What callers hand in: paths as text too, lists that are lists, and one line for anything else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seesay.arguments import listed, path_of, shortened
from seesay.data.features import FeatureStore
from seesay.data.images import find_pictures, open_picture
from seesay.data.labels import read_labelled
from seesay.data.records import read_records
from seesay.errors import DataError, RecipeError
from seesay.importing import import_run, read_words
from seesay.recipe import find_recipe
from seesay.report import write_report
from seesay.restoring import best_of, recipe_in
from seesay.run import resume, train
from seesay.vision.extraction import extract

TAKERS: dict[str, tuple[Callable[[Any], object], str]] = {  # what takes a path, and how its line begins
    "pictures": (find_pictures, "pictures"),
    "picture": (open_picture, "picture"),
    "extract": (lambda path: extract(path, "x.h5"), "pictures"),
    "features": (FeatureStore, "features"),
    "captions": (read_records, "captions"),
    "texts": (read_labelled, "texts"),
    "recipe": (find_recipe, "recipe"),
    "words": (read_words, "words"),
    "import": (lambda path: import_run("m2", path, "run", "words.txt"), "weights"),
    "report": (lambda path: write_report(path, None), "run"),
    "recipe of a run": (recipe_in, "run"),
    "best": (best_of, "run"),
    "resume": (lambda path: list(resume(path)), "run"),
}


@pytest.mark.parametrize("taker", TAKERS)
def test_paths_are_text_or_paths(taker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, begins = TAKERS[taker]
    monkeypatch.chdir(tmp_path)
    for value, received in ((None, "None"), (5, "5"), ("", "an empty path"), ({}, "{}")):
        with pytest.raises(DataError, match=rf"^{begins}: received {received}; expected "):
            take(value)
    lines = set()
    for missing in ("none", Path("none")):
        with pytest.raises(Exception, match="none") as fault:
            take(missing)
        lines.add(f"{type(fault.value).__name__}: {fault.value}")
    assert len(lines) == 1 and next(iter(lines)).startswith(("DataError", "CheckpointError", "RecipeError"))


def test_a_recipe_s_path_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"^recipe: received 'demo'; expected a recipe, as read_recipe\(path\) gives it"
    ):
        list(train("demo", tmp_path / "run"))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", ["ab", b"ab", Path("ab"), {"a": 1}, None, 3], ids=repr)
def test_what_is_no_list(values: Any) -> None:
    expected = f"words: received {values!r}; expected a list of words; put even a single one in a list."
    with pytest.raises(DataError, match=f"^{re.escape(expected)}$"):
        listed(values, "words", "a list of words")


def test_lists_are_copies() -> None:
    values = ["a", "b"]
    assert listed(values, "words", "") == values and listed(values, "words", "") is not values
    assert listed({"a"}, "words", "") == ["a"] and listed(range(2), "words", "") == [0, 1]


def test_values_are_shown_short() -> None:
    assert shortened("x" * 99) == f"'{'x' * 59}" and shortened(object()) == "a value of type 'object'"
    assert shortened([0] * 99) == "a value of type 'list'" and shortened(Path("a")) == repr(Path("a"))


def test_a_path_of_bytes_is_none() -> None:
    with pytest.raises(DataError, match=r"^run: received b'a'; expected a path, as text or a pathlib\.Path\.$"):
        path_of(b"a", "run")
