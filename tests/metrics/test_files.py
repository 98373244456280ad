from __future__ import annotations

import csv
import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data.records import read_records
from seesay.errors import DataError
from seesay.metrics.files import (
    read_novelty,
    read_other,
    read_pair,
    read_references,
    read_results,
    write_results,
    write_table,
)


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
        ({"annotations": [{"caption": "a"}]}, "entry 1 has 'caption'; expected 'image_id' among them; correct"),
        ({"annotations": [{"image_id": True, "caption": "a"}]}, "image_id True"),
        ({"annotations": [{"image_id": 3}]}, r"picture 3 \(entry 1\) has no 'caption'"),
        ({"annotations": [{"image_id": 3, "caption": None}]}, r"picture 3 \(entry 1\) has the caption None"),
        ([{"captions": ["a"]}], "entry 1 has 'captions'; expected 'file' among them; correct the file"),
        ([{"file": None, "captions": ["a"]}], "entry 1 has the file None"),
        ({"images": [{"sentences": [{"raw": "a"}]}]}, "entry 1 has 'sentences'; expected 'filename' among them"),
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
        ([{"imageid": 1, "caption": "a"}], "entry 1 has 'imageid', 'caption'; expected 'image_id' among them; correct"),
    ],
)
def test_bad_results_are_one_line(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_results(written(tmp_path, content))


@pytest.mark.parametrize(
    ("kind", "content"),
    [("predictions", {"split": "dev", "decoding": {}, "items": []}), ("scores", {"corpus": {}, "per_id": {}})],
    ids=["predictions", "scores"],
)
def test_other_files_of_a_run_point_to_its_results(tmp_path: Path, kind: str, content: Any) -> None:
    path = tmp_path / kind / "dev.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError) as raised:
        read_results(path)
    assert str(raised.value) == (
        f'{path}: the {kind} of a run; expected COCO results, [{{"image_id", "caption"}}], or {{id: caption}}; give '
        f"{tmp_path / 'results' / 'dev.json'}, which has the captions alone."
    )


def test_a_split_that_is_not_there_is_told_the_nearest(tmp_path: Path) -> None:
    rows = [{"file": f"{name}.jpg", "split": name, "captions": ["a dog"]} for name in ("test", "val")]
    path = written(tmp_path, rows)
    for split, remedy in (("tset", "perhaps --split test was meant."), ("train", "choose another --split.")):
        with pytest.raises(DataError) as raised:
            read_references(path, split)
        assert str(raised.value) == f"{path}: no picture of split '{split}'; expected one of test, val; {remedy}"
    path = written(tmp_path, [{"file": "a.jpg", "captions": ["a dog"]}])
    with pytest.raises(DataError, match=r"a file without splits, and split 'test' asked for; .*; leave --split out\.$"):
        read_references(path, "test")


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


KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "filename": "x.jpg",
            "cocoid": 7,
            "imgid": 0,
            "split": "train",
            "sentences": [{"raw": "A dog."}, {"raw": "Dog"}],
        },
        {"filename": "y.jpg", "imgid": 1, "split": "val", "sentences": [{"raw": "A cat."}]},
    ],
}


def test_karpathy_files_are_references_too(tmp_path: Path) -> None:
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps(KARPATHY), encoding="utf-8")
    assert read_references(path) == {"7": ["A dog.", "Dog"], "y.jpg": ["A cat."]}
    assert read_references(path, "val") == read_references(path, "dev") == {"y.jpg": ["A cat."]}
    with pytest.raises(DataError, match="no picture of split 'test'; expected one of train, val"):
        read_references(path, "test")
    assert read_novelty(path) == ["A dog.", "Dog"]


def test_a_karpathy_file_without_raw_sentences_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    path.write_text('{"images": [{"filename": "x.jpg", "sentences": [{"tokens": ["a"]}]}]}', encoding="utf-8")
    with pytest.raises(DataError, match=r"k\.json: entry 1 has the sentences .*; expected a list of"):
        read_references(path)


