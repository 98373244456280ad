"""The page about a tagger's run: its scores, what it took for what, and where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seesay.data.records import SPLITS
from seesay.errors import DataError
from seesay.evaluation import is_current
from seesay.recipe import TagRecipe
from seesay.report.labels import EACH, Labelled, write_label_report
from seesay.restoring import recipe_in
from seesay.tasks.tag import evaluate
from seesay.text.json_file import read_json
from seesay.training.folder import RunFolder

AROUND = 5  # words to either side of a mistake


def write_tag_report(run: Path | str) -> Path:
    """The page about a run; its development data are tagged first, unless they have been by the best checkpoint."""
    recipe, folder = recipe_in(run, TagRecipe), RunFolder(run)
    if not is_current(run, folder.scores("dev"), folder.predictions("dev", "conll")):
        evaluate(run, "dev")
    splits = [_split(folder, name) for name in sorted(SPLITS) if folder.predictions(name, "conll").exists()]
    names = (recipe.stages[-1].select_by, *(("accuracy",) if recipe.stages[-1].select_by == "F1" else ()))
    return write_label_report(folder.path, splits, names, each="word", notice=recipe.notice)


def _split(folder: RunFolder, name: str) -> Labelled:
    """What the files of one split tell."""
    file = folder.scores(name)
    scores: Any = read_json(file)
    try:
        return _labelled(name, scores, _examples(folder.predictions(name, "conll")))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"{file}: not the scores of a tagger; expected those that 'seesay evaluate' writes; run it again."
        ) from None


def _labelled(name: str, scores: Any, examples: Mapping[tuple[str, str], Sequence[tuple[str, str, str]]]) -> Labelled:
    spans = scores.get("spans")
    head = {"accuracy": float(scores["accuracy"])}
    tables: list[tuple[str, tuple[str, ...], list[list[str]]]] = []
    tables += [("Tag by tag", ("tag", "precision", "recall", "F1", "words"), _rows(scores["per_tag"], ["words"]))]
    if spans:
        head = {"F1": float(spans["overall"]["f1"]), **head}
        rows = _rows({"all": spans["overall"], **spans["per_type"]}, ["gold", "found", "right"])
        tables.insert(0, ("Spans", ("type", "precision", "recall", "F1", "right ones", "found", "found right"), rows))
    if scores.get("unseen_accuracy") is not None:
        head["accuracy on unseen words"] = float(scores["unseen_accuracy"])
    return Labelled(
        split=name,
        things=f"{scores['words']:,} words",
        scores=head,
        tables=tables,
        counts={str(gold): dict(row) for gold, row in scores["confusion"].items()},
        examples=examples,
        notes=tuple(untaught_notes(scores.get("untaught", {}))),
    )


def untaught_notes(untaught: Mapping[str, int]) -> Iterator[str]:
    """What a person should know of tags that training did not show, if there are any.

    >>> list(untaught_notes({"UH": 2}))
    ['Words with a tag that training did not show, which count as wrong: 2 (UH 2).']
    """
    if untaught:
        named = ", ".join(f"{tag:.40} {count:,}" for tag, count in list(untaught.items())[:10])
        total = sum(untaught.values())
        yield f"Words with a tag that training did not show, which count as wrong: {total:,} ({named})."


def _rows(scores: Mapping[str, Mapping[str, float]], counts: Sequence[str]) -> list[list[str]]:
    shares = ("precision", "recall", "f1")
    return [
        [name, *(f"{one[share]:.3f}" for share in shares), *(f"{one[count]:,}" for count in counts)]
        for name, one in scores.items()
    ]


def _examples(file: Path) -> dict[tuple[str, str], list[tuple[str, str, str]]]:
    """Some mistakes of each kind, with the words around them."""
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = defaultdict(list)
    try:
        text = file.read_text(encoding="utf-8")
        for sentence in text.split("\n\n"):
            rows = [line.split("\t") for line in sentence.split("\n") if line]
            words = [word for word, _, _ in rows]
            for place, (word, gold, said) in enumerate(rows):
                if gold != said and len(found[gold, said]) < EACH:
                    before, after = words[max(0, place - AROUND) : place], words[place + 1 : place + 1 + AROUND]
                    found[gold, said].append((" ".join(before), word, " ".join(after)))
    except (OSError, ValueError):
        raise DataError(f"{file}: cannot be read as words with two tags; run 'seesay evaluate' again.") from None
    return found
