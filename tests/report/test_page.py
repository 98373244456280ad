import base64
import hashlib
import html
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from seesay.errors import DataError
from seesay.report import read_credits, write_report
from seesay.report.credits import COCO_CAPTIONS
from seesay.report.reading import Check

Make = Callable[..., Path]
HOSTILE = '</title><script>alert("x")</script> $style ${script}'


class Page(HTMLParser):
    """What a browser would make of the page: its tags, its text, and whether each tag is closed."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(make_run: Make, demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    run = make_run(tmp_path_factory.mktemp("runs") / "first-light", count=16)
    credits = read_credits(demo_folder / "captions.json", COCO_CAPTIONS)
    path = write_report(run, demo_folder / "images", credits, "Sixty photographs teach little.")
    assert path == run / "report.html"
    assert sorted(file.name for file in run.iterdir() if file.is_file()) == [
        "log.jsonl", "recipe.toml", "report.html", "timings.jsonl", "vocabulary.json",
    ]  # fmt: skip
    return path.read_text(encoding="utf-8")


def test_the_page_says_in_words_what_was_reached(text: str) -> None:
    words = html.unescape(re.sub(r"<[^>]+>", "", text))
    assert "After 9 epochs of training, attend_tell describes 16 photographs kept aside from training (dev)" in words
    assert "with CIDEr-D 0.694 and Bleu_4 0.125, searching with a beam of 5." in words
    assert "All 16 pictures of dev: every picture, best first." in words
    assert "Sixty photographs teach little." in words and "seesay-0.1|ptb-1" in words
    assert "<h1>first-light</h1>" in text and "hidden_size = 512" in text


def test_every_metric_says_what_it_means(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    file = run / "scores" / "dev.json"
    scores = json.loads(file.read_text(encoding="utf-8"))
    scores["corpus"] |= {"METEOR": 0.25, "CIDEr": 0.875, "SPICE": 0.5}
    file.write_text(json.dumps(scores), encoding="utf-8")
    text = write_report(run, None).read_text(encoding="utf-8")
    for name, value, means in (
        ("METEOR", "0.250", "word matches, stems, synonyms and paraphrases, weighed by order; 0 to 1"),
        ("CIDEr", "0.875", "CIDEr-D without clipping and length penalty"),
        ("SPICE", "0.500", ""),
    ):
        assert f'<th scope="row">{name}</th><td>{value}</td><td class="means">{means}</td>' in text


def test_every_picture_has_its_card_overlays_and_credit(text: str) -> None:
    page = Page(text)
    assert page.open == []
    classes = [attributes.get("class") for _, attributes in page.tags]
    assert classes.count("card") == 16 == classes.count("credit") == classes.count("photo")
    assert classes.count("thumb") == classes.count("glow") == classes.count("word") > 16 * 5
    assert text.count("captions: <a ") == 16


def test_the_page_loads_nothing_from_elsewhere(text: str) -> None:
    for tag, attributes in Page(text).tags:
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            value = attributes.get(name)
            if value is None:
                continue
            if tag == "a":
                assert value.startswith("#") or attributes["rel"] == "noopener noreferrer"
            else:
                assert value.startswith(("data:image/", "#")), f"<{tag} {name}={value[:40]}>"
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert "url(" not in text and "@import" not in text


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(text: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy and "default-src 'none'" in policy[1] and "unsafe" not in policy[1]
    for tag in ("style", "script"):
        (part,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_the_page_can_be_used_without_sight_or_mouse(text: str) -> None:
    tags = Page(text).tags
    assert [attributes["lang"] for tag, attributes in tags if tag == "html"] == ["en"]
    assert all("alt" in attributes for tag, attributes in tags if tag == "img")
    assert all(attributes["alt"] for _, attributes in tags if attributes.get("class") == "photo")
    assert all(attributes.get("aria-label") for _, attributes in tags if attributes.get("class") == "chart")
    headings = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1 and headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_sixteen_pictures_stay_under_three_megabytes(text: str) -> None:
    assert len(text) < 3_000_000


def test_the_kept_weights_are_marked_once(text: str) -> None:
    (row,) = re.findall(r'<tr class="chosen" title="the weights kept"><th scope="row">(\d+)</th>', text)
    assert row == "9" and text.count('class="ring"') == 2, "in the losses and in the scores"


def test_a_run_without_attention_does_not_speak_of_maps(make_run: Make, tmp_path: Path) -> None:
    one = {"text": "a dog", "score": 0.0, "tokens": ["a", "dog"], "attention": None}
    text = write_report(make_run(tmp_path, count=1, captions=[one]), None).read_text(encoding="utf-8")
    assert ">What it says</h2>" in text and "The maps show" not in text and 'class="thumb' not in text
    assert "1 photograph kept aside" in text


def test_the_same_run_gives_the_same_page(make_run: Make, demo_pictures: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    first = write_report(run, demo_pictures).read_bytes()
    assert write_report(run, demo_pictures).read_bytes() == first


def test_a_large_run_says_what_is_left_out(make_run: Make, tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path, count=100), None).read_text(encoding="utf-8")
    assert text.count('<article class="card"') == 36
    assert (
        "36 of the 100 pictures of dev: the 12 with the highest CIDEr-D; "
        "12 drawn at random from the other 76; the 12 with the lowest CIDEr-D." in text
    )


def test_hostile_text_stays_text(make_run: Make, tmp_path: Path) -> None:
    one = {"text": HOSTILE, "score": 0.0, "tokens": [HOSTILE], "attention": None}
    run = make_run(tmp_path / "<b>", id=HOSTILE, captions=[one, one], references=[HOSTILE])
    (run / "recipe.toml").write_text(f"name = 'x'\nmodel = '''{HOSTILE}'''\n", encoding="utf-8")
    for part in ("predictions", "scores"):
        page: dict[str, Any] = json.loads((run / part / "dev.json").read_text(encoding="utf-8"))
        changed = json.dumps(page | {"split": HOSTILE, "signature": HOSTILE})
        (run / part / "dev.json").write_text(changed, encoding="utf-8")
    text = write_report(run, None, notice=HOSTILE).read_text(encoding="utf-8")
    assert Page(text).open == []
    assert text.count("<script>") == 1 and "<b></h1>" not in text and "<h1>&lt;b&gt;</h1>" in text
    assert text.count(html.escape(HOSTILE)) >= 8


def test_a_failed_report_leaves_the_old_one(make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path)
    (run / "report.html").write_text("old", encoding="utf-8")
    with pytest.raises(DataError):
        write_report(run, tmp_path / "no-pictures-here")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="cannot be written \\(No space"):
        write_report(run, None)
    assert (run / "report.html").read_text(encoding="utf-8") == "old"
    assert not list(run.glob(".report*"))


@pytest.mark.parametrize(
    ("decoding", "words"),
    [
        ({"method": "greedy", "beam": 5}, "taking the likeliest word each time."),
        ({"method": "sample", "beam": 5}, "drawing its words at random."),
        ({"method": "beam", "beam": 3}, "searching with a beam of 3."),
        ({}, "Bleu_4 0.125</b>."),
    ],
)
def test_the_summary_says_how_sentences_were_found(
    make_run: Make, tmp_path: Path, decoding: dict[str, Any], words: str
) -> None:
    run = make_run(tmp_path)
    file = run / "predictions" / "dev.json"
    page = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(page | {"decoding": decoding}), encoding="utf-8")
    assert words in write_report(run, None).read_text(encoding="utf-8")


def test_a_log_without_an_epoch_is_drawn_over_steps(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    steps = "".join(f'{{"event": "step", "step": {n}, "loss": {9 - n}, "lr": 1e-3}}\n' for n in (1, 2, 3))
    (run / "log.jsonl").write_text(steps, encoding="utf-8")
    text = write_report(run, None).read_text(encoding="utf-8")
    assert ">step</text>" in text and "After step 270, " in text and "Scores on dev" not in text


def test_steps_lie_between_the_epochs_they_belong_to() -> None:
    from seesay.report.learning import Epochs

    places = Epochs([Check(step, epoch, 1.0, 1.0, {}, False) for step, epoch in ((10, 1), (30, 2))])
    assert [places(step) for step in (0, 5, 10, 20, 30, 40)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_a_browser_shows_the_page(make_run: Make, demo_pictures: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    page = write_report(make_run(tmp_path / "run"), demo_pictures)
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "Content Security Policy" not in done.stderr and "Uncaught" not in done.stderr
    assert '<button class="play" type="button">' in done.stdout, "the script ran"
