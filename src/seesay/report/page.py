"""The report of a run as one HTML page: no script, style, font or picture from anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from seesay.files import replace_file
from seesay.report import curves
from seesay.report.cards import Group, card, choose, read_photo
from seesay.report.credits import Credit
from seesay.report.inline import part, source_hash
from seesay.report.reading import Check, Run, Split, read_run

_FLATTERS = "<p>The weights kept are those that did best on dev, so scores on dev flatter them a little.</p>"
_MAPS = (
    "<p>The maps show which of the picture's grid cells a word was drawn from, each scaled to its own brightest spot: "
    "they tell where the model looked, not why it chose the word.</p>"
)
METRICS = {  # in the order of the table
    "CIDEr-D": "agreement with the human captions, rare words weighing more; 0 to 10",
    "CIDEr": "CIDEr-D without clipping and length penalty",
    "METEOR": "word matches, stems, synonyms and paraphrases, weighed by order; 0 to 1",
    "Bleu_4": "share of runs of up to four words that a person wrote too; 0 to 1",
    "Bleu_3": "the same with runs of up to three words",
    "Bleu_2": "the same with runs of up to two words",
    "Bleu_1": "share of single words that a person wrote too",
    "ROUGE_L": "longest common sequence of words with a human caption; 0 to 1",
}


def write_report(
    run: Path, pictures: Path | None, credits: Mapping[str, Credit] | None = None, notice: str = ""
) -> Path:
    """Writes `run/report.html`, one self-contained page, and returns its path.

    `pictures` is the folder that the files in `predictions/*.json` are relative to; without it the captions stand
    alone. `credits` gives, by file, the line that must stand beneath a photograph; `notice` is a plain-text remark
    shown above the pictures. The page is written beside its name and then renamed: never half a report.

    Raises DataError, one line, if a file of the run or a picture is missing or damaged, or the page cannot be written.
    """
    page = render(read_run(run), pictures, credits or {}, notice)
    replace_file(run / "report.html", page.encode("utf-8", "xmlcharrefreplace"))
    return run / "report.html"


def render(run: Run, pictures: Path | None, credits: Mapping[str, Credit], notice: str) -> str:
    """The page as text. Each piece is escaped where it is made; the template takes only finished HTML."""
    style, script = part("page.css"), part("page.js")
    attends = any(item.attention is not None for split in run.splits for item in split.items)
    return Template(part("page.html")).substitute(
        style=style,
        script=script,
        style_hash=source_hash(style),
        script_hash=source_hash(script),
        title=escape(run.name),
        model=escape(run.model),
        notice=f'<aside class="notice"><p>{escape(notice)}</p></aside>' if notice else "",
        summary="".join(f'<p class="lead">{_summary(run, split)}</p>' for split in run.splits),
        facts="".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in _facts(run)),
        heading="What it says, and where it looks" if attends else "What it says",
        maps=_MAPS if attends else "",
        curves="".join(_panels(run)),
        epochs=_epochs(run.checks),
        scores="".join(_scores(split) for split in run.splits),
        pictures="".join(_gallery(split, pictures, credits) for split in run.splits),
        recipe=escape(run.recipe.strip()),
    )


def _summary(run: Run, split: Split) -> str:
    kept = "it was trained on" if split.name == "train" else "kept aside from training"
    count, how = len(split.items), _decoding(split)
    pictures = "1 photograph" if count == 1 else f"{count:,} photographs"
    main = [name for name in ("CIDEr-D", "Bleu_4") if name in split.corpus]
    scores = " and ".join(f"<b>{name} {split.corpus[name]:.3f}</b>" for name in main)
    after = f"After step {split.checkpoint_step:,}"
    epoch = next((check.epoch for check in run.checks if check.step == split.checkpoint_step), None)
    if epoch is not None:
        after = f"After {epoch} {'epoch' if epoch == 1 else 'epochs'} of training"
    model = f"<code>{escape(run.model)}</code> " if run.model else ""
    return f"{after}, {model}describes {pictures} {kept} ({escape(split.name)}) with {scores}{escape(how)}."


def _decoding(split: Split) -> str:
    """How the sentences were searched for, as the end of a sentence."""
    method, beam = split.decoding.get("method", "beam"), split.decoding.get("beam")
    if method == "sample":
        return ", drawing its words at random"
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
    last = max([*(check.step for check in run.checks), *(step.step for step in run.steps)])
    if run.checks:
        yield "epochs", f"{run.checks[-1].epoch:,}"
    yield "steps", f"{last:,}"
    if run.words is not None:
        yield "words known", f"{run.words:,}"
    if run.seconds is not None:
        yield "training time", duration(run.seconds)


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(42.4), duration(600), duration(3725)
    ('42 s', '10 min', '1 h 02 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _panels(run: Run) -> Iterator[str]:
    """Loss, scores and learning rate; a panel without a point is left out."""
    places = _Epochs(run.checks)
    steps = [(places(step.step), step) for step in run.steps]
    epochs = [(float(check.epoch), check) for check in run.checks]
    kept = _kept(run.checks)
    at = float(kept.epoch) if kept else 0.0
    loss = [
        curves.Line("each step", curves.thin([(x, step.loss) for x, step in steps]), "faint"),
        curves.Line("train", [(x, check.train_loss) for x, check in epochs], "first"),
        curves.Line("dev", [(x, check.dev_loss) for x, check in epochs], "second"),
    ]
    scores = [
        curves.Line(name, [(x, check.scores[name]) for x, check in epochs if name in check.scores], look)
        for name, look in (("CIDEr-D", "first"), ("Bleu_4", "second"))
    ]
    rate = [curves.Line("rate", curves.thin([(x, step.lr) for x, step in steps]), "first")]
    mark = (at, kept.dev_loss) if kept else None
    yield _panel("Loss", "per word; train counts dropout and smoothing too", loss, places.name, False, mark)
    mark = (at, kept.scores["CIDEr-D"]) if kept and "CIDEr-D" in kept.scores else None
    yield _panel(
        "Scores on dev", "a quick look after each epoch; ringed: the weights kept", scores, places.name, True, mark
    )
    yield _panel("Learning rate", "how far each step moves", rate, places.name, True, None)


def _kept(checks: Sequence[Check]) -> Check | None:
    """The check whose weights are the best so far: each better one before it was overtaken."""
    return next((check for check in reversed(checks) if check.best), None)


class _Epochs:
    """Where a step lies on the horizontal axis: in epochs once one has ended, else in steps."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._ends = [(0, 0), *((check.step, check.epoch) for check in checks)]
        self.name = "epoch" if checks else "step"

    def __call__(self, step: int) -> float:
        if len(self._ends) == 1:
            return float(step)
        after = next((n for n in range(1, len(self._ends)) if step <= self._ends[n][0]), len(self._ends) - 1)
        (s0, e0), (s1, e1) = self._ends[after - 1], self._ends[after]
        return e0 + (e1 - e0) * (step - s0) / max(s1 - s0, 1)


