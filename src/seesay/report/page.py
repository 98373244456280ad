"""The report of a run as one HTML page: no script, style, font or picture from anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from string import Template

from seesay.arguments import path_of
from seesay.report import curves, learning
from seesay.report.cards import Group, card, choose, photo_in
from seesay.report.credits import Credit
from seesay.report.frame import RUN, header, write_page
from seesay.report.inline import part
from seesay.report.learning import duration
from seesay.report.overlay import grid_side
from seesay.report.reading import Run, Split, read_run

_FLATTERS = "<p>The weights kept are those that did best on dev, so scores on dev flatter them a little.</p>"
_MAPS = (
    "<p>The maps show which of the picture's grid cells a word was drawn from, each scaled to its own brightest spot: "
    "they tell where the model looked, not why it chose the word.</p>"
)
_NO_MAPS = (
    '<p class="shown">Name the folder of the photographs as <code>data.pictures</code> in the recipe.toml of the run, '
    "and this page shows them, with a map of where the model looked for each word.</p>"
)
_NAV = '<nav aria-label="On this page"><a href="#pictures">Pictures</a><a href="#scores">Scores</a>$learning</nav>'
_LEARNING = '<a href="#learning">How it learned</a>'
SCORES = ("CIDEr-D", "Bleu_4")  # whose curves are drawn
METRICS = {  # in the order of the table
    "CIDEr-D": "agreement with $people, rare words weighing more; 0 to 10",
    "CIDEr": "CIDEr-D without clipping and length penalty",
    "METEOR": "word matches, stems, synonyms and paraphrases, weighed by order; 0 to 1",
    "Bleu_4": "share of runs of up to four words that a person wrote too; 0 to 1",
    "Bleu_3": "the same with runs of up to three words",
    "Bleu_2": "the same with runs of up to two words",
    "Bleu_1": "share of single words that a person wrote too",
    "ROUGE_L": "longest common sequence of words with one of $people; 0 to 1",
}


def write_report(
    run: Path | str, pictures: Path | None, credits: Mapping[str, Credit] | None = None, notice: str = ""
) -> Path:
    """Writes `run/report.html`, one self-contained page, and returns its path.

    `pictures` is the folder that the files in `predictions/*.json` are relative to; without it the captions stand
    alone. `credits` gives, by file, the line that must stand beneath a photograph; `notice` is a plain-text remark
    shown above the pictures. The page is written beside its name and then renamed: never half a report.

    Raises DataError, one line, if a file of the run or a picture is missing or damaged, or the page cannot be written.
    """
    run = path_of(run, "run")
    some = read_run(run)
    items = [item for split in some.splits for item in split.items]
    attends = any(item.attention is not None and grid_side(item.attention.shape[1]) for item in items)
    return write_page(
        run / "report.html",
        f"{some.name} · seesay report",
        _body(some, attends, pictures, credits or {}, notice),
        pictures=True,
        script=part("page.js"),
        notes=_MAPS if attends and pictures else "",
    )


def _body(run: Run, attends: bool, pictures: Path | None, credits: Mapping[str, Credit], notice: str) -> str:
    """Each piece is escaped where it is made; the template takes only finished HTML."""
    says = "asks" if any(split.asks for split in run.splits) else "says"
    leads, navigation = (
        [_summary(run, split) for split in run.splits],
        _NAV.replace("$learning", _LEARNING * run.trained),
    )
    learned = learning.section(run.steps, run.checks, run.recipe, SCORES, tuple(METRICS)) if run.trained else ""
    missed = _NO_MAPS if attends and not pictures else ""
    return Template(part("page.html")).substitute(
        header=header(RUN, run.name, leads, dict(_facts(run)), [notice], navigation),
        heading=f"What it {says}, and where it looks" if attends and pictures else f"What it {says}",
        scores="".join(_scores(split, bool(run.checks)) for split in run.splits),
        pictures=missed + "".join(_gallery(split, pictures, credits) for split in run.splits),
        learning=learned,
    )


def _summary(run: Run, split: Split) -> str:
    kept = "it was trained on " if split.name == "train" else "kept aside from training "
    count, how = len(split.items), _decoding(split)
    pictures = "1 photograph" if count == 1 else f"{count:,} photographs"
    main = [name for name in ("CIDEr-D", "Bleu_4") if name in split.corpus]
    scores = " and ".join(f"<b>{name} {split.corpus[name]:.3f}</b>" for name in main)
    after = f"After step {split.checkpoint_step:,}" if split.checkpoint_step else "With the weights that it began with"
    epoch = next((check.epoch for check in run.checks if check.step == split.checkpoint_step), None)
    if epoch is not None:
        after = f"After {epoch} {'epoch' if epoch == 1 else 'epochs'} of training"
    model = f"<code>{escape(run.model)}</code> " if run.model else ""
    verb = "asks about" if split.asks else "describes"
    if not run.trained:  # by others: what on, nobody here knows
        after, kept = "As imported", ""
    return f"{after}, {model}{verb} {pictures} {kept}({escape(split.name)}) with {scores}{escape(how)}."


def _decoding(split: Split) -> str:
    """How the sentences were searched for, as the end of a sentence."""
    method, beam = split.decoding.get("method", "beam"), split.decoding.get("beam")
    if method == "sample":
        return ", drawing its words at random"
    if method == "consensus":
        return f", saying of {beam} likely sentences what {split.decoding.get('candidates')} drawn ones agree with"
    if method == "greedy" or beam == 1:
        return ", taking the likeliest word each time"
    return f", searching with a beam of {beam}" if isinstance(beam, int) else ""


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    for split in run.splits:
        label = "" if len(run.splits) == 1 else f" {split.name}"
        for name in ("CIDEr-D", "Bleu_4"):
            if name in split.corpus:
                yield f"{name}{label}", f"{split.corpus[name]:.3f}"
        yield f"photographs{label}", f"{len(split.items):,}"
    if run.checks:
        yield "epochs", f"{run.checks[-1].epoch:,}"
    if run.trained:
        yield "steps", f"{max([*(check.step for check in run.checks), *(step.step for step in run.steps)]):,}"
    if run.words is not None:
        yield "words known", f"{run.words:,}"
    if run.seconds is not None:
        yield "training time", duration(run.seconds)


def _scores(split: Split, chosen: bool) -> str:
    """The table and the histogram of a split; on dev the weights were `chosen` by it, unless they were imported."""
    known = [name for name in METRICS if name in split.corpus]
    names = [*known, *sorted(set(split.corpus) - set(known))]
    people = "people's questions" if split.asks else "the human captions"
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{split.corpus[name]:.3f}</td>'
        f'<td class="means">{escape(METRICS.get(name, "").replace("$people", people))}</td></tr>'
        for name in names
    )
    drawing = curves.histogram([item.score for item in split.items], "CIDEr-D of a picture")
    said = "questions" if split.asks else "captions"
    return (
        f'<div class="pair"><div><table class="scores"><caption>{escape(split.name)}: {len(split.items):,} pictures'
        f"</caption><tbody>{rows}</tbody></table>"
        f"{_FLATTERS if split.name == 'dev' and chosen else ''}"
        f'<p class="signature">signature <code>{escape(split.signature)}</code></p></div>'
        f'<figure class="panel"><figcaption><b>Picture by picture</b> how many {said} got which score</figcaption>'
        f"{drawing}</figure></div>"
    )


def _gallery(split: Split, pictures: Path | None, credits: Mapping[str, Credit]) -> str:
    groups = choose(split.items)
    shown = sum(len(group.items) for group in groups)
    count = f"{len(split.items):,} pictures of {escape(split.name)}"
    what = f"All {count}" if shown == len(split.items) else f"{shown} of the {count}"
    note = "; ".join(group.note for group in groups)
    body = "".join(_group(group, split, pictures, credits) for group in groups)
    return f'<p class="shown">{what}: {note}.</p>{body}'


def _group(group: Group, split: Split, pictures: Path | None, credits: Mapping[str, Credit]) -> str:
    top, of = max(item.score for item in split.items), len(split.items)
    key = re.sub(r"\W", "-", split.name)
    heading = f'<h3 class="group">{group.name}</h3>' if group.name else ""
    cards = (
        card(
            item,
            rank,
            of,
            top,
            photo=photo_in(pictures, item.file) if pictures else None,
            credit=credits.get(item.file),
            key=f"{key}-{rank}",
            asks=split.asks,
        )
        for rank, item in group.items
    )
    return f"{heading}{''.join(cards)}"
