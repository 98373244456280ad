"""Texts given labels, and labels judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seesay.commands.options import AsJson, Device, Encoding, On, OnBad, Run, keep_json, typed_lines

if TYPE_CHECKING:
    from seesay.classifier import Classifier
    from seesay.metrics.classifying import LabelScores

SHOWN = 10  # labels of which scores are printed, and mistakes
Bad = Annotated[OnBad, typer.Option(help="What to do with a line that has no word.")]


def classify(
    run: Run,
    n_best: Annotated[int, typer.Option(min=1, help="How many labels a text, with their probabilities.")] = 1,
    as_json: AsJson = False,
    encoding: Encoding = "utf-8",
    on_bad: Bad = OnBad.STOP,
    device: Device = "cpu",
    engine: On = None,
) -> None:
    """Label texts from standard input, one text a line.

    Prints a label a line; with --n-best several, the most probable first, each with its probability.

    Example: `echo "A film of quiet grace." | seesay classify runs/reviews`
    """
    from seesay.classifier import Classifier

    classifier = Classifier.open(run, device, engine.value if engine else None)  # nobody should type for a wrong run
    if sys.stdin.isatty():
        print("Type texts, each on a line; Ctrl-D on a line of its own ends them.", file=sys.stderr)
    texts = typed_lines(encoding)
    bad = _without_words(texts, classifier, on_bad)
    found = [[] if number in bad else some[:n_best] for number, some in enumerate(classifier.classify(texts))]
    if as_json:
        listed = [
            {"text": text, "labels": [guess._asdict() for guess in some]}
            for text, some in zip(texts, found, strict=True)
        ]
        print(json.dumps(listed, ensure_ascii=False, indent=1))
        return
    for some in found:
        print("\t".join(guess.label if n_best == 1 else f"{guess.label} {guess.probability:.3f}" for guess in some))


def _without_words(texts: list[str], classifier: Classifier, on_bad: OnBad) -> set[int]:
    """Which lines have no word; told and counted where they may be skipped, else an error."""
    from seesay.errors import DataError

    bad = [number for number, text in enumerate(texts) if not classifier.words(text)]
    for number in bad:
        fault = f"standard input, line {number + 1}: received {texts[number][:40]!r}; expected a text with a word in it"
        if on_bad is OnBad.STOP:
            raise DataError(f"{fault}; remove the line, or say --on-bad skip.")
        print(f"skipped: {fault}.", file=sys.stderr)
    if bad:
        print(f"skipped {len(bad):,} of {len(texts):,} lines; each has a blank line for its label.", file=sys.stderr)
    return set(bad)


def evaluate_classifier(run: Path, split: str, json_file: Path | None) -> None:
    """Print how well a run labels a split."""
    from seesay.progress import bar
    from seesay.tasks.classify import evaluate

    with bar("labels", "texts") as advance:
        scores, written = evaluate(run, split, advance)
    print("\n".join(described(scores)))
    print(f"labelled texts: {written}")
    keep_json(json_file, scores.to_json())


def described(scores: LabelScores) -> list[str]:
    """Accuracy and macro F1, the labels that are hardest to find, and what is most often taken for what."""
    hardest = sorted(scores.per_label.items(), key=lambda item: item[1].f1)[:SHOWN]
    width = max(5, *(len(label) for label, _ in hardest))
    lines = [
        f"accuracy {scores.accuracy:.4f} of {scores.texts:,} texts, macro F1 {scores.macro_f1:.4f}",
        f"{'label':<{width}}  precision  recall     F1   texts",
    ]
    for label, one in hardest:
        lines.append(f"{label:<{width}}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:5.3f}  {one.texts:6,}")
    taken = ", ".join(f"{gold} for {found} {count}" for gold, found, count in scores.mistakes()[:SHOWN])
    return [*lines, f"most often mistaken: {taken}"] if taken else lines
