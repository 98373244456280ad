"""The page about a run that names what pictures show: photographs with their likeliest concepts, scores and curves."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from seesay.metrics.naming import ConceptScore
from seesay.report import learning
from seesay.report.cards import Photo, photo_in
from seesay.report.credits import Credit
from seesay.report.frame import RUN, header, table, write_page
from seesay.report.reading import model_of, read_log, seconds_of, text_of

SHOWN = 24  # photographs of a split
EACH = 15  # concepts of the best and of the worst


@dataclass(frozen=True)
class NamedPicture:
    """One picture: the likeliest concepts with their probabilities, and all that its captions name."""

    file: str
    concepts: Sequence[tuple[str, float]]
    named: Sequence[str]


@dataclass(frozen=True)
class NamedSplit:
    """What a run reached on one split; `ranked` are its concepts by average precision, the best first."""

    split: str
    mean: float
    chance: float
    ranked: Sequence[tuple[str, ConceptScore]]
    pictures: Sequence[NamedPicture]


def write_naming_report(
    run: Path,
    splits: Sequence[NamedSplit],
    pictures: Path | None,
    credits: Mapping[str, Credit] | None = None,
    notice: str = "",
) -> Path:
    """Write `run/report.html`, one self-contained page, and return its path.

    `pictures` is the folder of the photographs; without it their concepts stand alone. `credits` gives, by file, the
    line that must stand beneath a photograph; `notice` is a plain remark at the head.
    Raises DataError, one line, if a file of the run or a picture is missing or damaged, or the page cannot be written.
    """
    recipe = text_of(run / "recipe.toml", "a run folder holds the recipe it was made from")
    head = _head(run, model_of(recipe, run / "recipe.toml"), splits, notice)
    galleries = (_gallery(one, pictures, credits or {}) for one in splits)
    learned = learning.section(*read_log(run / "log.jsonl"), recipe, ["mAP"], each="picture and concept")
    body = "".join([head, *galleries, *map(_scores, splits), learned])
    return write_page(run / "report.html", f"{run.resolve().name} · seesay report", body, pictures=True)


def _head(run: Path, model: str, splits: Sequence[NamedSplit], notice: str) -> str:
    facts = {f"mAP {one.split}": f"{one.mean:.4f}" for one in splits}
    facts |= {f"chance {one.split}": f"{one.chance:.4f}" for one in splits}
    if (run / "timings.jsonl").exists():
        facts["training time"] = learning.duration(seconds_of(run / "timings.jsonl"))
    told = " and ".join(
        f"what {len(one.pictures):,} photographs of {escape(one.split)} show, with <b>mAP {one.mean:.4f}</b>"
        for one in splits
    )
    return header(RUN, run.resolve().name, [f"<code>{escape(model)}</code> says {told}."], facts, [notice])


def _gallery(one: NamedSplit, pictures: Path | None, credits: Mapping[str, Credit]) -> str:
    """Some of the pictures, drawn at random, the same ones each time."""
    count = min(SHOWN, len(one.pictures))
    chosen = sorted(random.Random(0).sample(range(len(one.pictures)), count))
    cards = "".join(_card(one.pictures[i], pictures, credits) for i in chosen)
    which = "all" if count == len(one.pictures) else f"{count} drawn at random from the {len(one.pictures):,}"
    return (
        f'<section><h2>What it sees on {escape(one.split)}</h2><p class="shown">Pictures: {which}. A marked concept is '
        f"one that a caption of the picture names.</p>{cards}</section>"
    )


def _card(picture: NamedPicture, pictures: Path | None, credits: Mapping[str, Credit]) -> str:
    items = "".join(_concept(word, chance, word in picture.named) for word, chance in picture.concepts)
    told = {word for word, _ in picture.concepts}
    missed = ", ".join(word for word in picture.named if word not in told)
    rest = f"<details><summary>Named by people too</summary><p>{escape(missed)}</p></details>" if missed else ""
    figure = _figure(picture.file, photo_in(pictures, picture.file), credits.get(picture.file)) if pictures else ""
    head = "" if pictures else f'<h3 class="said">{escape(picture.file)}</h3>'
    words = f'<div class="words">{head}<ul class="examples">{items}</ul>{rest}</div>'
    return f'<article class="card">{figure}{words}</article>'


def _concept(word: str, chance: float, is_named: bool) -> str:
    shown = f"<b>{escape(word)}</b>" if is_named else escape(word)
    return f"<li>{shown} {chance:.2f}</li>"


def _figure(name: str, photo: Photo, credit: Credit | None) -> str:
    line = f'<span class="credit">{credit.html()}</span>' if credit else ""
    shape = "stage tall" if photo.height > photo.width else "stage"
    return (
        f'<figure><div class="{shape}"><img class="photo" src="{photo.large}" width="{photo.width}" '
        f'height="{photo.height}" alt="{escape(f"Photograph {name}")}"></div>'
        f'<figcaption><span class="file">{escape(name)}</span>{line}</figcaption></figure>'
    )


def _scores(one: NamedSplit) -> str:
    tables = [_table("Told best", one.ranked[:EACH]), _table("Told worst", one.ranked[EACH:][-EACH:])]
    return (
        f"<section><h2>Scores on {escape(one.split)}</h2><p>Average precision: 1 where all pictures that show the "
        "concept come before all others. Of concepts that few pictures show it is mostly luck, so these are left out "
        f'here.</p><div class="pair">{"".join(tables)}</div></section>'
    )


def _table(caption: str, ranked: Sequence[tuple[str, ConceptScore]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(word)}</th><td>{score.average_precision:.3f}</td><td>{score.pictures:,}</td></tr>'
        for word, score in ranked
    )
    return table(("concept", "average precision", "pictures"), rows, caption) if rows else ""
