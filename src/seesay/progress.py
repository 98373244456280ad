"""What a person sees on the terminal while work goes on: bars on stderr, results on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # scoring needs no torch, so neither does printing scores
    from seesay.metrics.scoring import Evaluation
    from seesay.metrics.spans import SpanScores
    from seesay.metrics.study import Study
    from seesay.metrics.tagging import TagScores
    from seesay.run import Check, Event
    from seesay.tasks.asking import AskScores
    from seesay.vision.extraction import Summary


def _bars() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,  # in a file or a pipe a bar is noise, and an error should stand alone
    )


@contextmanager
def bar(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; the function it gives takes (done, total).

    >>> with bar("features", "pictures") as advance:
    ...     advance(1, 1)
    """
    with _bars() as progress:
        task = progress.add_task(what, total=None, note=unit)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def tell(message: str) -> None:
    """What long work is doing, in one line of the terminal that the next message takes; in a file it is noise."""
    if sys.stderr.isatty():
        print(f"\r\033[K{message}", end="", file=sys.stderr, flush=True)


def follow_training(events: Iterator[Event]) -> None:
    """Run training to its end, with a bar for each epoch and a line for each look at the development data."""
    from seesay.run import Advance, Check

    with _bars() as progress:
        task = progress.add_task("training", total=None, note="")
        for event in events:
            if isinstance(event, Advance):
                note = f"loss {event.step.loss:.3f}"
                name = f"epoch {event.epoch}"
                progress.update(task, description=name, completed=event.position, total=event.batches, note=note)
            else:
                line = describe_check(event) if isinstance(event, Check) else event.text
                progress.console.print(line, highlight=False, markup=False, soft_wrap=True)


def describe_check(check: Check) -> str:
    """One line about one epoch."""
    usual = ("Bleu_4", "CIDEr-D", "mAP", "accuracy", "macro_F1", "F1")
    shown = [name for name in check.scores if name in usual or name == check.select_by]
    scores = ", ".join(f"{name} {check.scores[name]:.3f}" for name in shown)
    reward = f"  reward {check.means['reward']:.3f}" if "reward" in check.means else ""
    star, stage = "  * best" if check.best else "", f"  {check.stage}" if check.stage else ""
    return (
        f"epoch {check.epoch:>2}/{check.epochs}{stage}  loss {check.train_loss:.3f}  dev loss {check.dev_loss:.3f}  "
        f"dev {scores}{reward}  {check.seconds:.0f} s{star}"
    )


def describe_extraction(path: Path, summary: Summary) -> list[str]:
    """What became of the pictures, a line each for those that were left out, and one for files of other kinds."""
    unread = sum(summary.unread.values())
    files = "1 file was" if unread == 1 else f"{unread:,} files were"
    told = f"{files} not looked at ({', '.join(summary.unread)}): JPEG, PNG, WebP, GIF and BMP are read"
    last = [f"{path}: {told}; convert those that should be described."] if unread else []
    if summary.nothing_to_do:
        return [f"{path}: complete already with {_pictures(summary.kept)}; nothing to do.", *last]
    kept = f", {summary.kept:,} were there before" if summary.kept else ""
    skipped = f", {len(summary.skipped):,} left out:" if summary.skipped else ""
    lines = [f"{path}: features of {_pictures(summary.made)}{kept}{skipped}"]
    return lines + [f"  {reason}" for reason in summary.skipped.values()] + last


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def print_scores(result: Evaluation) -> None:
    """The scores as a table, with what they were computed with."""
    table = Table("metric", "score")
    for name, value in result.corpus.items():
        table.add_row(name, f"{value:.4f}")
    _print_below(table, result)


