"""The page about a namer's run: what it sees on photographs, and which concepts it tells best and worst."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from seesay.data.records import SPLITS
from seesay.errors import DataError
from seesay.evaluation import is_current
from seesay.metrics.naming import ConceptScore, NamingScores
from seesay.recipe import ConceptRecipe, locate
from seesay.report.credits import COCO_CAPTIONS, read_credits
from seesay.report.naming import NamedPicture, NamedSplit, write_naming_report
from seesay.restoring import recipe_in
from seesay.tasks.concepts import evaluate
from seesay.text.json_file import read_json
from seesay.training.folder import RunFolder


def write_concept_report(run: Path | str) -> Path:
    """The page about a run; what its development data show is named first, unless the best checkpoint has done so."""
    recipe, folder = recipe_in(run, ConceptRecipe), RunFolder(run)
    if not is_current(run, folder.predictions("dev"), folder.scores("dev")):
        evaluate(run, "dev")
    splits = [_split(folder, name) for name in sorted(SPLITS) if folder.predictions(name).exists()]
    pictures = locate(recipe.data.pictures) if recipe.data.pictures else None
    captions = COCO_CAPTIONS if recipe.data.captions.startswith("seesay:") else None
    credits = read_credits(locate(recipe.data.captions), captions)
    return write_naming_report(folder.path, splits, pictures, credits, recipe.notice)


def _split(folder: RunFolder, name: str) -> NamedSplit:
    """What the files of one split tell; DataError where they are not what `evaluate` writes."""
    files = folder.predictions(name), folder.scores(name)
    page, scores = map(read_json, files)
    try:
        return _named(name, page, scores)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"{files[0]}: not what a namer found, or {files[1]} not its scores; expected the files that 'seesay "
            "evaluate' writes; run it again."
        ) from None


def _named(name: str, page: Any, scores: Any) -> NamedSplit:
    per_concept = {
        str(word): ConceptScore(float(one["average_precision"]), int(one["pictures"]))
        for word, one in scores["per_concept"].items()
    }
    found = NamingScores(float(scores["mAP"]), float(scores["chance"]), int(scores["pictures"]), per_concept, ())
    pictures = [
        NamedPicture(
            _inside(item["file"]),
            [(str(one["concept"]), float(one["probability"])) for one in item["concepts"]],
            [str(word) for word in item["named"]],
        )
        for item in page["items"]
    ]
    return NamedSplit(name, found.mAP, found.chance, found.ranked(), pictures)


def _inside(file: str) -> str:
    """The path of a picture; ValueError for one outside the picture folder."""
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts or "\\" in file:
        raise ValueError(file)
    return file
