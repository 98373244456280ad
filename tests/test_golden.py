"""The first 20 losses of each recipe that comes along, on the small world: a change of what training does shows here.

Where such a change is meant, make the values anew and look at the difference before committing it:

    SEESAY_NEW_GOLDEN=1 .venv/bin/python -m pytest tests/test_golden.py
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from seesay.recipe import AskRecipe, ClassifyRecipe, ConceptRecipe, TagRecipe, read_recipe
from seesay.run import Advance, train

RECIPES = sorted((Path(__file__).resolve().parent.parent / "recipes").glob("*.toml"))
GOLDEN = Path(__file__).parent / "golden"
STEPS = 20
# Published sizes take minutes and gigabytes: their settings are what these losses are to guard. And where a large S2
# must learn at once, without its warm-up, the last bits of a processor grow to whole per cents within ten steps.
# At a higher rate, so that there is something to reward after a few steps.
SMALL = ["model.hidden_size=32", "model.heads=4", "model.feedforward_size=64", "stages.0.learning_rate=1e-2"]
SMALLER = {"coco-m2": [*SMALL, "model.slots=4"], "coco-s2": SMALL, "flickr8k-s2": SMALL}


def first_steps(
    recipe: Path, world: Path, tagged: Path, labelled: Path, run: Path, asked: Any = None
) -> dict[str, list[float]]:
    """Losses and gradient norms of a recipe's own model and settings; only data, batch size and saving are changed.

    Where a reward follows, it does so after 12 steps. Single precision, as half is another on another processor.
    """
    read = read_recipe(recipe)
    if isinstance(read, TagRecipe):
        sentences = _spans(tagged, run) if read.data.scheme else tagged / "train.conll"
        data = [f'data.train="{sentences}"', 'data.dev=""', "stages.0.sentences_per_batch=8"]
    elif isinstance(read, ClassifyRecipe):
        data = [f'data.train="{labelled}/train.tsv"', "stages.0.texts_per_batch=8"]
    elif isinstance(read, AskRecipe):
        data = [f'data.{key}="{getattr(asked, key)}"' for key in ("questions", "features", "flipped", "concepts")]
        data += ["data.minimum_count=1", 'training.start_from=""', "stages.0.pictures_per_batch=4"]
    else:
        data = [
            f'data.captions="{world}/captions.json"',
            f'data.features="{world}/grids.h5"',
            f'data.flipped="{world}/grids-flipped.h5"',
            *([] if isinstance(read, ConceptRecipe) else ["data.minimum_count=1"]),
            *(f"stages.{n}.pictures_per_batch=4" for n in range(len(read.stages))),
            *SMALLER.get(recipe.stem, ()),
        ]
        if len(read.stages) > 1:
            data += ["stages.0.epochs=3", "stages.0.epochs_at_least=1"]
    options = ["training.save_every=0", "training.precision=float32"]
    events = train(read_recipe(recipe, [*data, *options]), run)
    steps = [event.step for event in itertools.islice(_advances(events), STEPS)]
    return {"loss": [step.loss for step in steps], "gradient_norm": [step.gradient_norm for step in steps]}


def _spans(tagged: Path, run: Path) -> Path:
    """The tagged sentences with a span for each verb and what follows it."""
    text = (tagged / "train.conll").read_text(encoding="utf-8")
    for tag, span in (("PRP", "O"), ("DT", "O"), ("NN", "O"), ("VB", "B-ACT"), ("RB", "I-ACT"), (".", "O")):
        text = text.replace(f"\t{tag}\n", f"\t{span}\n")
    file = run.with_name("spans.conll")
    file.write_text(text, encoding="utf-8")
    return file


def _advances(events: object) -> object:
    return (event for event in events if isinstance(event, Advance))  # type: ignore[attr-defined]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_first_losses(
    recipe: Path, world: Path, tagged: Path, labelled: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    asked = request.getfixturevalue("asking")().data if recipe.stem.endswith("-ask") else None
    found = first_steps(recipe, world, tagged, labelled, tmp_path / "run", asked)
    file = GOLDEN / f"{recipe.stem}.json"
    if os.environ.get("SEESAY_NEW_GOLDEN"):
        rounded = {name: [float(f"{value:.7g}") for value in values] for name, values in found.items()}
        file.write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")
        pytest.skip(f"written: {file}")
    expected = json.loads(file.read_text(encoding="utf-8"))
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-4, abs=1e-5)
    assert found["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=1e-3)
    assert len(expected["loss"]) == STEPS


def test_every_golden_file_has_its_recipe() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == {path.stem for path in RECIPES}
