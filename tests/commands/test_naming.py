"""`seesay concepts`, and `seesay evaluate` and `seesay report` of a namer's run, as a person meets them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay.commands.describing import Precision, evaluate, report
from seesay.commands.naming import concepts, described
from seesay.commands.options import OnBad
from seesay.errors import DataError, RecipeError
from seesay.metrics.naming import evaluate_naming
from seesay.namer import Namer


class Eye:
    """An encoder whose grid of 4 regions is the mean colour of the picture, many times."""

    sides = (8,)

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        return np.tile(squares.mean((1, 2))[:, None] / 255, (1, 4, 4)).astype(np.float32)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two photographs, and an encoder that fits the small world's features."""
    monkeypatch.setattr("seesay.photographs.load_encoder", lambda name, engine: Eye())
    paths = [tmp_path / "red.png", tmp_path / "blue.png"]
    for path, colour in zip(paths, ((250, 0, 0), (0, 0, 250)), strict=True):
        Image.new("RGB", (9, 7), colour).save(path)
    return paths


@pytest.fixture
def own_run(naming_run: Path, tmp_path: Path) -> Path:
    """A copy of the run to write into, without what others have evaluated."""
    evaluated = shutil.ignore_patterns("predictions", "scores")
    return Path(shutil.copytree(naming_run, tmp_path / "run", ignore=evaluated))


def test_concepts_are_printed_a_line_each(
    naming_run: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    concepts(naming_run, photos, top=3)
    expected = Namer.open(naming_run).name(list(photos), top=3)
    lines = [
        line
        for photo, named in zip(photos, expected, strict=True)
        for line in (str(photo), *(f"  {word} {chance:.3f}" for word, chance in named))
    ]
    assert capsys.readouterr().out.splitlines() == lines and len(lines) == 8


def test_a_photograph_that_cannot_be_read(
    naming_run: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        concepts(naming_run, [tmp_path / "bad.jpg"])
    concepts(naming_run, [tmp_path / "bad.jpg", photos[0]], on_bad=OnBad.SKIP)
    out, err = capsys.readouterr()
    assert err.startswith("skipped: ") and "bad.jpg" in err and out.startswith(str(photos[0]))
    with pytest.raises(DataError, match=r"^photos: none of 1 could be read, for the reasons above; expected one at le"):
        concepts(naming_run, [tmp_path / "bad.jpg"], on_bad=OnBad.SKIP, as_json=True)
    assert capsys.readouterr().out == "[]\n"


def test_concepts_as_json(naming_run: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    concepts(naming_run, photos, top=2, as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert [each["file"] for each in listed] == list(map(str, photos))
    for each, named in zip(listed, Namer.open(naming_run).name(list(photos), top=2), strict=True):
        assert [(one["concept"], one["probability"]) for one in each["concepts"]] == named


def test_evaluate_prints_map_and_the_best_and_worst(
    own_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(own_run, json_file=tmp_path / "scores.json")
    shown = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text("utf-8"))
    assert scores == json.loads((own_run / "scores" / "dev.json").read_text("utf-8"))
    assert shown.startswith(
        f"mAP {scores['mAP']:.4f} over {len(scores['per_concept'])} concepts and 4 pictures (chance "
    )
    assert f"likeliest concepts: {own_run / 'predictions' / 'dev.json'}\n" in shown


def test_described_best_and_worst() -> None:
    words = [f"w{n:02}" for n in range(30)]
    shown = np.arange(40)[:, None] % 2 == np.zeros((1, 30), int)
    chances = np.where(shown, 1.0, 0.0) * (np.arange(30) < 15) + np.where(shown, 0.0, 1.0) * (np.arange(30) >= 15)
    lines = described(
        evaluate_naming([*words, "none"], np.pad(shown, ((0, 0), (0, 1))), np.pad(chances, ((0, 0), (0, 1))))
    )
    assert lines[0].startswith("mAP 0.") and lines[0].endswith("over 30 concepts and 40 pictures (chance 0.5000)")
    assert lines[1] == "not judged: 1 concepts that none of these pictures shows"
    assert [line.split()[0] for line in lines[3:13]] == words[:10]
    assert lines[3].split() == ["w00", "1.000", "20"]
    assert [line.split()[0] for line in lines[14:]] == words[20:]


def test_options_of_captions_are_refused(naming_run: Path) -> None:
    with pytest.raises(RecipeError, match=r"--beam, --precision: received for .*, a namer; expected for a captioner"):
        evaluate(naming_run, beam=3, precision=Precision.BF16)
    with pytest.raises(RecipeError, match=r"^--with: received for .*, a namer; expected for a captioner"):
        evaluate(naming_run, also=[naming_run])


def test_the_report_shows_photographs_with_their_concepts(
    own_run: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [record["file"] for record in json.loads((world / "captions.json").read_text("utf-8"))]
    (tmp_path / "photos").mkdir()
    for name in names:
        Image.new("RGB", (30, 20), (9, 99, 199)).save(tmp_path / "photos" / name)
    recipe = (own_run / "recipe.toml").read_text("utf-8")
    (own_run / "recipe.toml").write_text(
        recipe.replace('pictures = ""', f'pictures = "{tmp_path / "photos"}"'), "utf-8"
    )
    report(own_run)
    assert capsys.readouterr().out == f"report: {own_run / 'report.html'}\n"
    page = (own_run / "report.html").read_text("utf-8")
    scores = json.loads((own_run / "scores" / "dev.json").read_text("utf-8"))
    assert f"<dd>{scores['mAP']:.4f}</dd>" in page and "<script" not in page
    items = json.loads((own_run / "predictions" / "dev.json").read_text("utf-8"))["items"]
    assert page.count("data:image/jpeg;base64") == len(items) == 4
    for item in items:
        assert f'alt="Photograph {item["file"]}"' in page
    word, chance = items[0]["concepts"][0].values()
    assert word in items[0]["named"] and f"<li><b>{word}</b> {chance:.2f}</li>" in page
    assert "<b>Scores on dev</b>" in page and ">mAP " in page


def test_a_report_names_again_only_what_is_not_current(own_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(own_run)
    file = own_run / "predictions" / "dev.json"
    content = json.loads(file.read_text("utf-8"))
    content["items"][0]["concepts"][0]["concept"] = "<zebra>"
    file.write_text(json.dumps(content), "utf-8")
    report(own_run)
    assert "&lt;zebra&gt;" in (own_run / "report.html").read_text("utf-8"), "what is there is taken, and escaped"
    file.write_text(json.dumps(content | {"checkpoint_step": 1}), "utf-8")
    report(own_run)
    assert "zebra" not in (own_run / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("items"),
        lambda content: content["items"][0].update(file="../secret.jpg"),
        lambda content: content["items"][0].update(concepts=["dog"]),
        lambda content: content["items"][0].update(named=None),
    ],
    ids=["no items", "a file outside", "no chances", "nothing named"],
)
def test_damaged_predictions_are_told(own_run: Path, change: Callable[[dict[str, object]], object]) -> None:
    report(own_run)
    file = own_run / "predictions" / "dev.json"
    content = json.loads(file.read_text("utf-8"))
    change(content)
    file.write_text(json.dumps(content), "utf-8")
    with pytest.raises(DataError, match=r"dev\.json: not what a namer found.*; run it again\."):
        report(own_run)
