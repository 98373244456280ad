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


def test_without_photographs_no_map_is_promised(make_run: Make, text: str, tmp_path: Path) -> None:
    alone = write_report(make_run(tmp_path), None).read_text(encoding="utf-8")
    assert '<h2 id="pictures">What it says, and where it looks</h2>' in text and "The maps show" in text
    assert '<h2 id="pictures">What it says</h2>' in alone and "The maps show" not in alone
    told = "Name the folder of the photographs as <code>data.pictures</code> in the recipe.toml of the run"
    assert told in alone and told not in text


def test_of_questions_the_page_speaks_as_of_questions(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    file = run / "predictions" / "dev.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | {"task": "ask"}), encoding="utf-8")
    words = html.unescape(write_report(run, None).read_text(encoding="utf-8"))
    assert "agreement with people's questions, rare words weighing more; 0 to 10" in words
    assert "longest common sequence of words with one of people's questions; 0 to 1" in words
    assert "human caption" not in words


def test_of_captions_the_page_speaks_as_of_captions(text: str) -> None:
    assert "agreement with the human captions, rare words weighing more; 0 to 10" in text
    assert "longest common sequence of words with one of the human captions; 0 to 1" in text


def panel_of(text: str, title: str) -> str:
    (found,) = re.findall(rf'<figure class="panel"><figcaption><b>{title}</b>.*?</figure>', text)
    return str(found)


def test_a_stage_of_reward_breaks_the_loss_and_has_a_chart_of_its_own(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        if row["epoch"] > 8:  # of 12
            told = {"reward": 0.1 * row["epoch"], "baseline": 0.05 * row["epoch"], "length": 9.0}
            row |= {"train_loss": 0.0017, "drawn": told} if row["event"] == "check" else {"loss": 0.001, **told}
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = write_report(run, None).read_text(encoding="utf-8")
    loss, reward = panel_of(text, "Loss"), panel_of(text, "Reward")
    assert "a stage of reward, from the upright line on, has a loss of another kind, which is not drawn" in loss
    assert re.search(r'aria-label="Loss: each step ends at [0-9.]+; train ends at 2.27; dev ends at 3.23"', loss)
    assert "train 2.27 at 8" in loss and "dev 3.23 at 12" in loss and " at 9" not in loss.replace("dev 3.24 at 9", "")
    assert 'aria-label="Reward: each step ends at 1.2; reward ends at 1.2; baseline ends at 0.6"' in reward
    assert [panel_of(text, name).count('class="border"') for name in ("Loss", "Scores on dev", "Learning rate")] == [
        1
    ] * 3
    numbers = re.findall(r'<th scope="row">(\d+)</th>((?:<td>[^<]*</td>)+)', text)
    cells = {epoch: re.findall(r"<td>([^<]*)</td>", row) for epoch, row in numbers}
    assert cells["8"][1] == "2.273" and cells["8"][-2:] == ["", ""]
    assert cells["9"][1] == "" and cells["9"][-2:] == ["0.900", "0.450"]


def test_a_run_of_reward_alone_has_no_border(make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    drawn = [row | {"drawn": {"reward": 0.5, "baseline": 0.5}} for row in rows if row["event"] == "check"]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in drawn), encoding="utf-8")
    loss = panel_of(write_report(run, None).read_text(encoding="utf-8"), "Loss")
    assert "; a stage of reward has a loss of another kind, which is not drawn" in loss and 'class="border"' not in loss
    assert 'aria-label="Loss: dev ends at 3.23"' in loss


def test_without_a_stage_of_reward_there_is_no_chart_of_it(text: str) -> None:
    assert "<b>Reward</b>" not in text and 'class="border"' not in text and "stage of reward" not in text


@pytest.mark.parametrize("step", [0, 270])
def test_only_a_run_that_was_trained_has_a_log(step: int, make_run: Make, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "log.jsonl").unlink()
    file = run / "predictions" / "dev.json"
    page = json.loads(file.read_text(encoding="utf-8")) | {"checkpoint_step": step}
    file.write_text(json.dumps(page), encoding="utf-8")
    if step:
        with pytest.raises(DataError, match=r"log\.jsonl: No such file or directory; expected the log of a run"):
            write_report(run, None)
    else:
        text = write_report(run, None, notice="By others.").read_text(encoding="utf-8")
        assert "By others." in text and "How it learned" not in text


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
