"""The page about labels: what it shows, that it is whole, and that nothing of a word becomes part of the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.report.inline import part, source_hash
from seesay.report.labels import Labelled, write_label_report

EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Its tags and its text, and whether each tag is closed."""

    VOID = ("meta", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name == "style" or name.startswith("on") for name, _ in attrs)  # the policy forbids them
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "my-tagger"
    folder.mkdir()
    (folder / "recipe.toml").write_text('name = "x"\n[model]\nname = "bilstm_tagger"\n', encoding="utf-8")
    rows = [
        {"event": "step", "step": 10, "epoch": 1, "loss": 2.0, "lr": 1e-3},
        {"event": "check", "step": 20, "epoch": 1, "train_loss": 2.0, "dev_loss": 2.5, "best": True,
         "scores": {"accuracy": 0.8, "F1": 0.25}},
    ]  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "timings.jsonl").write_text('{"seconds": 75}\n', encoding="utf-8")
    return folder


def labelled(word: str = "dog") -> Labelled:
    return Labelled(
        split="dev",
        things="12 words",
        scores={"F1": 0.25, "accuracy": 0.75},
        tables=[("Tag by tag", ("tag", "F1"), [["NN", "0.500"], [word, "0.100"]])],
        counts={"NN": {"NN": 9, "VB": 2}, "VB": {"NN": 1}},
        examples={("NN", "VB"): [("the", word, "barks")]},
        notes=["3 words have a tag"],
    )


def test_the_page_shows_scores_picture_curves_and_mistakes(run: Path) -> None:
    page = Page(write_label_report(run, [labelled()], ("F1", "accuracy"), "word").read_text(encoding="utf-8"))
    for shown in ("my-tagger", "bilstm_tagger", "F1 0.2500", "accuracy 0.7500", "On 12 words of dev", "75 s", "0.500"):
        assert shown in page.text, shown
    assert page.text.count("found as VB: 2") == 2  # the square's title and the heading
    assert "the dog barks" in page.text and "The commonest of 3 mistakes" in page.text
    assert page.text.index("NN found as VB: 2 of") < page.text.index("VB found as NN: 1")
    assert page.tags.count("svg") == 4  # the picture and three panels
    assert "3 words have a tag" in page.text


def test_it_loads_nothing_and_allows_its_own_style_alone(run: Path) -> None:
    text = write_label_report(run, [labelled()], ("accuracy",), "word").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith(f"default-src 'none'; style-src {source_hash(part('page.css'))};")
    assert not re.search(r"(src|href)=", text)


def test_whatever_stands_in_words_is_text(run: Path) -> None:
    text = write_label_report(run, [labelled(EVIL)], ("accuracy",), "word", EVIL).read_text(encoding="utf-8")
    assert "<script" not in text and text.count("&lt;script&gt;") == 3


def test_a_run_without_a_mistake_says_so(run: Path) -> None:
    perfect = Labelled("dev", "9 words", {"accuracy": 1.0}, [], {"NN": {"NN": 9}})
    assert "Not one mistake." in write_label_report(run, [perfect], ("accuracy",), "word").read_text(encoding="utf-8")


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"recipe\.toml: No such file or directory; a run folder holds the recipe"):
        write_label_report(tmp_path, [labelled()], ("accuracy",), "word")
