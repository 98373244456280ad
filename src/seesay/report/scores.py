"""The page of `seesay score --html`: the scores with their intervals, the comparison, and captions good and bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from seesay.metrics.study import Study
from seesay.report import curves
from seesay.report.frame import header, table, write_page

_EACH = 15  # captions of the best and of the worst
_TITLE = "seesay · scores"


def write_scores(
    path: Path,
    study: Study,
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    names: tuple[str, str] = ("", ""),
) -> None:
    """Write one self-contained HTML page about a study; `names` are those of the system and of the other one.

    Raises DataError where it cannot be written.
    """
    write_page(path, _TITLE, "".join(_sections(study, captions, references, names)))


def _sections(
    study: Study, captions: Mapping[str, str], references: Mapping[str, Sequence[str]], names: tuple[str, str]
) -> Iterator[str]:
    lead = f"{len(captions):,} pictures, each with a caption and its human references."
    yield header(_TITLE, f"Scores of {names[0]}" if names[0] else "Scores", [lead], notices=study.evaluation.notes)
    yield f"<section><h2>Metrics</h2>{_metrics(study)}"
    yield f'<p class="signature">signature <code>{escape(study.evaluation.signature)}</code></p>'
    if study.comparison is not None:
        yield f"<h2>Against {escape(names[1])}</h2>{_comparison(study)}"
    yield f"<h2>How varied</h2>{_rows(study.diversity)}</section>"
    main = next((name for name in ("CIDEr-D", "Bleu_4") if name in study.evaluation.corpus), None)
    if main:
        yield from _pictures(study, captions, references, main)


def _metrics(study: Study) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{value:.4f}</td>'
        f"<td>{study.intervals[name].low:.4f} to {study.intervals[name].high:.4f}</td></tr>"
        for name, value in study.evaluation.corpus.items()
    )
    return _table(("metric", "score", "95% interval"), rows)


def _comparison(study: Study) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{found.first:.4f}</td><td>{found.second:.4f}</td>'
        f"<td>{found.difference:+.4f}</td><td>{found.low:+.4f} to {found.high:+.4f}</td><td>{found.p:.3f}</td></tr>"
        for name, found in (study.comparison or {}).items()
    )
    note = "<p>p: how often swapping captions between the two systems at random gives so large a difference.</p>"
    return _table(("metric", "this", "other", "difference", "95% of differences", "p"), rows) + note


def _rows(values: Mapping[str, float]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{value:.4f}</td></tr>' for name, value in values.items()
    )
    return _table(("property", "value"), rows)


def _table(head: Sequence[str], rows: str, kind: str = "wide") -> str:
    return f'<div class="{kind}">{table(head, rows)}</div>'


def _pictures(
    study: Study, captions: Mapping[str, str], references: Mapping[str, Sequence[str]], main: str
) -> Iterator[str]:
    scores = {picture: row[main] for picture, row in study.evaluation.per_id.items()}
    drawing = curves.histogram(list(scores.values()), f"{main} of a picture")
    yield "<section><h2>Picture by picture</h2>"
    heading = "<figcaption><b>How many captions got which score</b></figcaption>"
    yield f'<figure class="panel narrow">{heading}{drawing}</figure>'
    ranked = sorted(scores, key=lambda picture: (-scores[picture], picture))
    groups = [("All, best first", ranked)]
    if len(ranked) > 2 * _EACH:
        groups = [("The best", ranked[:_EACH]), ("The worst", ranked[-_EACH:])]
    for heading, pictures in groups:
        rows = "".join(
            f'<tr><th scope="row">{escape(picture)}</th><td>{scores[picture]:.3f}</td><td>{escape(captions[picture])}'
            f"</td><td>{'<br>'.join(map(escape, references[picture]))}</td></tr>"
            for picture in pictures
        )
        yield f'<h3 class="group">{heading}</h3>' + _table(
            ("picture", main, "caption", "references"), rows, "wide texts"
        )
    yield "</section>"
