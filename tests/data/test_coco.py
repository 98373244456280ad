"""COCO's files: annotations, Karpathy splits and results, each read right or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seesay.data.coco import remedy_for
from seesay.data.records import Record, read_records
from seesay.errors import DataError, UnknownName

IMAGES = [{"id": 9, "file_name": "000000000009.jpg"}, {"id": 25, "file_name": "000000000025.jpg"}]
ANNOTATIONS = [
    {"id": 1, "image_id": 25, "caption": "A giraffe eats.\n"},
    {"id": 2, "image_id": 9, "caption": "A plate of food."},
    {"id": 3, "image_id": 25, "caption": "A tall giraffe."},
]
COCO = {"info": {}, "licenses": [], "images": IMAGES, "annotations": ANNOTATIONS}


def written(folder: Path, content: Any, name: str = "captions_val2017.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_records(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_annotations_are_gathered_by_image(tmp_path: Path) -> None:
    assert read_records(written(tmp_path, COCO)) == [
        Record("9", "000000000009.jpg", "dev", ("A plate of food.",)),
        Record("25", "000000000025.jpg", "dev", ("A giraffe eats.", "A tall giraffe.")),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("captions_train2017.json", "train"),
        ("captions_train2014.json", "train"),
        ("captions_val2014.json", "dev"),
        ("my-validation.json", "dev"),
        ("dev.json", "dev"),
        ("captions_test2014.json", "test"),
        ("references.json", "test"),
        ("latest_captions.json", "test"),
        ("captions_train_val.json", "test"),
    ],
)
def test_the_file_name_gives_the_split(tmp_path: Path, name: str, expected: str) -> None:
    assert {record.split for record in read_records(written(tmp_path, COCO, name))} == {expected}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            COCO | {"annotations": [*ANNOTATIONS, {"image_id": 404, "caption": "A ghost."}]},
            "annotation 4: a caption of picture '404'; expected one of the 2 listed images; ",
        ),
        (
            COCO | {"annotations": [{"id": 1, "image_id": 9, "bbox": [0, 0, 1, 1]}]},
            "annotation 1: received 'id', 'image_id', 'bbox'; expected 'caption' among them; add it.",
        ),
        (COCO | {"annotations": ANNOTATIONS[:1]}, "image 1: captions: an empty list; expected a list of sentences; "),
        (COCO | {"annotations": {}}, "annotation: received an object; expected a list of objects; "),
        (COCO | {"annotations": [1]}, "annotation 1: received 1; expected an object; "),
        (COCO | {"annotations": [{"image_id": [], "caption": "x"}]}, "annotation 1: the id is a list; expected a "),
        (COCO | {"annotations": [{"image_id": 9, "caption": 3}]}, "image 1: caption 1 is 3; expected a sentence; "),
        (COCO | {"images": None}, "image: received null; expected a list of objects; "),
        (COCO | {"images": [{"id": 9}]}, "image 1: received 'id'; expected 'file_name' among them; "),
        (COCO | {"images": [{"id": 9, "file_name": "../x.jpg"}]}, "annotation 1: a caption of picture '25'; "),
        (COCO | {"images": [*IMAGES, IMAGES[0]]}, "image 3: the file '000000000009.jpg' came before, at image 1; "),
        (
            COCO | {"images": [*IMAGES, {"id": 9, "file_name": "b.jpg"}]},
            "image 3: the id '9' came before, at image 1; expected each id once; ",
        ),
        ({"images": [], "annotations": []}, "received no record; expected at least one picture with captions; "),
    ],
)
def test_each_fault_of_annotations_is_one_line(tmp_path: Path, content: Any, expected: str) -> None:
    assert message(written(tmp_path, content)).startswith(expected)


TRAIN = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [{"image_id": 1, "caption": "A dog."}]}


@pytest.mark.parametrize("inner", ["", "annotations"])
def test_the_files_of_a_folder_are_joined(tmp_path: Path, inner: str) -> None:
    (tmp_path / inner).mkdir(exist_ok=True)
    for name, content in (("captions_val2017", COCO), ("captions_train2017", TRAIN), ("instances_val2017", [])):
        written(tmp_path / inner, content, f"{name}.json")
    written(tmp_path / inner, [], "captions_mine.json")
    assert [(record.id, record.split) for record in read_records(tmp_path)] == [
        ("1", "train"),
        ("9", "dev"),
        ("25", "dev"),
    ]


def test_a_picture_in_two_files_of_a_folder(tmp_path: Path) -> None:
    written(tmp_path, COCO, "captions_train2014.json")
    written(tmp_path, COCO, "captions_val2014.json")
    assert message(tmp_path) == (
        "captions_val2014.json: image 1: the file '000000000009.jpg' came before, at captions_train2014.json: image 1; "
        "expected each file once; put all captions of a picture together."
    )


def test_two_files_of_one_split_in_a_folder(tmp_path: Path) -> None:
    written(tmp_path, TRAIN, "captions_train2014.json")
    written(tmp_path, COCO, "captions_train2017.json")
    assert message(tmp_path) == (
        "captions_train2014.json and captions_train2017.json are both of split 'train'; expected one file for each "
        "split; put those of one year into a folder of their own."
    )


def test_only_annotations_have_a_remedy_of_their_own(tmp_path: Path) -> None:
    assert remedy_for(written(tmp_path, COCO)).startswith("a file of COCO annotations is all of one split, which its ")
    for other in (written(tmp_path, KARPATHY), tmp_path / "none", tmp_path / "none.json"):
        assert remedy_for(other) == ""
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "captions_train2017.json").write_text(json.dumps(COCO), encoding="utf-8")
    assert remedy_for(tmp_path / "half") == "put the other one of captions_train*.json and captions_val*.json beside it"


def test_a_folder_s_files_are_annotations(tmp_path: Path) -> None:
    (tmp_path / "captions_train2017.json").write_text(json.dumps(COCO), encoding="utf-8")
    (tmp_path / "captions_val2017.json").write_text('[{"file": "a.jpg", "split": "train", "captions": ["A dog."]}]')
    with pytest.raises(
        DataError, match=r"captions_val2017\.json: received no COCO annotations; expected an object with"
    ):
        read_records(tmp_path)


@pytest.mark.parametrize(("file", "shown"), [(5, "5"), (None, "null"), (["a"], "a list")])
def test_a_filename_that_is_no_text_is_shown(file: Any, shown: str, tmp_path: Path) -> None:
    image = {"filename": file, "split": "train", "sentences": [{"raw": "A dog."}]}
    with pytest.raises(DataError, match=rf"image 1: .*{shown}"):
        read_records(written(tmp_path, {"images": [image]}))


def test_paths_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    content = {"images": [{"id": 9, "file_name": "../x.jpg"}], "annotations": [{"image_id": 9, "caption": "A dog."}]}
    assert message(written(tmp_path, content)).startswith("image 1: the file is '../x.jpg'; expected a path within ")


KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "filepath": "val2014",
            "filename": "COCO_val2014_000000391895.jpg",
            "split": "restval",
            "cocoid": 391895,
            "imgid": 0,
            "sentids": [1, 2],
            "sentences": [{"raw": "A man on a bike.", "tokens": ["a"]}, {"raw": "A bike.", "tokens": ["a"]}],
        },
        {"filename": "b.jpg", "split": "val", "imgid": 1, "sentences": [{"raw": "A dog."}]},
        {"filename": "c.jpg", "split": "test", "imgid": 2, "sentences": [{"raw": "A cat."}]},
    ],
}


def karpathy(**changes: Any) -> dict[str, Any]:
    first, *others = KARPATHY["images"]
    return {"images": [first | changes, *others]}


def test_karpathy_splits(tmp_path: Path) -> None:
    file = "val2014/COCO_val2014_000000391895.jpg"
    assert read_records(written(tmp_path, KARPATHY, "dataset_coco.json")) == [
        Record("391895", file, "train", ("A man on a bike.", "A bike.")),
        Record("b.jpg", "b.jpg", "dev", ("A dog.",)),
        Record("c.jpg", "c.jpg", "test", ("A cat.",)),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sentences": []}, "image 1: captions: an empty list; expected a list of sentences; "),
        ({"sentences": "A dog"}, "image 1: sentence: received 'A dog'; expected a list of objects; "),
        ({"sentences": ["A dog"]}, "image 1: sentence 1: received 'A dog'; expected an object; "),
        ({"sentences": [{"tokens": []}]}, "image 1: sentence 1: received 'tokens'; expected 'raw' among them; "),
        ({"sentences": [{"raw": 1}]}, "image 1: caption 1 is 1; expected a sentence; "),
        ({"cocoid": {}}, "image 1: the id is an object; expected a whole number or text; "),
        ({"filename": None, "filepath": ""}, "image 1: the file is null; expected a path; "),
        ({"filename": None}, "image 1: the file is null; expected a path; "),
        ({"filepath": 5}, "image 1: the folder is 5; expected a path; "),
        ({"filepath": ".."}, "image 1: the file is '../COCO_val2014_000000391895.jpg'; expected a path within "),
    ],
)
def test_each_fault_of_a_karpathy_file_is_one_line(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert message(written(tmp_path, karpathy(**changes))).startswith(expected)


def test_karpathy_lacking_a_key_or_with_an_unknown_split(tmp_path: Path) -> None:
    assert message(written(tmp_path, {"images": [{"filename": "a.jpg"}]})) == (
        "image 1: received 'filename'; expected 'sentences' among them; add it."
    )
    path = written(tmp_path, karpathy(split="tset"))
    with pytest.raises(UnknownName) as caught:
        read_records(path)
    assert str(caught.value) == (
        f"{path}: image 1: Unknown split 'tset'. Did you mean 'test'? Known: dev, test, train."
    )
