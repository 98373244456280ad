"""`seesay classify` and the classifier's `seesay evaluate`, as a person meets them."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from seesay.commands.classifying import classify, described
from seesay.commands.describing import Precision, evaluate, report
from seesay.commands.options import OnBad
from seesay.errors import CheckpointError, DataError, RecipeError
from seesay.metrics.classifying import evaluate_labels

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts bytes on standard input."""

    def put(content: bytes, terminal: bool = False) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: terminal))

    return put


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", ""),
        (b"not good .", "neg\n"),
        (b"not good .\r\ngood .\r\n", "neg\npos\n"),
        (b"\xef\xbb\xbfnot bad .\nbad .\n", "pos\nneg\n"),
    ],
    ids=["nothing", "no line end", "of Windows", "a byte order mark"],
)
def test_a_line_is_a_text(
    content: bytes, lines: str, classifier_run: Path, typed: Callable[..., None], capsys: Capture
) -> None:
    typed(content)
    classify(classifier_run)
    assert capsys.readouterr().out == lines


def test_several_labels_have_their_probabilities(
    classifier_run: Path, typed: Callable[..., None], capsys: Capture
) -> None:
    typed(b"good .\n")
    classify(classifier_run, n_best=5)  # more than there are
    first, second = capsys.readouterr().out.removesuffix("\n").split("\t")
    assert first.split()[0] == "pos" and second.split()[0] == "neg"
    assert float(first.split()[1]) + float(second.split()[1]) == pytest.approx(1, abs=0.002)


