"""The page of scores says what the study found, loads nothing, and runs nothing that a caption holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.metrics.study import study
from seesay.report.scores import write_scores

REFERENCES = {str(i): [f"a dog number {i} runs", f"dog {i}"] for i in range(40)}
GOOD = {i: texts[0] for i, texts in REFERENCES.items()}
BAD = dict.fromkeys(REFERENCES, "a cat <script>alert(1)</script> & co")
METRICS = ["BLEU", "CIDEr-D"]


class Text(HTMLParser):
    """The words of a page, and the tags it has."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(path: Path) -> Text:
    page = Text()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_the_page_shows_scores_intervals_and_the_comparison(tmp_path: Path) -> None:
    found = study(BAD, REFERENCES, GOOD, ["a dog"], metrics=METRICS)
    write_scores(tmp_path / "s.html", found, BAD, REFERENCES, ("bad.json", "good.json"))
    page = read(tmp_path / "s.html")
    words = " ".join(page.words)
    assert found.comparison is not None
    for name, comparison in found.comparison.items():
        assert f"{name} {comparison.first:.4f} {comparison.second:.4f} {comparison.difference:+.4f}" in words
        assert f"{found.intervals[name].low:.4f} to {found.intervals[name].high:.4f}" in words
    assert "Scores of bad.json" in words and "Against good.json" in words and found.evaluation.signature in words
    assert "novel 1.0000" in words and "unique 0.0250" in words
    assert BAD["0"] in words and "script" not in page.tags
    assert {"The best", "The worst"} <= set(page.words)


def test_a_page_without_a_comparison_lists_all_of_few_pictures(tmp_path: Path) -> None:
    few = {i: GOOD[i] for i in list(GOOD)[:3]}
    references = {i: REFERENCES[i] for i in few}
    write_scores(tmp_path / "s.html", study(few, references, metrics=METRICS), few, references)
    text = (tmp_path / "s.html").read_text(encoding="utf-8")
    page = read(tmp_path / "s.html")
    assert text.count('<div class="wide texts">') == 1  # captions and references begin at the left, numbers end right
    assert "All, best first" in page.words and "Against" not in text
    assert all(caption in page.words for caption in few.values())
    assert not re.search(r'(?:src|href)="(?!data:)', text) and "default-src 'none'" in text


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    found = study(GOOD, REFERENCES, metrics=["BLEU"])
    with pytest.raises(DataError, match="cannot be written"):
        write_scores(tmp_path / "none" / "s.html", found, GOOD, REFERENCES)
