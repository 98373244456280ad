from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.metrics.files import read_references, read_results, write_results


def written(folder: Path, content: Any) -> Path:
    path = folder / "captions.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_references_from_coco_annotations(tmp_path: Path) -> None:
    rows = [
        {"image_id": 42, "id": 1, "caption": "a dog"},
        {"image_id": 7, "id": 2, "caption": "a cat"},
        {"image_id": 42, "id": 3, "caption": "the dog"},
    ]
    path = written(tmp_path, {"info": {}, "images": [], "annotations": rows})
    assert read_references(path) == {"42": ["a dog", "the dog"], "7": ["a cat"]}


def test_references_from_a_plain_list(tmp_path: Path) -> None:
    rows = [
        {"file": "a.jpg", "split": "train", "captions": ["a dog"]},
        {"file": "b.jpg", "id": 9, "split": "dev", "captions": ["a cat", "the cat"]},
    ]
    assert read_references(written(tmp_path, rows)) == {"a.jpg": ["a dog"], "9": ["a cat", "the cat"]}


def test_references_by_id(tmp_path: Path) -> None:
    assert read_references(written(tmp_path, {"1": ["a dog"]})) == {"1": ["a dog"]}


def test_results_from_a_list_and_by_id(tmp_path: Path) -> None:
    rows = [{"image_id": 42, "caption": "a dog"}, {"image_id": "b.jpg", "caption": ""}]
    assert read_results(written(tmp_path, rows)) == {"42": "a dog", "b.jpg": ""}
    assert read_results(written(tmp_path, {"42": "a dog"})) == {"42": "a dog"}


def test_text_becomes_nfc(tmp_path: Path) -> None:
    assert read_results(written(tmp_path, {"1": "cafe\u0301"})) == {"1": "caf\u00e9"}
    assert read_references(written(tmp_path, {"1": ["cafe\u0301"]})) == {"1": ["caf\u00e9"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (5, "a single value"),
        ([], "no caption at all"),
        ({}, "no caption at all"),
        ({"annotations": []}, "no caption at all"),
        ({"annotations": [5]}, "entry 1 is 5"),
        ({"annotations": [{"caption": "a"}]}, "entry 1 has the image_id None"),
        ({"annotations": [{"image_id": True, "caption": "a"}]}, "image_id True"),
        ({"annotations": [{"image_id": 3}]}, r"picture 3 \(entry 1\) has no 'caption'"),
        ({"annotations": [{"image_id": 3, "caption": None}]}, r"picture 3 \(entry 1\) has the caption None"),
        ([{"captions": ["a"]}], "entry 1 has the file None"),
        ([{"file": "a", "captions": ["a"]}, {"file": "a", "captions": ["b"]}], "picture a comes twice"),
        ([{"file": "a", "captions": "text"}], "picture a has the captions 'text'"),
        ({"1": []}, "picture 1 has the captions"),
        ({"1": ["a", 2]}, "picture 1 has the caption 2"),
    ],
)
def test_bad_references_are_one_line(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as raised:
        read_references(written(tmp_path, content))
    assert str(raised.value).startswith(str(tmp_path)) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text", "a single value"),
        ([], "no caption at all"),
        ({"1": ["a"]}, r"picture 1 has the caption \['a'\]"),
        ([{"image_id": 1.5, "caption": "a"}], "entry 1 has the image_id 1.5"),
        ([{"image_id": "", "caption": "a"}], "entry 1 has the image_id ''"),
        ([{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "b"}], "picture 1 comes twice"),
        ([["a"]], "entry 1 is"),
    ],
)
def test_bad_results_are_one_line(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_results(written(tmp_path, content))


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(b'{"1": "a", "1": "b"}')
    with pytest.raises(DataError, match=r"results\.json: not valid JSON \(the key '1' occurs twice"):
        read_results(path)


def test_results_are_written_as_coco_does_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    captions = {"9": "a café", "a.jpg": "", "007": "a spy", "0": "none", "+7": "plus", "1" * 30: "long"}
    write_results(path, captions)
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert [row["image_id"] for row in rows] == [9, "a.jpg", "007", 0, "+7", "1" * 30]
    assert rows[0] == {"image_id": 9, "caption": "a café"}
    assert read_results(path) == captions
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1) | st.integers(0, 10**20).map(str),
        st.text(st.characters(exclude_categories=("Cs",))),
        min_size=1,
    )
)
def test_any_results_come_back(tmp_path_factory: pytest.TempPathFactory, captions: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "any_results.json"
    write_results(path, captions)
    assert read_results(path) == {key: unicodedata.normalize("NFC", text) for key, text in captions.items()}


def test_a_failed_write_leaves_the_old_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    write_results(path, {"1": "old"})
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(DataError, match=r"results\.json: cannot be written \(No space left on device\); "):
            write_results(path, {"1": "new"})
    assert read_results(path) == {"1": "old"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]