def test_json_has_texts_labels_and_probabilities(
    classifier_run: Path, typed: Callable[..., None], capsys: Capture
) -> None:
    typed("good caf\u00e9 .\nnot good .\n".encode())
    classify(classifier_run, n_best=2, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [one["text"] for one in found] == ["good caf\u00e9 .", "not good ."]
    assert [one["labels"][0]["label"] for one in found] == ["pos", "neg"]
    assert all(sum(guess["probability"] for guess in one["labels"]) == pytest.approx(1) for one in found)
    typed(b"good .\n")
    classify(classifier_run, as_json=True)
    assert [len(one["labels"]) for one in json.loads(capsys.readouterr().out)] == [1]


def test_a_line_without_words_stops(classifier_run: Path, typed: Callable[..., None]) -> None:
    typed(b"good .\n \n")
    with pytest.raises(DataError, match=r"standard input, line 2: received ' '; expected a text with .* --on-bad skip"):
        classify(classifier_run)


def test_lines_without_words_are_skipped_and_counted(
    classifier_run: Path, typed: Callable[..., None], capsys: Capture
) -> None:
    typed(b"good .\n\n\nbad .\n")
    classify(classifier_run, on_bad=OnBad.SKIP)
    told = capsys.readouterr()
    assert told.out == "pos\n\n\nneg\n"
    assert told.err.splitlines()[0].startswith("skipped: standard input, line 2: received ''")
    assert told.err.splitlines()[2].startswith("skipped 2 of 4 lines")
    typed(b"\ngood .")
    classify(classifier_run, on_bad=OnBad.SKIP, as_json=True)
    assert json.loads(capsys.readouterr().out)[0] == {"text": "", "labels": []}


def test_another_encoding_is_told_with_its_line_or_read(
    classifier_run: Path, typed: Callable[..., None], capsys: Capture
) -> None:
    typed(b"good .\nbad caf\xe9 .\n")
    with pytest.raises(DataError, match=r"standard input, line 2: received bytes that are not UTF-8"):
        classify(classifier_run)
    typed(b"good .\nbad caf\xe9 .\n")
    classify(classifier_run, encoding="latin-1")
    assert capsys.readouterr().out == "pos\nneg\n"


def test_a_wrong_run_is_told_before_anything_is_typed(tmp_path: Path, typed: Callable[..., None]) -> None:
    typed(b"good .\n")
    with pytest.raises(CheckpointError, match=r"none: not found; expected a run folder"):
        classify(tmp_path / "none")
    assert sys.stdin.buffer.tell() == 0


def test_at_a_terminal_it_says_what_it_waits_for(
    classifier_run: Path, typed: Callable[..., None], capsys: Capture
) -> None:
    typed(b"good .\n", terminal=True)
    classify(classifier_run)
    told = capsys.readouterr()
    assert "Ctrl-D" in told.err and told.out == "pos\n"


def test_evaluate_prints_and_keeps_the_scores(classifier_run: Path, tmp_path: Path, capsys: Capture) -> None:
    evaluate(classifier_run, "test", json_file=tmp_path / "scores.json")
    shown = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert shown.startswith(f"accuracy {scores['accuracy']:.4f} of 40 texts, macro F1 {scores['macro_f1']:.4f}\n")
    assert f"labelled texts: {classifier_run / 'predictions' / 'test.tsv'}\n" in shown
    kept = json.loads((classifier_run / "scores" / "test.json").read_text(encoding="utf-8"))
    assert kept == scores | {"checkpoint_step": kept["checkpoint_step"]}


def test_report_shows_the_confusion_and_the_surest_mistakes(
    classifier_run: Path, tmp_path: Path, capsys: Capture
) -> None:
    place = Path(shutil.copytree(classifier_run, tmp_path / "run"))
    report(place)
    assert capsys.readouterr().out == f"report: {place / 'report.html'}\n"
    rows = [["neg", "pos", share, f"text {share}"] for share in ("0.6000", "0.9000", "0.7000", "0.8000")]
    lines = ["\t".join(row) + "\n" for row in [*rows, ["pos", "pos", "0.9900", "a <right> one"]]]
    (place / "predictions" / "dev.tsv").write_text("".join(lines), encoding="utf-8")
    scores = json.loads((place / "scores" / "dev.json").read_text(encoding="utf-8"))
    scores |= evaluate_labels(["neg"] * 4 + ["pos"], ["pos"] * 5).to_json()
    (place / "scores" / "dev.json").write_text(json.dumps(scores), encoding="utf-8")
    report(place)
    page = (place / "report.html").read_text(encoding="utf-8")
    assert "neg found as pos: 4" in page and "accuracy 0.2000" in page and "4 of 4 (100.0%)" in page
    assert [page.find(f"text {share}") >= 0 for share in ("0.6000", "0.7000", "0.8000", "0.9000")] == [
        False,
        *[True] * 3,
    ]
    assert "a &lt;right&gt; one" not in page
    (place / "predictions" / "dev.tsv").write_text("pos\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"dev\.tsv: cannot be read as labels and texts; run 'seesay evaluate' again"):
        report(place)


def test_options_of_captions_are_refused(classifier_run: Path) -> None:
    with pytest.raises(RecipeError, match=r"--precision, --features: received for .*, a classifier"):
        evaluate(classifier_run, precision=Precision.INT8, features=Path("grids.h5"))
    with pytest.raises(RecipeError, match=r"^--with: received for .*, a classifier; expected for a captioner"):
        evaluate(classifier_run, also=[classifier_run])


def test_scores_are_a_line_for_each_of_the_hardest_labels() -> None:
    lines = described(evaluate_labels(["fine", "fine", "[bold]", "a"], ["fine", "a", "fine", "a"]))
    assert lines[0] == "accuracy 0.5000 of 4 texts, macro F1 0.3889"
    assert lines[2].split() == ["[bold]", "0.000", "0.000", "0.000", "1"]
    assert lines[3].split() == ["fine", "0.500", "0.500", "0.500", "2"]
    assert lines[-1] == "most often mistaken: [bold] for fine 1, fine for a 1"  # a right one for a found one
    assert len(described(evaluate_labels(["a"], ["a"]))) == 3
    many = [f"{n:02}" for n in range(30)]
    assert len(described(evaluate_labels(many, many[::-1]))) == 2 + 10 + 1
