"""Learning curves as plain SVG: no script, no style of their own, so the page's colours (light or dark) apply."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 360.0, 216.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 106.0, 12.0, 38.0
LABEL_GAP = 15.0  # two labels nearer than this would overlap


@dataclass(frozen=True)
class Line:
    """One curve. `look` is the class the page styles it by: "first", "second" or "faint" (no dots, no number)."""

    name: str
    points: Sequence[Point]
    look: str = "first"


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between two values, at most about `most`.

    >>> ticks(0, 0.53), ticks(1, 12, most=6)
    ([0.0, 0.2, 0.4], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
    """
    if not high > low:
        return [low]
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough * 0.999)
    return [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def thin(points: Sequence[Point], most: int = 120) -> list[Point]:
    """At most `most` points, each the mean of a run of neighbours: single steps are too noisy to read.

    >>> thin([(0, 4), (1, 2), (2, 1), (3, 3)], most=2)
    [(0.5, 3.0), (2.5, 2.0)]
    """
    size = math.ceil(len(points) / most) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def chart(
    title: str,
    lines: Sequence[Line],
    x_name: str,
    from_zero: bool = False,
    mark: Point | None = None,
    borders: Sequence[float] = (),
) -> str:
    """A line chart as an SVG element over epochs or steps, which are whole; `mark` is the point of the kept weights.

    At each of the `borders`, as far as they lie within, another stage of training begins.

    Raises ValueError if no line has a point.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        raise ValueError(f"{title}: no point to draw")
    plane = _Plane.around(points, from_zero)
    body = [*_axes(plane, x_name, whole_x=True), *_borders(plane, borders), *_mark(plane, mark)]
    body += [*(_curve(line, plane) for line in lines), *_labels(lines, plane)]
    ends = "; ".join(f"{line.name} ends at {number(line.points[-1][1])}" for line in lines if line.points)
    return _svg(f"{title}: {ends}", "".join(body))


def histogram(values: Sequence[float], x_name: str) -> str:
    """How many pictures have which score, as an SVG element; a line marks the mean. Scores below 0 count as 0."""
    bins = min(max(2 * math.isqrt(len(values)), 6), 24)
    width = (max(values) or 1.0) / bins
    counts = [0] * bins
    for value in values:
        counts[min(int(max(value, 0.0) / width), bins - 1)] += 1
    plane = _Plane(0.0, width * bins, 0.0, float(max(counts)), right=WIDTH - 14)
    bars = [_bar(plane, number_, count, width) for number_, count in enumerate(counts) if count]
    mean = sum(values) / len(values)
    x = plane.x(mean)
    place, side = (x - 5, "end") if mean > plane.x_high * 0.7 else (x + 5, "start")
    line = f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}"/>'
    name = f'<text class="tick" x="{place:.1f}" y="{TOP - 4}" text-anchor="{side}">mean {number(mean)}</text>'
    body = "".join([*_axes(plane, x_name, whole_y=True), *bars, line, name])
    label = f"Scores of {len(values)} pictures: mean {number(mean)}, {number(min(values))} to {number(max(values))}"
    return _svg(label, body)


def _svg(label: str, body: str) -> str:
    size = f"{WIDTH:g} {HEIGHT:g}"
    return f'<svg class="chart" viewBox="0 0 {size}" role="img" aria-label="{escape(label)}">{body}</svg>'


def number(value: float) -> str:
    """A number short enough for an axis.

    >>> number(0), number(0.5123), number(12.0), number(1234.5), number(0.00025)
    ('0', '0.512', '12', '1,234', '2.5e-4')
    """
    if value == 0:
        return "0"
    if abs(value) < 0.01:
        return f"{value:.2g}" if abs(value) >= 0.001 else _power(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _power(value: float) -> str:
    digits, power = f"{value:.1e}".split("e")
    return f"{float(digits):g}e{int(power)}"


@dataclass(frozen=True)
class _Plane:
    """The rectangle of values that is drawn, and where each lies in the picture."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    right: float = WIDTH - RIGHT

    @classmethod
    def around(cls, points: Sequence[Point], from_zero: bool) -> _Plane:
        xs, ys = zip(*points, strict=True)
        low, high = (0.0 if from_zero else min(ys)), max(ys)
        room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(min(xs), max(xs), low if from_zero else low - room, high + room)

    def x(self, value: float) -> float:
        return LEFT + (self.right - LEFT) * _share(value, self.x_low, self.x_high)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * _share(value, self.y_low, self.y_high)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _axes(plane: _Plane, x_name: str, whole_x: bool = False, whole_y: bool = False) -> Iterator[str]:
    """Both axes with round numbers; an axis that is `whole` counts things, such as epochs, and has no halves."""
    right, bottom = plane.right, HEIGHT - BOTTOM
    for value in ticks(plane.y_low, plane.y_high, most=6):
        if whole_y and value != int(value):
            continue
        y = plane.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>'
    values = ticks(plane.x_low, plane.x_high, most=6)
    for value in ([one for one in values if one == int(one)] if whole_x else []) or values:
        x = plane.x(value)
        yield f'<text class="tick" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number(value)}</text>'
    middle = (LEFT + right) / 2
    yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    yield f'<text class="tick" x="{middle}" y="{bottom + 33}" text-anchor="middle">{escape(x_name)}</text>'


def _bar(plane: _Plane, place: int, count: int, width: float) -> str:
    left, right, top = plane.x(place * width), plane.x((place + 1) * width), plane.y(count)
    return (
        f'<rect class="count" x="{left + 1:.1f}" width="{right - left - 2:.1f}" y="{top:.1f}" '
        f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{count} between {number(place * width)} '
        f"and {number((place + 1) * width)}</title></rect>"
    )


def _borders(plane: _Plane, borders: Sequence[float]) -> Iterator[str]:
    for border in borders:
        if plane.x_low < border < plane.x_high:
            x = plane.x(border)
            yield (
                f'<line class="border" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}">'
                "<title>another stage begins</title></line>"
            )


def _mark(plane: _Plane, mark: Point | None) -> Iterator[str]:
    if mark is not None:
        x, y = plane.x(mark[0]), plane.y(mark[1])
        yield f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="6"><title>the weights kept</title></circle>'


def _curve(line: Line, plane: _Plane) -> str:
    path = " ".join(f"{plane.x(x):.1f},{plane.y(y):.1f}" for x, y in line.points)
    dotted = line.look != "faint" and len(line.points) <= 60
    dots = "".join(_dot(line, point, plane) for point in line.points) if dotted else ""
    return f'<g class="{line.look}"><polyline points="{path}"/>{dots}</g>'


def _dot(line: Line, point: Point, plane: _Plane) -> str:
    title = escape(f"{line.name} {number(point[1])} at {number(point[0])}")
    return f'<circle cx="{plane.x(point[0]):.1f}" cy="{plane.y(point[1]):.1f}" r="2.4"><title>{title}</title></circle>'


def _labels(lines: Sequence[Line], plane: _Plane) -> Iterator[str]:
    """The name and last value of each curve at its end, moved apart where they would overlap.

    A faint curve is of means over neighbours: its name stands alone, beside the others.
    """
    named = sorted((line for line in lines if line.points), key=lambda line: -line.points[-1][1])
    for line, place in zip(named, _apart([plane.y(line.points[-1][1]) + 4 for line in named]), strict=True):
        x, y = line.points[-1]
        faint = line.look == "faint"
        text = escape(line.name if faint else f"{line.name} {number(y)}")
        left = plane.right if faint else plane.x(x)
        yield f'<text class="{line.look}" x="{left + 8:.1f}" y="{place:.1f}">{text}</text>'


def _apart(places: Sequence[float]) -> list[float]:
    """Heights of labels, from the top down, with room between them and none below the axis.

    >>> _apart([100, 102]), _apart([176, 177])
    ([100, 115.0], [163.0, 178.0])
    """
    apart: list[float] = []
    for place in places:
        apart.append(max(place, apart[-1] + LABEL_GAP) if apart else max(place, TOP))
    lowest = HEIGHT - BOTTOM
    for n in reversed(range(len(apart))):
        apart[n] = min(apart[n], lowest - LABEL_GAP * (len(apart) - 1 - n))
    return apart