def test_a_split_of_captions_json(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    rows = [{"file": f"{n}.jpg", "split": s, "captions": [f"c{n}"]} for n, s in enumerate(["train", "dev", "train"])]
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert read_references(path, "train") == {"0.jpg": ["c0"], "2.jpg": ["c2"]}
    assert read_novelty(path) == ["c0", "c2"]


def test_files_without_splits_refuse_one(tmp_path: Path) -> None:
    for name, content in (("a.json", {"annotations": [{"image_id": 1, "caption": "a"}]}), ("b.json", {"1": ["a"]})):
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(DataError, match=f"{name}: a file without splits, and split 'dev' asked for"):
            read_references(tmp_path / name, "dev")
        assert read_novelty(tmp_path / name) == ["a"]


def pair(tmp_path: Path, references: object, results: object) -> tuple[Path, Path]:
    paths = tmp_path / "refs.json", tmp_path / "cands.json"
    for path, content in zip(paths, (references, results), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return paths


def test_a_pair_must_be_of_the_same_pictures(tmp_path: Path) -> None:
    paths = pair(tmp_path, {"1": ["a"], "2": ["b"], "3": ["c"]}, {"2": "b", "1": "a"})
    with pytest.raises(DataError, match=r"cands\.json: no caption of picture 3 \(1 picture in all\); .*refs\.json"):
        read_pair(*paths)
    assert read_pair(*paths, subset=True) == ({"2": ["b"], "1": ["a"]}, {"2": "b", "1": "a"})
    paths = pair(tmp_path, {"1": ["a"]}, {"8": "x", "1": "a", "9": "y"})
    for subset in (True, False):
        with pytest.raises(DataError, match=r"refs\.json: no caption of picture 8 \(2 pictures in all\)"):
            read_pair(*paths, subset=subset)


def test_names_of_pictures_in_other_bytes_are_the_same_pictures(tmp_path: Path) -> None:
    one, two = "caf\u00e9.jpg", "cafe\u0301.jpg"
    assert read_pair(*pair(tmp_path, {one: ["a"]}, {two: "b"})) == ({one: ["a"]}, {one: "b"})
    assert read_other(tmp_path / "cands.json", {one: "x"}) == {one: "b"}
    both = {one: "b", two: "c"}
    assert read_pair(*pair(tmp_path, {one: ["a"], two: ["d"]}, both))[1] == both
    with pytest.raises(DataError, match=r"refs\.json: no caption of picture "):
        read_pair(*pair(tmp_path, {one: ["a"]}, both))


def test_a_table_has_a_line_for_each_picture(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    write_table(
        path, {"1": {"Bleu_1": 0.5, "CIDEr": 1 / 3}, "é,2": {"Bleu_1": 1.0, "CIDEr": 0.0}}, {"1": 'a "dog"', "é,2": ""}
    )
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "Bleu_1", "CIDEr", "caption"],
            ["1", "0.5", repr(1 / 3), 'a "dog"'],
            ["é,2", "1.0", "0.0", ""],
        ]


def test_what_was_learned_from_is_every_training_split(tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    images = [
        {"filename": f"{n}.jpg", "split": split, "sentences": [{"raw": split}]}
        for n, split in enumerate(["train", "restval", "val", "test"])
    ]
    path.write_text(json.dumps({"images": images}), encoding="utf-8")
    assert read_novelty(path) == ["train", "restval"]
    path.write_text(json.dumps({"images": images[2:]}), encoding="utf-8")
    with pytest.raises(DataError, match=r"of split 'train'; expected one of test, val; give captions that were l"):
        read_novelty(path)


def test_another_system_s_results_are_of_the_same_pictures(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"2": "b", "1": "a", "3": "c"}', encoding="utf-8")
    assert list(read_other(path, {"1": "x", "2": "y"}).items()) == [("1", "a"), ("2", "b")]
    with pytest.raises(DataError, match=r"other\.json: no caption of picture 8 \(1 in all\)"):
        read_other(path, {"1": "x", "8": "y"})


def test_karpathy_pictures_go_by_the_same_ids_as_in_training(tmp_path: Path) -> None:
    def image(**named: Any) -> dict[str, Any]:
        return {"split": "val", "sentences": [{"raw": "A dog."}], **named}

    images = [
        image(filename="1.png", filepath="png"),
        image(filename="1.png", filepath="tiny"),
        image(filename="2.png"),
        image(filename="3.png", filepath="val2014", cocoid=3),
    ]
    path = written(tmp_path, {"images": images})
    names = ["png/1.png", "tiny/1.png", "2.png", "3"]
    assert list(read_references(path, "val")) == [record.id for record in read_records(path)] == names
    path = written(tmp_path, {"images": [image(filename="1.png", filepath=5)]})
    with pytest.raises(DataError, match=r"entry 1 has the filepath 5; expected a path"):
        read_references(path)
