"""How a run learned, as figures and a table of its page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from seesay.report import curves
from seesay.report.frame import table
from seesay.report.reading import Check, Step

REWARDED = ("reward", "baseline")
_OF_REWARD = "; a stage of reward$from has a loss of another kind, which is not drawn"
_REWARD = "what the captions drawn were worth, in the mean, and the baseline that they had to beat"


def section(
    steps: Sequence[Step],
    checks: Sequence[Check],
    recipe: str,
    names: Sequence[str],
    listed: Sequence[str] = (),
    each: str = "word",
) -> str:
    """How a run learned, for its page: the `panels` of these scores, the numbers behind them, and the recipe.

    `listed` are the scores of the table, the same ones where there are none.
    """
    return (
        '<section aria-labelledby="learning"><h2 id="learning">How it learned</h2><div class="panels">'
        f"{''.join(panels(steps, checks, names, each))}</div>{_numbers(checks, listed or names)}"
        f"<details><summary>The recipe of this run</summary><pre>{escape(recipe.strip())}</pre></details></section>"
    )


def panels(steps: Sequence[Step], checks: Sequence[Check], names: Sequence[str], each: str = "word") -> Iterator[str]:
    """Loss, the scores of these names (the first one chose the weights) and learning rate, as figures of a page.

    A panel without a point is left out; `each` is what the loss is counted by. Where a stage of reward begins or ends,
    an upright line stands in each: its loss cannot be compared, so that what the captions drawn were worth has a panel
    of its own.
    """
    places = Epochs(checks)
    placed = [(places(step.step), step) for step in steps]
    epochs = [(float(check.epoch), check) for check in checks]
    borders = [x for (x, check), (_, after) in pairwise(epochs) if bool(check.drawn) != bool(after.drawn)]
    kept = kept_check(checks)
    at = float(kept.epoch) if kept else 0.0
    loss = [
        curves.Line("each step", curves.thin([(x, step.loss) for x, step in placed if step.reward is None]), "faint"),
        curves.Line("train", [(x, check.train_loss) for x, check in epochs if not check.drawn], "first"),
        curves.Line("dev", [(x, check.dev_loss) for x, check in epochs], "second"),
    ]
    scores = [
        curves.Line(name, [(x, check.scores[name]) for x, check in epochs if name in check.scores], look)
        for name, look in zip(names, ("first", "second"), strict=False)
    ]
    rate = [curves.Line("rate", curves.thin([(x, step.lr) for x, step in placed]), "first")]
    mark = (at, kept.dev_loss) if kept else None
    note = f"per {each}; train counts dropout and smoothing too"
    if any(check.drawn for check in checks):
        note += _OF_REWARD.replace("$from", ", from the upright line on," if borders else "")
    yield _panel("Loss", note, loss, places.name, False, mark, borders)
    mark = (at, kept.scores[names[0]]) if kept and names[0] in kept.scores else None
    note = "a quick look after each epoch; "
    note += "ringed: the weights kept" if kept else "none was better than what it began with, which was kept"
    yield _panel("Scores on dev", note, scores, places.name, True, mark, borders)
    yield _panel("Reward", _REWARD, _rewards(placed, epochs), places.name, False, None, borders)
    yield _panel("Learning rate", "how far each step moves", rate, places.name, True, None, borders)


def _rewards(placed: Sequence[tuple[float, Step]], epochs: Sequence[tuple[float, Check]]) -> list[curves.Line]:
    """What the captions drawn were worth, and what they were compared with."""
    drawn = [(x, check.drawn) for x, check in epochs]
    return [
        curves.Line(
            "each step", curves.thin([(x, step.reward) for x, step in placed if step.reward is not None]), "faint"
        ),
        *(
            curves.Line(name, [(x, means[name]) for x, means in drawn if name in means], look)
            for name, look in zip(REWARDED, ("first", "second"), strict=True)
        ),
    ]


def kept_check(checks: Sequence[Check]) -> Check | None:
    """The check whose weights are the best so far: each better one before it was overtaken."""
    return next((check for check in reversed(checks) if check.best), None)


class Epochs:
    """Where a step lies on the horizontal axis: in epochs once one has ended, else in steps."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._ends = [(0, 0), *((check.step, check.epoch) for check in checks)]
        self.name = "epoch" if checks else "step"

    def __call__(self, step: int) -> float:
        """Where the step lies."""
        if len(self._ends) == 1:
            return float(step)
        after = next((n for n in range(1, len(self._ends)) if step <= self._ends[n][0]), len(self._ends) - 1)
        (s0, e0), (s1, e1) = self._ends[after - 1], self._ends[after]
        return e0 + (e1 - e0) * (step - s0) / max(s1 - s0, 1)


def _panel(
    title: str,
    note: str,
    lines: Sequence[curves.Line],
    x_name: str,
    from_zero: bool,
    mark: curves.Point | None,
    borders: Sequence[float],
) -> str:
    if not any(line.points for line in lines):
        return ""
    drawing = curves.chart(title, lines, x_name, from_zero, mark, borders)
    return f'<figure class="panel"><figcaption><b>{title}</b> {note}</figcaption>{drawing}</figure>'


def _numbers(checks: Sequence[Check], metrics: Sequence[str]) -> str:
    """The curves' numbers as a table, for those who cannot or would rather not read a drawing."""
    if not checks:
        return ""
    names = [name for name in metrics if any(name in check.scores for check in checks)]
    drawn = [name for name in REWARDED if any(name in check.drawn for check in checks)]
    rows = "".join(_epoch(check, names, drawn, check is kept_check(checks)) for check in checks)
    shown = table(("epoch", "step", "train loss", "dev loss", *names, *drawn), rows)
    return f'<details><summary>The numbers behind the curves</summary><div class="wide">{shown}</div></details>'


def _epoch(check: Check, names: Sequence[str], drawn: Sequence[str], kept: bool) -> str:
    scores = (f"{check.scores[name]:.3f}" if name in check.scores else "" for name in names)
    rewards = (f"{check.drawn[name]:.3f}" if name in check.drawn else "" for name in drawn)
    loss = "" if check.drawn else f"{check.train_loss:.3f}"  # of a word; a stage of reward has none
    cells = [f"{check.step:,}", loss, f"{check.dev_loss:.3f}", *scores, *rewards]
    best = ' class="chosen" title="the weights kept"' if kept else ""
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr{best}><th scope="row">{check.epoch}</th>{row}</tr>'


def duration(seconds: float) -> str:
    """A length of time for people.

    >>> duration(42.4), duration(600), duration(3725)
    ('42 s', '10 min', '1 h 02 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