def _panel(
    title: str, note: str, lines: Sequence[curves.Line], x_name: str, from_zero: bool, mark: curves.Point | None
) -> str:
    if not any(line.points for line in lines):
        return ""
    drawing = curves.chart(title, lines, x_name, from_zero, mark)
    return f'<figure class="panel"><figcaption><b>{title}</b> {note}</figcaption>{drawing}</figure>'


def _epochs(checks: Sequence[Check]) -> str:
    """The curves' numbers as a table, for those who cannot or would rather not read a drawing."""
    if not checks:
        return ""
    names = [name for name in METRICS if any(name in check.scores for check in checks)]
    head = "".join(f'<th scope="col">{escape(n)}</th>' for n in ("epoch", "step", "train loss", "dev loss", *names))
    rows = "".join(_epoch(check, names, check is _kept(checks)) for check in checks)
    return (
        f'<details><summary>The numbers behind the curves</summary><div class="wide"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _epoch(check: Check, names: Sequence[str], kept: bool) -> str:
    scores = (f"{check.scores[name]:.3f}" if name in check.scores else "" for name in names)
    cells = [f"{check.step:,}", f"{check.train_loss:.3f}", f"{check.dev_loss:.3f}", *scores]
    best = ' class="chosen" title="the weights kept"' if kept else ""
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{best}><th scope="row">{check.epoch}</th>{row}</tr>'


def _scores(split: Split) -> str:
    known = [name for name in METRICS if name in split.corpus]
    names = [*known, *sorted(set(split.corpus) - set(known))]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{split.corpus[name]:.3f}</td>'
        f'<td class="means">{escape(METRICS.get(name, ""))}</td></tr>'
        for name in names
    )
    drawing = curves.histogram([item.score for item in split.items], "CIDEr-D of a picture")
    return (
        f'<div class="pair"><div><table class="scores"><caption>{escape(split.name)}: {len(split.items):,} pictures'
        f"</caption><tbody>{rows}</tbody></table>"
        f"{_FLATTERS if split.name == 'dev' else ''}"
        f'<p class="signature">signature <code>{escape(split.signature)}</code></p></div>'
        f'<figure class="panel"><figcaption><b>Picture by picture</b> how many captions got which score</figcaption>'
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
            photo=read_photo(pictures / item.file) if pictures else None,
            credit=credits.get(item.file),
            key=f"{key}-{rank}",
        )
        for rank, item in group.items
    )
    return f"{heading}{''.join(cards)}"
