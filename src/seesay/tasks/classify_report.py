"""The page about a classifier's run: its scores, which label it took for which, and of which texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.data.records import SPLITS
from seesay.errors import DataError
from seesay.evaluation import is_current
from seesay.recipe import ClassifyRecipe
from seesay.report.labels import EACH, Labelled, write_label_report
from seesay.restoring import recipe_in
from seesay.tasks.classify import evaluate
from seesay.text.json_file import read_json
from seesay.training.folder import RunFolder

SHOWN = 300  # letters of a text

Examples = Mapping[tuple[str, str], Sequence[tuple[str, str, str]]]


def write_classify_report(run: Path | str) -> Path:
    """The page about a run; its development texts are labelled first, unless they have been by the best checkpoint."""
    recipe, folder = recipe_in(run, ClassifyRecipe), RunFolder(run)
    if not is_current(run, folder.scores("dev"), folder.predictions("dev", "tsv")):
        evaluate(run, "dev")
    splits = [_split(folder, name) for name in sorted(SPLITS) if folder.predictions(name, "tsv").exists()]
    return write_label_report(folder.path, splits, ("accuracy", "macro_F1"), each="text", notice=recipe.notice)


def _split(folder: RunFolder, name: str) -> Labelled:
    """What the files of one split tell."""
    file = folder.scores(name)
    scores: Any = read_json(file)
    try:
        return _labelled(name, scores, _examples(folder.predictions(name, "tsv")))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"{file}: not the scores of a classifier; expected those that 'seesay evaluate' writes; run it again."
        ) from None


def _labelled(name: str, scores: Any, examples: Examples) -> Labelled:
    rows = [
        [label, *(f"{one[share]:.3f}" for share in ("precision", "recall", "f1")), f"{one['texts']:,}"]
        for label, one in scores["per_label"].items()
    ]
    return Labelled(
        split=name,
        things=f"{scores['texts']:,} texts",
        scores={"accuracy": float(scores["accuracy"]), "macro F1": float(scores["macro_f1"])},
        tables=[("Label by label", ("label", "precision", "recall", "F1", "texts"), rows)],
        counts={str(gold): dict(row) for gold, row in scores["confusion"].items()},
        examples=examples,
    )


def _examples(file: Path) -> Examples:
    """Some mistakes of each kind, those first of which the classifier was surest."""
    found: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    try:
        for line in file.read_text(encoding="utf-8").removesuffix("\n").split("\n"):
            gold, said, share, text = line.split("\t", 3)
            if gold != said:
                found[gold, said].append((float(share), text))
    except (OSError, ValueError):
        raise DataError(f"{file}: cannot be read as labels and texts; run 'seesay evaluate' again.") from None
    surest = {pair: sorted(some, key=lambda one: -one[0])[:EACH] for pair, some in found.items()}
    return {pair: [("", f"{share:.3f}", _short(text)) for share, text in some] for pair, some in surest.items()}


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
