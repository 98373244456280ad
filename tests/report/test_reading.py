import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.errors import DataError
from seesay.report.reading import read_run

Make = Callable[..., Path]


def caption(**changes: Any) -> dict[str, Any]:
    return {"text": "a dog", "score": -1.0, "tokens": ["a", "dog"], "attention": None} | changes


def test_a_run_folder_becomes_values(make_run: Make, tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "small", count=5))
    assert (run.name, run.model, run.words, run.seconds) == ("small", "attend_tell", 417, 66.0)
    assert len(run.steps) == 360 and len(run.checks) == 12
    assert [check.epoch for check in run.checks if check.best][-1] == 9
    (split,) = run.splits
    assert (split.name, split.checkpoint_step, len(split.items)) == ("dev", 270, 5)
    first = split.items[0]
    assert first.attention is not None and first.attention.shape == (len(first.tokens), 49)
    assert len(first.references) == 5 and first.score == 1.9


def test_the_row_of_the_end_of_a_sentence_is_left_out(make_run: Make, tmp_path: Path) -> None:
    rows = np.eye(49)[:3].tolist()
    run = read_run(make_run(tmp_path, captions=[caption(attention=rows)]))
    assert np.array_equal(run.splits[0].items[0].attention, np.eye(49)[:2])  # type: ignore[arg-type]


def test_what_is_optional_may_be_missing(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "timings.jsonl").unlink()
    (folder / "vocabulary.json").unlink()
    run = read_run(folder)
    assert run.words is None and run.seconds is None


def test_a_note_among_the_timings_counts_no_time(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "timings.jsonl").write_text('{"event": "note", "text": "x"}\n{"seconds": 2}\n', encoding="utf-8")
    assert read_run(folder).seconds == 2.0


@pytest.mark.parametrize("file", ["log.jsonl", "recipe.toml", "predictions/dev.json", "scores/dev.json"])
def test_a_missing_file_is_named(make_run: Make, tmp_path: Path, file: str) -> None:
    folder = make_run(tmp_path)
    (folder / file).unlink()
    with pytest.raises(DataError) as error:
        read_run(folder)
    assert file.removesuffix("/dev.json") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("log.jsonl", b""),
        ("log.jsonl", b"\xff\xfe"),
        ("log.jsonl", b'{"event": "step", "step": 1, "loss": 3, "lr'),
        ("log.jsonl", b'{"event": "step", "step": 1, "loss": NaN, "lr": 1e-3}'),
        ("log.jsonl", b'{"event": "step", "step": 1, "loss": 1' + b"0" * 400 + b', "lr": 1e-3}'),
        ("log.jsonl", b'{"event": "step", "step": true, "loss": 3, "lr": 1e-3}'),
        ("log.jsonl", b'{"event": "check", "step": 1, "epoch": 1, "train_loss": 1, "dev_loss": 1, "scores": []}'),
        ("log.jsonl", b'{"event": "step"}\n\n'),
        ("log.jsonl", b"[" * 100_000),
        ("recipe.toml", b"model = "),
        ("vocabulary.json", b"{}"),
        ("timings.jsonl", b'{"seconds": "long"}'),
        ("predictions/dev.json", b"[]"),
        ("predictions/dev.json", b'{"items": []}'),
        ("predictions/dev.json", b'{"items": [{"captions": [{"attention": [[NaN]]}]}]}'),
        ("predictions/dev.json", b'{"split": "dev", "split": "test"}'),
        ("predictions/dev.json", b'{"split": "\\ud800"}'),
        ("predictions/dev.json", b'{"items": [3], "split": "dev", "decoding": {}, "checkpoint_step": 1}'),
        ("scores/dev.json", b'{"corpus": {"CIDEr-D": "high"}, "signature": "x"}'),
        ("scores/dev.json", b'{"corpus": {}}'),
    ],
)
def test_a_damaged_file_is_one_line_with_its_name(make_run: Make, tmp_path: Path, file: str, content: bytes) -> None:
    folder = make_run(tmp_path)
    (folder / file).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_run(folder)
    assert str(folder / file) in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400 + len(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"captions": []}, "at least one caption"),
        ({"captions": ["a dog"]}, "at least one caption"),
        ({"captions": [caption(tokens=[1])]}, "tokens as a list of strings"),
        ({"captions": [caption(attention=[[0.5, 0.5]])]}, "2 rows of finite weights"),
        ({"captions": [caption(attention=[[0.5], [0.5, 0.5]])]}, "one list of numbers for each word"),
        ({"captions": [caption(attention=[[-1.0], [1.0]])]}, "none below 0"),
        ({"captions": [caption(attention=[[None], [1.0]])]}, "finite weights"),
        ({"captions": [caption(attention="x")]}, "one list of numbers"),
        ({"references": None}, "references as list"),
        ({"scores": {}}, "CIDEr-D as a finite number"),
        ({"file": "../secret.jpg"}, "inside the picture folder"),
        ({"file": "/etc/passwd"}, "inside the picture folder"),
        ({"file": ""}, "inside the picture folder"),
    ],
)
def test_a_damaged_item_is_one_line_with_its_number(
    make_run: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = make_run(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as error:
        read_run(folder)
    assert "dev.json: item 1: received" in str(error.value)


def test_splits_come_in_the_order_of_their_names(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    for part in ("predictions", "scores"):
        page = json.loads((folder / part / "dev.json").read_text(encoding="utf-8"))
        text = json.dumps(page | {"split": "test"})
        (folder / part / "test.json").write_text(text, encoding="utf-8")
    assert [split.name for split in read_run(folder).splits] == ["dev", "test"]


def test_only_the_recipe_s_own_pictures_and_search_are_shown(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    for name in ("own-dev", "dev-beam-2", "dev-grids2", "val"):
        (folder / "predictions" / f"{name}.json").write_text("not even JSON", encoding="utf-8")
    assert [split.name for split in read_run(folder).splits] == ["dev"]


def test_scores_of_older_runs_have_coco_s_names(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    older = {"Bleu_1": "BLEU-1", "Bleu_2": "BLEU-2", "Bleu_3": "BLEU-3", "Bleu_4": "BLEU-4", "ROUGE_L": "ROUGE-L"}
    before = read_run(folder)
    for file in (folder / "log.jsonl", folder / "scores" / "dev.json"):
        text = file.read_text(encoding="utf-8")
        for name, old in older.items():
            text = text.replace(f'"{name}"', f'"{old}"')
        assert '"BLEU-4"' in text
        file.write_text(text, encoding="utf-8")
    assert read_run(folder).splits[0].corpus == before.splits[0].corpus
    assert [check.scores for check in read_run(folder).checks] == [check.scores for check in before.checks]
