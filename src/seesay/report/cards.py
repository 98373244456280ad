"""One picture of the report: the photograph, its caption, where each word looked, and what people wrote."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seesay.data.images import open_picture
from seesay.errors import DataError
from seesay.report.credits import Credit
from seesay.report.overlay import data_uri, grid_side, heat_png, jpeg, spread
from seesay.report.reading import Item
from seesay.text.names import picture_path

EACH = 12  # of the best, of those between, and of the worst: as many as a page can hold
PHOTO, THUMB = 480, 96  # longest sides in pixels


@dataclass(frozen=True)
class Group:
    """Pictures under one heading, best first, each with its place among all."""

    name: str
    note: str
    items: tuple[tuple[int, Item], ...]


@dataclass(frozen=True)
class Photo:
    """A photograph ready for the page: two `data:` addresses (large and small) and the large one's size."""

    large: str
    small: str
    width: int
    height: int


def choose(items: Sequence[Item], each: int = EACH) -> list[Group]:
    """The pictures to show, by CIDEr-D: all of them, or the best, some drawn at random between, and the worst."""
    ranked = list(enumerate(sorted(items, key=lambda item: (-item.score, item.file)), 1))
    if len(ranked) <= 3 * each:
        return [Group("", "every picture, best first", tuple(ranked))]
    between = sorted(random.Random(0).sample(ranked[each:-each], each))
    return [
        Group("The best", f"the {each} with the highest CIDEr-D", tuple(ranked[:each])),
        Group("In between", f"{each} drawn at random from the other {len(ranked) - 2 * each:,}", tuple(between)),
        Group("The worst", f"the {each} with the lowest CIDEr-D", tuple(ranked[-each:])),
    ]


def photo_in(pictures: Path, name: str) -> Photo:
    """A photograph of the folder that a run's recipe names; DataError that names data.pictures where it is not."""
    file = picture_path(pictures, name)
    if not file.exists():
        raise DataError(
            f"{file}: not found; expected it in {pictures}, which is data.pictures in the run's recipe.toml; "
            "correct data.pictures there, counted from where the command is started, or put the pictures there."
        )
    return read_photo(file)


def read_photo(file: Path) -> Photo:
    """Opens and shrinks a photograph for the page. Raises DataError as `open_picture` does."""
    picture = open_picture(file)
    large, width, height = jpeg(picture, PHOTO, quality=82)
    small, _, _ = jpeg(picture, THUMB, quality=72)
    return Photo(data_uri(large, "image/jpeg"), data_uri(small, "image/jpeg"), width, height)


def card(
    item: Item, rank: int, of: int, top: float, photo: Photo | None, credit: Credit | None, key: str, asks: bool = False
) -> str:
    """One picture as an HTML article; `key` is its id on the page, `top` the score that fills the bar.

    With `asks` its sentence is a question.
    """
    heats = _heats(item.attention) if photo else []
    figure = _figure(item, photo, credit, bool(heats), asks) if photo else ""
    strip = _strip(item, photo, heats, key) if photo and heats else ""
    folded = _folded(item, unfold=not strip)
    return (
        f'<article class="card" id="{key}">{figure}<div class="words">'
        f'<h3 class="said">{_sentence(item.tokens)}{"?" if asks else ""}</h3>'
        f"{_score(item.score, rank, of, top, asks)}{strip}{folded}</div></article>"
    )


def _heats(attention: npt.NDArray[np.float64] | None) -> list[tuple[str, float]]:
    """For each word its heat map as a `data:` address and its spread; empty without a square grid to draw on."""
    if attention is None or grid_side(attention.shape[1]) is None:
        return []
    return [(data_uri(heat_png(row), "image/png"), spread(row)) for row in attention]


def _figure(item: Item, photo: Photo, credit: Credit | None, attends: bool, asks: bool) -> str:
    said = f"the question is: {' '.join(item.tokens)}?" if asks else f"the caption is: {' '.join(item.tokens)}"
    alt = escape(f"Photograph {item.file}; {said}")
    line = f'<span class="credit">{credit.html()}</span>' if credit else ""
    shape = "stage tall" if photo.height > photo.width else "stage"
    play = '<button class="play" type="button" hidden>Watch it look</button>' if attends else ""
    return (
        f'<figure><div class="{shape}"><img class="photo" src="{photo.large}" width="{photo.width}" '
        f'height="{photo.height}" alt="{alt}" title="{escape(item.file)}"><img class="heat" alt="" hidden>'
        f'<span class="now" hidden></span>{play}</div>'
        f'<figcaption><span class="file">{escape(item.file)}</span>{line}</figcaption></figure>'
    )


def _sentence(tokens: Sequence[str]) -> str:
    if not tokens:
        return "<em>(an empty caption)</em>"
    return " ".join(f'<span class="word">{escape(word)}</span>' for word in tokens)


def _score(score: float, rank: int, of: int, top: float, asks: bool) -> str:
    what = "question against people's questions" if asks else "caption against its human captions"
    share = min(max(score / top, 0.0), 1.0) * 100 if top > 0 else 0.0
    return (
        f'<p class="score" title="CIDEr-D of this {escape(what)}">'
        f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="100" height="6"/><rect class="fill" width="{share:.1f}" height="6"/></svg>'
        f"<span>CIDEr-D <b>{score:.2f}</b></span><span>{rank:,} of {of:,}</span></p>"
    )


def _strip(item: Item, photo: Photo, heats: Sequence[tuple[str, float]], key: str) -> str:
    """The small copies of the photograph, one a word; the small photograph itself stands in the page only once."""
    size = f'width="{photo.width}" height="{photo.height}" preserveAspectRatio="none"'
    kept = f'<svg class="kept" aria-hidden="true"><defs><image id="{key}-s" {size} href="{photo.small}"/></defs></svg>'
    return f'<div class="strip">{kept}{"".join(_thumbs(item, photo, heats, key, size))}</div>'


def _thumbs(item: Item, photo: Photo, heats: Sequence[tuple[str, float]], key: str, size: str) -> Iterator[str]:
    cells = item.attention.shape[1] if item.attention is not None else 0
    for word, (heat, cells_seen) in zip(item.tokens, heats, strict=True):
        title = escape(f"Where it looked for “{word}”: spread over about {cells_seen:.0f} of {cells} cells")
        yield (
            f'<button class="thumb" type="button" title="{title}" aria-pressed="false">'
            f'<svg viewBox="0 0 {photo.width} {photo.height}" aria-hidden="true">'
            f'<use href="#{key}-s"/><image class="glow" {size} href="{heat}"/></svg>'
            f"<span>{escape(word)}</span></button>"
        )


def _folded(item: Item, unfold: bool) -> str:
    """What people wrote, and the model's other sentences, behind a fold each; `unfold` opens the first."""
    parts = []
    if item.references:
        parts.append(_list(f"What {len(item.references)} people wrote", item.references, unfold))
    if item.others:
        parts.append(_list(f"{len(item.others)} more by the model", item.others, False))
    return "".join(parts)


def _list(title: str, sentences: Sequence[str], unfold: bool) -> str:
    lines = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<details{' open' if unfold else ''}><summary>{escape(title)}</summary><ul>{lines}</ul></details>"
