"""`seesay ask`, and the other commands on a run that asks, from photographs on."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seesay.commands.asking import ask
from seesay.commands.describing import evaluate, report
from seesay.commands.training import train
from seesay.errors import DataError, RecipeError
from seesay.progress import print_ask_scores
from seesay.tasks import asking
from seesay.vision.extraction import extract

DATA = """
seed = 1
name = "{0}"
task = "{0}"
[data]
features = "grids.h5"
{1}
[model]
name = "{2}"
hidden_size = 16
[[stages]]
epochs = 2
pictures_per_batch = 3
warmup = 2
"""


@pytest.fixture(scope="module")
def place(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """8 photographs with questions, and runs/ask, all by command."""
    folder = tmp_path_factory.mktemp("asked")
    records = json.loads((demo_folder / "captions.json").read_text(encoding="utf-8"))[:8]
    (folder / "photos").mkdir()
    for number, record in enumerate(records):
        shutil.copy(demo_folder / "images" / record["file"], folder / "photos")
        record["split"] = "train" if number < 6 else "dev"
    (folder / "captions.json").write_text(json.dumps(records), encoding="utf-8")
    for record in records:
        record["questions"] = [f"What does number {record['split']} show?", "Where does it belong to?"]
        record["vqa"] = [{"question": "What colour is it?", "answer": "red"}]
    (folder / "questions.json").write_text(json.dumps(records), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        extract(folder / "photos", folder / "grids.h5")
        concepts = DATA.format("concepts", 'captions = "captions.json"\nconcept_count = 9', "concept_head")
        (folder / "concepts.toml").write_text(concepts, encoding="utf-8")
        data = 'questions = "questions.json"\nconcepts = "runs/concepts"\npictures = "photos"'
        (folder / "ask.toml").write_text(DATA.format("ask", data, "ivqa"), encoding="utf-8")
        for name in ("concepts", "ask"):
            train(f"{name}.toml")
        yield folder


@pytest.fixture
def photos(place: Path) -> list[Path]:
    return sorted((place / "photos").iterdir())[:2]


Capture = pytest.CaptureFixture[str]


def test_questions_about_photographs(place: Path, photos: list[Path], capsys: Capture) -> None:
    ask(place / "runs/ask", photos, n_best=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [str(photo) for photo in photos]
    assert all("?   (-" in line for line in lines if line.startswith("  "))


def test_questions_as_json(place: Path, photos: list[Path], capsys: Capture) -> None:
    ask(place / "runs/ask", photos, answer="red", n_best=4, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [set(one) for one in found] == [{"file", "answer", "questions"}] * 2
    assert found[0]["file"] == str(photos[0]) and found[0]["answer"] == "red"
    for one in found:
        texts = [question["text"] for question in one["questions"]]
        assert 1 <= len(texts) <= 4 and len(set(texts)) == len(texts)
    ask(place / "runs/ask", photos[:1], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["answer"] is None


def test_a_photograph_that_cannot_be_read(place: Path, photos: list[Path], tmp_path: Path, capsys: Capture) -> None:
    from seesay.commands.options import OnBad

    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        ask(place / "runs/ask", [tmp_path / "bad.jpg"])
    ask(place / "runs/ask", [tmp_path / "bad.jpg", photos[0]], on_bad=OnBad.SKIP)
    out, err = capsys.readouterr()
    assert err.startswith("skipped: ") and "bad.jpg" in err and out.startswith(str(photos[0]))
    with pytest.raises(DataError, match=r"^photos: none of 1 could be read, for the reasons above; expected one at le"):
        ask(place / "runs/ask", [tmp_path / "bad.jpg"], on_bad=OnBad.SKIP, as_json=True)
    assert capsys.readouterr().out == "[]\n"


def test_an_unknown_answer(place: Path, photos: list[Path]) -> None:
    with pytest.raises(RecipeError, match="--answer: received 'zebra'"):
        ask(place / "runs/ask", photos, answer="zebra")


def test_scores_and_report(place: Path, capsys: Capture) -> None:
    evaluate(place / "runs/ask", json_file=place / "scores.json")
    out = capsys.readouterr().out
    assert "any answer" in out and "the true answer" in out and "BLEU is COCO's" in out.replace("\n", " ")
    assert f"questions: {place / 'runs/ask/predictions/dev.json'}" in out.replace("\n", "")
    assert "the ranking test is left out: too few different questions" in out.replace("\n", " ")
    assert {"corpus", "answered", "diversity", "ranking"} <= json.loads(
        (place / "scores.json").read_text("utf-8")
    ).keys()
    report(place / "runs/ask")
    page = (place / "runs/ask/report.html").read_text(encoding="utf-8")
    assert "asks about" in page and "Where it looked for" in page


def test_the_ranking_test_is_printed_in_both_ways(place: Path, capsys: Capture) -> None:
    scores, _ = asking.evaluate(place / "runs/ask")
    ranks = {"Rank-1": 0.25, "Rank-3": 0.5, "mean_rank": 8.0}
    other = {f"{key} per word": value / 2 for key, value in ranks.items()}
    print_ask_scores(dataclasses.replace(scores, ranking={"any": {**ranks, **other, "questions": 1200.0}}))
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "the true one among 24, of 1,200 questions without an answer (by chance 0.042, 0.125, 12.5)",
        "  by probability, as the paper does: Rank-1 0.250, Rank-3 0.500, mean_rank 8.000",
        "  by a word's mean log-probability: Rank-1 0.125, Rank-3 0.250, mean_rank 4.000",
    ]


@pytest.mark.parametrize(
    ("option", "value", "flag"),
    [("captions", Path("x"), "--captions"), ("features", Path("x"), "--features"), ("also", [Path("x")], "--with")],
    ids=["captions", "features", "with"],
)
def test_options_of_captioners_are_refused(option: str, value: object, flag: str, place: Path) -> None:
    call: Callable[..., None] = evaluate
    with pytest.raises(RecipeError, match=f"{flag}: received for .*, an asker; expected for a captioner; omit it"):
        call(place / "runs/ask", **{option: value})
