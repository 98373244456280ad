"""The frame of pages: a policy for just what stands in them, text that stays text, and files that are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.report.frame import framed, header, table, write_page
from seesay.report.inline import part, source_hash

EVIL = "<script>alert(1)</script> & $style ${body}"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt; &amp; $style ${body}"


def policy(page: str) -> list[str]:
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert found
    return found[1].split("; ")


@pytest.mark.parametrize("pictures", [False, True], ids=["text", "pictures"])
@pytest.mark.parametrize("script", ["", "let a = 1;"], ids=["still", "script"])
def test_the_policy_allows_what_stands_in_the_page_and_nothing_else(pictures: bool, script: str) -> None:
    page = framed("Title", "<p>body</p>", pictures=pictures, script=script)
    allowed = ["img-src data:"] if pictures else []
    allowed += [f"style-src {source_hash(part('page.css'))}"]
    allowed += [f"script-src {source_hash(script)}"] if script else []
    assert policy(page) == ["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"]
    assert f"<style>{part('page.css')}</style>" in page
    assert page.count(f"<script>{script}</script>") == page.count("<script") == bool(script)
    assert page.count('<link rel="icon" href="data:image/svg+xml,') == page.count("href=") == pictures


def test_body_and_notes_are_taken_as_they_are_and_the_title_is_text() -> None:
    page = framed(EVIL, "<p>$title</p>", notes="<p>${notes}</p>")
    assert f"<title>{SAFE}</title>" in page and "<script" not in page
    assert page.index("<main>") < page.index("<p>$title</p>") < page.index("<footer>") < page.index("<p>${notes}</p>")
    assert page.count("loads nothing from elsewhere") == 1


def test_a_header_has_what_is_given_and_its_text_is_text() -> None:
    full = header(EVIL, EVIL, ["<b>one</b>", "two"], {EVIL: EVIL}, [EVIL, ""], "<nav></nav>")
    assert full == (
        f'<header><p class="brand">{SAFE}</p><h1>{SAFE}</h1><p class="lead"><b>one</b></p><p class="lead">two</p>'
        f'<dl class="facts"><div><dt>{SAFE}</dt><dd>{SAFE}</dd></div></dl>'
        f'<aside class="notice"><p>{SAFE}</p></aside><nav></nav></header>'
    )
    assert header("a", "b", []) == '<header><p class="brand">a</p><h1>b</h1></header>'


def test_a_table_has_its_caption_only_where_there_is_one() -> None:
    head = f'<thead><tr><th scope="col">{SAFE}</th></tr></thead>'
    assert table([EVIL], "<tr></tr>") == f"<table>{head}<tbody><tr></tr></tbody></table>"
    assert table([EVIL], "", "All") == f"<table><caption>All</caption>{head}<tbody></tbody></table>"


def test_letters_that_are_not_unicode_do_not_stop_a_page(tmp_path: Path) -> None:
    file = write_page(tmp_path / "page.html", "a", "name \udcff \u2713")
    assert file.read_bytes().count("name &#56575; \u2713".encode()) == 1
    with pytest.raises(DataError, match="cannot be written"):
        write_page(tmp_path / "none" / "page.html", "a", "b")
