"""`seesay tag` and the tagger's `seesay evaluate`, as a person meets them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seesay.commands.describing import Precision, evaluate
from seesay.commands.tagging import tag
from seesay.errors import CheckpointError, DataError, RecipeError
from seesay.metrics.tagging import evaluate_tags
from seesay.progress import print_tag_scores
from seesay.recipe import AnyRecipe
from seesay.run import train


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
        (b"they run", "they\tPRP\nrun\tVB\n\n"),
        (b"they run\r\n", "they\tPRP\nrun\tVB\n\n"),
        (b"\xef\xbb\xbfthey run\n", "they\tPRP\nrun\tVB\n\n"),  # a byte order mark is no part of the first word
        (b"they\n\nthey\n", "they\tPRP\n\n\nthey\tPRP\n\n"),
    ],
    ids=["nothing", "no line end", "of Windows", "a byte order mark", "a blank line"],
)
def test_a_line_is_a_sentence(
    content: bytes, lines: str, tagger_run: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(content)
    tag(tagger_run)
    assert capsys.readouterr().out == lines


def test_only_a_line_feed_ends_a_sentence(
    tagger_run: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed("they run\u2028walk\x85 .\n".encode())
    tag(tagger_run)
    assert capsys.readouterr().out.count("\n\n") == 1


def test_what_is_not_utf8_is_told_with_its_line(tagger_run: Path, typed: Callable[..., None]) -> None:
    typed(b"they run\nthe caf\xe9 .\n")
    with pytest.raises(DataError, match=r"standard input, line 2: .* not UTF-8 \(.*\); expected text in UTF-8; name"):
        tag(tagger_run)


def test_text_of_another_encoding_is_read_where_it_is_named(
    tagger_run: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(b"they run caf\xe9\n")
    tag(tagger_run, encoding="latin-1")
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["they", "run", "café", ""]


def test_json_holds_the_words_and_their_tags(
    tagger_run: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(b"they run\n\n")
    tag(tagger_run, as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"words": ["they", "run"], "tags": ["PRP", "VB"]},
        {"words": [], "tags": []},
    ]


def test_a_sentence_too_long_is_told_by_its_beginning(tagger_run: Path, typed: Callable[..., None]) -> None:
    typed(b"they run\n" + b"walk " * 10_001)
    with pytest.raises(DataError, match=r"sentence 'walk walk walk \.\.\.': received 10,001 words; expected at most"):
        tag(tagger_run)


def test_a_wrong_run_is_told_before_anything_is_typed(tmp_path: Path, typed: Callable[..., None]) -> None:
    typed(b"they run\n")
    with pytest.raises(CheckpointError, match=r"none: not found; expected a run folder.*; check the path"):
        tag(tmp_path / "none")
    assert sys.stdin.buffer.tell() == 0


def test_at_a_terminal_it_says_what_it_waits_for(
    tagger_run: Path, typed: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(b"they run\n", terminal=True)
    tag(tagger_run)
    told = capsys.readouterr()
    assert "Ctrl-D" in told.err and told.out == "they\tPRP\nrun\tVB\n\n"


def test_options_of_captions_are_refused(tagger_run: Path) -> None:
    with pytest.raises(RecipeError, match=r"--beam, --precision: received for .*, a tagger"):
        evaluate(tagger_run, beam=3, precision=Precision.BF16)
    with pytest.raises(RecipeError, match=r"^--with: received for .*, a tagger; expected for a captioner; omit it\.$"):
        evaluate(tagger_run, also=[tagger_run])


def test_a_tag_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("[/X]", ":dog:", "[bold]")  # each means something to what prints the table
    print_tag_scores(evaluate_tags([names], [names[::-1]]))
    shown = capsys.readouterr().out
    assert [name for name in names if name not in shown] == []
    assert "[bold] for [/X] 1" in shown or "[/X] for [bold] 1" in shown


def test_one_sentence_cannot_be_parted(tagging: Callable[..., AnyRecipe], tmp_path: Path) -> None:
    (tmp_path / "one.conll").write_text("they\tPRP\n\n", encoding="utf-8")
    data = [f'data.train="{tmp_path / "one.conll"}"', 'data.dev=""']
    with pytest.raises(DataError, match=r"one\.conll: received 1 sentences and a share of"):
        list(train(tagging("numpy", *data), tmp_path / "run"))


def test_frames_are_tagged_from_a_file(
    tagging: Callable[..., AnyRecipe], tagger_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = {f"{name}/frames": np.eye(2)[ids] for name, ids in (("a", [0, 1, 1]), ("b", [1]), ("c", [0]))}
    labels = {f"{name}/labels": np.array(tags) for name, tags in (("a", list("xyy")), ("b", ["y"]), ("c", ["x"]))}
    np.savez(tmp_path / "train.npz", **arrays, **labels)
    np.savez(tmp_path / "new.npz", **arrays)
    data = [f'data.{name}="{tmp_path}/train.npz"' for name in ("train", "dev")]
    settings = ["stages.0.epochs=15", "stages.0.sentences_per_batch=1", "stages.0.label_smoothing=0.0"]
    list(train(tagging("torch", *data, *settings), tmp_path / "run"))
    tag(tmp_path / "run", frames=tmp_path / "new.npz")
    assert capsys.readouterr().out == "a:0\tx\na:1\ty\na:2\ty\n\nb:0\ty\n\nc:0\tx\n\n"
    tag(tmp_path / "run", frames=tmp_path / "new.npz", as_json=True)
    assert json.loads(capsys.readouterr().out)[:2] == [
        {"name": "a", "tags": ["x", "y", "y"]},
        {"name": "b", "tags": ["y"]},
    ]
    with pytest.raises(DataError, match="standard input: received for a tagger of frames of 2 numbers"):
        tag(tmp_path / "run")
    with pytest.raises(DataError, match=r"new\.npz: received for a tagger of words"):
        tag(tagger_run, frames=tmp_path / "new.npz")


def test_spans_and_tags_that_training_did_not_show_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    gold, found = [("B-PER", "I-PER", "O", "B-LOC")], [("B-PER", "I-PER", "O", "O")]
    print_tag_scores(evaluate_tags(gold, found, known_tags={"B-PER", "I-PER", "O"}, scheme="BIO"))
    shown = capsys.readouterr().out
    assert "words with a tag that training did not show: 1 (B-LOC 1)" in shown
    assert ["all", "1.0000", "0.5000", "0.6667", "2"] in [
        [cell.strip() for cell in line.strip("│ ").split("│")] for line in shown.splitlines()
    ]