def print_ask_scores(scores: AskScores) -> None:
    """The scores of questions, for any answer and for given ones, how varied they are, and the ranking test."""
    table = Table("metric", "any answer", *(["the true answer"] if scores.answered else []))
    for name, value in scores.evaluation.corpus.items():
        table.add_row(name, f"{value:.4f}", *([f"{scores.answered.corpus[name]:.4f}"] if scores.answered else []))
    for name, value in scores.diversity.items():
        table.add_row(name, f"{value:.4f}")
    _print_below(table, scores.evaluation)
    for name, found in scores.ranking.items():
        kind = "questions with their answers" if name == "answered" else "questions without an answer"
        lines = [f"the true one among 24, of {found['questions']:,.0f} {kind} (by chance 0.042, 0.125, 12.5)"]
        for ending, way in (("", "probability, as the paper does"), (" per word", "a word's mean log-probability")):
            told = ", ".join(f"{key} {found[key + ending]:.3f}" for key in ("Rank-1", "Rank-3", "mean_rank"))
            lines.append(f"  by {way}: {told}")
        Console().print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    if not scores.ranking:
        line = "the ranking test is left out: too few different questions for 23 wrong ones beside a true one"
        Console().print(line, highlight=False, markup=False, soft_wrap=True)


def print_tag_scores(scores: TagScores) -> None:
    """Accuracy, the tags that are hardest to find, and what is most often taken for what."""
    console = Console()
    console.print(f"accuracy {scores.accuracy:.4f} of {scores.words:,} words", highlight=False)
    if scores.unseen_accuracy is not None:
        console.print(
            f"         {scores.unseen_accuracy:.4f} of the {scores.unseen_words:,} that training did not show",
            highlight=False,
        )
    if scores.untaught:
        named = ", ".join(f"{tag} {count:,}" for tag, count in list(scores.untaught.items())[:5])
        told = f"words with a tag that training did not show: {sum(scores.untaught.values()):,} ({named})"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    if scores.spans is not None:
        _print_spans(console, scores.spans)
    table = Table("tag", "precision", "recall", "F1", "words", title="the ten hardest tags", title_justify="left")
    for name, one in sorted(scores.per_tag.items(), key=lambda item: item[1].f1)[:10]:
        tag = Text(name)  # a tag may be [X] or :dog:, which rich would take for its own
        table.add_row(tag, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.words:,}")
    console.print(table)
    taken = ", ".join(f"{gold} for {found} {count}" for gold, found, count in scores.mistakes()[:5])
    if taken:
        console.print(f"most often mistaken: {taken}", highlight=False, markup=False, soft_wrap=True)


def _print_spans(console: Console, spans: SpanScores) -> None:
    """Precision, recall and F1 of spans, over all and by type."""
    table = Table("span", "precision", "recall", "F1", "spans", title="spans", title_justify="left")
    for name, one in (("all", spans.overall), *spans.per_type.items()):
        row = (f"{one.precision:.4f}", f"{one.recall:.4f}", f"{one.f1:.4f}", f"{one.gold:,}")
        table.add_row(Text(name), *row)
    console.print(table)


def print_study(study: Study) -> None:
    """The scores with their intervals, the comparison where there is one, and how varied the captions are."""
    compared = ("against", "difference", "95% of differences", "p") if study.comparison else ()
    table = Table("metric", "score", "95% interval", *compared)
    for name, value in study.evaluation.corpus.items():
        row = [name, f"{value:.4f}", f"{study.intervals[name].low:.4f} to {study.intervals[name].high:.4f}"]
        if study.comparison:
            found = study.comparison[name]
            row += [f"{found.second:.4f}", f"{found.difference:+.4f}", f"{found.low:+.4f} to {found.high:+.4f}"]
            row.append(f"{found.p:.3f}")
        table.add_row(*row)
    for name, value in study.diversity.items():
        table.add_row(name, f"{value:.4f}", "")
    _print_below(table, study.evaluation)


def _print_below(table: Table, result: Evaluation) -> None:
    console = Console()
    # A table cut to the width of a narrow terminal or of a pipe loses digits.
    wanted = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.width = max(console.width, wanted)
    console.print(table)
    for line in (result.signature, *result.notes):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
