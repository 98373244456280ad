"""What every page has: its head with a policy that lets nothing in from elsewhere, its header, tables and foot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from seesay.files import replace_file
from seesay.report.inline import part, source_hash

RUN = "seesay · report of a run"
_ICON = (
    "<link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='7' fill='%23b8461f'/%3E%3Ccircle cx='8' cy='8' r='3' fill='white'/%3E%3C/svg%3E\">"
)


def write_page(path: Path, title: str, body: str, *, pictures: bool = False, script: str = "", notes: str = "") -> Path:
    """Write a page (see `framed`) beside its name and then rename it, so that there is never half of one.

    Raises DataError where it cannot be written.
    """
    page = framed(title, body, pictures=pictures, script=script, notes=notes)
    replace_file(path, page.encode("utf-8", "xmlcharrefreplace"))
    return path


def framed(title: str, body: str, *, pictures: bool = False, script: str = "", notes: str = "") -> str:
    """One self-contained HTML page around `body`, which is finished HTML, as are the `notes` at its foot.

    Its policy allows the style of all pages and this `script`, and `pictures` that stand within it, an icon among
    them; nothing else.

    >>> text = framed("Cats & dogs", "<p>Hello</p>")
    >>> "<title>Cats &amp; dogs</title>" in text, "img-src" in text, "script-src" in text
    (True, False, False)
    """
    style = part("page.css")
    sources = ["img-src data:"] * pictures + [f"style-src {source_hash(style)}"]
    sources += [f"script-src {source_hash(script)}"] if script else []
    return Template(part("frame.html")).substitute(
        policy="; ".join(["default-src 'none'", *sources, "base-uri 'none'", "form-action 'none'"]),
        title=escape(title),
        icon=f"\n{_ICON}" if pictures else "",
        style=style,
        body=body,
        notes=f"{notes}\n" if notes else "",
        script=f"\n<script>{script}</script>" if script else "",
    )


def header(
    brand: str,
    heading: str,
    leads: Sequence[str],
    facts: Mapping[str, str] | None = None,
    notices: Sequence[str] = (),
    more: str = "",
) -> str:
    """The top of a page: what it is about, some sentences that say the most, facts by name, remarks and `more`.

    `leads` and `more` are finished HTML, all else is text.

    >>> header("seesay", "Scores", ["<b>3</b> pictures"])
    '<header><p class="brand">seesay</p><h1>Scores</h1><p class="lead"><b>3</b> pictures</p></header>'
    """
    lead = "".join(f'<p class="lead">{line}</p>' for line in leads)
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in (facts or {}).items()
    )
    listed = f'<dl class="facts">{rows}</dl>' if facts else ""
    told = "".join(f'<aside class="notice"><p>{escape(notice)}</p></aside>' for notice in notices if notice)
    start = f'<header><p class="brand">{escape(brand)}</p><h1>{escape(heading)}</h1>'
    return f"{start}{lead}{listed}{told}{more}</header>"


def table(head: Sequence[str], rows: str, caption: str = "") -> str:
    """A table with these column names; its rows and caption are finished HTML.

    >>> table(["word", "F1"], "<tr><td>dog</td></tr>")[-57:]
    '</tr></thead><tbody><tr><td>dog</td></tr></tbody></table>'
    """
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    told = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{told}<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
