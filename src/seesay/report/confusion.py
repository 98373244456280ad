"""What was taken for what, as a picture: a square for each pair of labels, darker the more often it happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

MOST = 40  # labels that a picture can hold; the rest are one
REST = "(others)"
_CELL, _MARGIN, _LETTER = 16.0, 14.0, 6.4
_WIDE, _FEW = 44.0, 12  # a square that holds its count, and how many labels leave room for such


def matrix_of(confusion: Mapping[str, Mapping[str, int]]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Labels in code point order and counts (N, N), gold labels in rows, from `confusion[gold][found]`.

    >>> labels, counts = matrix_of({"NN": {"NN": 5, "VB": 1}})
    >>> labels, counts.tolist()
    (('NN', 'VB'), [[5, 1], [0, 0]])
    """
    labels = tuple(sorted({*confusion, *(found for row in confusion.values() for found in row)}))
    place = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for gold, row in confusion.items():
        for found, count in row.items():
            counts[place[gold], place[found]] = count
    return labels, counts


def picture(labels: Sequence[str], counts: NDArray[np.int64]) -> str:
    """The counts (N, N), gold labels in rows and found ones in columns, as an SVG element.

    A square shows its share of its row: right in the first colour, wrong in the second, where a little shows plainly.
    Of up to 12 labels it is large and has its count in it. Of more than 40 those with the most mistakes have their own
    row and column, and the others share one.
    Raises ValueError for counts of another shape.

    >>> picture(("NN", "VB"), np.array([[5, 1], [0, 2]])).count("<rect")
    3
    """
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"counts: received shape {counts.shape}; expected ({len(labels)}, {len(labels)})")
    labels, counts = _joined(labels, counts)
    left = _MARGIN + _LETTER * max((min(len(label), 16) for label in labels), default=0)
    cell = _WIDE if len(labels) <= _FEW else _CELL
    side = cell * len(labels)
    width, height = left + side + _MARGIN, left + side + _MARGIN
    body = "".join([*_names(labels, left, cell), *_cells(labels, counts, left, cell)])
    frame = f'<path class="edge" d="M{left:g} {left:g}h{side:g}v{side:g}h-{side:g}z"/>'
    right = int(np.trace(counts))
    told = f"Confusion of {len(labels)} labels: {right:,} of {int(counts.sum()):,} right"
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
    return f'<svg class="confusion" {size} role="img" aria-label="{escape(told)}">{body}{frame}</svg>'


def _joined(labels: Sequence[str], counts: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """At most 40 labels: those with the most mistakes as they are, and all others as one."""
    if len(labels) <= MOST:
        return tuple(labels), counts
    wrong = counts.sum(0) + counts.sum(1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-wrong, kind="stable")[: MOST - 1])
    group = np.full(len(labels), MOST - 1)
    group[kept] = np.arange(MOST - 1)
    joined = np.zeros((MOST, MOST), dtype=np.int64)
    np.add.at(joined, (group[:, None], group[None, :]), counts)
    return (*(labels[i] for i in kept.tolist()), REST), joined


def _names(labels: Sequence[str], left: float, cell: float) -> Iterator[str]:
    for place, label in enumerate(labels):
        at, text = left + cell * (place + 0.5), escape(label if len(label) <= 16 else f"{label[:15]}…")
        yield f'<text class="tick" x="{left - 5:.1f}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
        turned = f'transform="rotate(-90 {at + 4:.1f} {left - 5:.1f})"'
        yield f'<text class="tick" x="{at + 4:.1f}" y="{left - 5:.1f}" {turned}>{text}</text>'


def _cells(labels: Sequence[str], counts: NDArray[np.int64], left: float, cell: float) -> Iterator[str]:
    totals = counts.sum(1)
    for row, column in zip(*(axis.tolist() for axis in np.nonzero(counts)), strict=True):
        count, total = int(counts[row, column]), int(totals[row])
        share = count / total
        # The root, as one mistake in a hundred should be seen beside ninety-nine that are none.
        look, opacity = ("right", 0.1 + 0.9 * share) if row == column else ("wrong", 0.1 + 0.9 * share**0.5)
        said = f"{labels[row]} found as {labels[column]}: {count:,} of {total:,} ({share:.1%})"
        x, y = left + cell * column, left + cell * row
        yield (
            f'<rect class="{look}" x="{x:.1f}" y="{y:.1f}" width="{cell:g}" '
            f'height="{cell:g}" fill-opacity="{opacity:.2f}"><title>{escape(said)}</title></rect>'
        )
        if cell > _CELL:
            shade = "count over" if opacity > 0.6 else "count"
            yield f'<text class="{shade}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}">{_short(count)}</text>'


def _short(count: int) -> str:
    """A count in at most five letters."""
    return f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1e6:.0f}M"
