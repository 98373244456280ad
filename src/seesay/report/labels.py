"""The page about a run that gives labels, to words or to whole texts: curves, scores, what was taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from seesay.report import confusion, learning
from seesay.report.frame import RUN, header, table, write_page
from seesay.report.reading import model_of, read_log, seconds_of, text_of

EACH = 3  # examples of a mistake
KINDS = 8  # of mistakes, the commonest first


@dataclass(frozen=True)
class Labelled:
    """What a run reached on one split.

    `scores` are named numbers for the head of the page. A table has a caption, column names, and rows of which the
    first cell is a name. `counts[gold][found]` says what was taken for what; `examples[gold, found]` shows some, each
    as what stands before, the thing itself and what stands after.
    """

    split: str
    things: str  # "25,150 words"
    scores: Mapping[str, float]
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]]
    counts: Mapping[str, Mapping[str, int]]
    examples: Mapping[tuple[str, str], Sequence[tuple[str, str, str]]] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_label_report(
    run: Path, splits: Sequence[Labelled], names: Sequence[str], each: str, notice: str = ""
) -> Path:
    """Write `run/report.html`, one self-contained page, and return its path.

    `names` are the scores whose curves are drawn, the first that which chose the weights; the loss is counted by `each`
    ("word"); `notice` is a plain remark at the head. Raises DataError, one line, if a file of the run is missing or
    damaged, or the page cannot be written.
    """
    recipe = text_of(run / "recipe.toml", "a run folder holds the recipe it was made from")
    steps, checks = read_log(run / "log.jsonl")
    timings = run / "timings.jsonl"
    facts = {"epochs": f"{checks[-1].epoch:,}"} if checks else {}
    facts["steps"] = f"{max([*(one.step for one in steps), *(one.step for one in checks)]):,}"
    if timings.exists():
        facts["training time"] = learning.duration(seconds_of(timings))
    model = model_of(recipe, run / "recipe.toml")
    name = run.resolve().name
    learned = learning.section(steps, checks, recipe, names, each=each)
    body = "".join([_head(name, model, splits, facts, notice), *map(_split, splits), learned])
    return write_page(run / "report.html", f"{name} · seesay report", body)


def _head(name: str, model: str, splits: Sequence[Labelled], facts: Mapping[str, str], notice: str) -> str:
    shown = {f"{name} {one.split}": f"{value:.4f}" for one in splits for name, value in one.scores.items()}
    reached = ((one, (f"<b>{escape(name)} {value:.4f}</b>" for name, value in one.scores.items())) for one in splits)
    told = " ".join(f"On {escape(one.things)} of {escape(one.split)}: {', '.join(scores)}." for one, scores in reached)
    return header(RUN, name, [f"<code>{escape(model)}</code> {told}"], {**shown, **facts}, [notice])


def _split(one: Labelled) -> str:
    labels, counts = confusion.matrix_of(one.counts)
    tables = "".join(_table(caption, head, rows) for caption, head, rows in one.tables)
    notes = "".join(f"<p>{escape(note)}</p>" for note in one.notes)
    return (
        f"<section><h2>On {escape(one.split)}</h2>{notes}"
        '<figure class="panel"><figcaption><b>What was taken for what</b> right labels in rows, found ones in columns; '
        f"blue is right, red is wrong, each the darker the larger its share of the row</figcaption>"
        f'<div class="wide">{confusion.picture(labels, counts)}</div></figure>'
        f"{_mistakes(one)}{tables}</section>"
    )


def _mistakes(one: Labelled) -> str:
    """The commonest mistakes with examples of each."""
    pairs = [(count, gold, found) for gold, row in one.counts.items() for found, count in row.items() if gold != found]
    pairs.sort(key=lambda pair: (-pair[0], *pair[1:]))
    if not pairs:
        return "<p>Not one mistake.</p>"
    blocks = "".join(
        f'<h4 class="group">{escape(gold)} found as {escape(found)}: {count:,}</h4><ul class="examples">'
        + "".join(_example(*example) for example in one.examples.get((gold, found), ())[:EACH])
        + "</ul>"
        for count, gold, found in pairs[:KINDS]
    )
    wrong = sum(count for count, _, _ in pairs)
    return f'<h3 class="group">The commonest of {wrong:,} mistakes</h3>{blocks}'


def _example(before: str, thing: str, after: str) -> str:
    return f"<li>{escape(before)} <b>{escape(thing)}</b> {escape(after)}</li>"


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in more)}</tr>'
        for name, *more in rows
    )
    return f'<details><summary>{escape(caption)}</summary><div class="wide">{table(head, body)}</div></details>'
