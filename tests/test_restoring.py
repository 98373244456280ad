"""What is common to opening any run: its recipe, of the kind that is wanted, and its best checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.errors import CheckpointError
from seesay.recipe import AskRecipe, ClassifyRecipe, ConceptRecipe, Recipe, TagRecipe
from seesay.restoring import TRAINED, best_step, recipe_in
from seesay.sections import KINDS


def test_a_recipe_of_the_kind_that_is_wanted_is_read(tagger_run: Path) -> None:
    assert recipe_in(tagger_run, TagRecipe) == recipe_in(tagger_run)
    assert recipe_in(tagger_run).name == "tagger"


@pytest.mark.parametrize(
    ("kind", "what"),
    [(Recipe, "a captioner"), (AskRecipe, "an asker"), (ConceptRecipe, "a namer"), (ClassifyRecipe, "a classifier")],
    ids=["caption", "ask", "concepts", "classify"],
)
def test_a_recipe_of_another_kind_is_one_line(kind: Any, what: str, tagger_run: Path) -> None:
    with pytest.raises(CheckpointError) as fault:
        recipe_in(tagger_run, kind)
    assert str(fault.value) == f"{tagger_run}: received a run of task 'tag'; expected {what}; use one of these."


def test_what_each_task_trains_has_a_name() -> None:
    assert TRAINED.keys() == KINDS.keys()


def test_a_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    for kind in ((), (TagRecipe,)):
        with pytest.raises(CheckpointError, match="not a run folder; expected one that 'seesay train' made"):
            recipe_in(tmp_path, *kind)
    with pytest.raises(CheckpointError, match="no checkpoint in it yet"):
        best_step(tmp_path)


def test_the_step_of_the_best_checkpoint(tagger_run: Path, tmp_path: Path) -> None:
    arrays, header = read_checkpoint(tagger_run / "checkpoints" / "best.safetensors")
    assert best_step(tagger_run) == header["progress"]["step"] > 0
    run = Path(shutil.copytree(tagger_run, tmp_path / "run"))
    write_checkpoint(run / "checkpoints" / "best.safetensors", arrays, header | {"progress": {}})
    with pytest.raises(CheckpointError, match=r"best\.safetensors: received progress\.step None in its header"):
        best_step(run)
