"""Files of questions: every kind is read, and what is wrong with one is told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seesay.data.vqa import Asked, Question, part_of, read_questions
from seesay.errors import DataError, SeesayError, UnknownName

PLAIN = [
    {
        "file": "a.jpg",
        "image_id": 7,
        "split": "train",
        "questions": ["  Why is it red? "],
        "vqa": [{"question": "Is it red?", "answer": "yes", "answer_type": "yes/no"}],
    },
    {"file": "b.jpg", "split": "val", "questions": ["What now?", "Where is it?"]},
]


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_the_plain_file(tmp_path: Path) -> None:
    found = read_questions(write(tmp_path / "questions.json", PLAIN))
    assert found == [
        Asked("7", "a.jpg", "train", (Question("Why is it red?"), Question("Is it red?", "yes", "yes/no"))),
        Asked("b.jpg", "b.jpg", "dev", (Question("What now?"), Question("Where is it?"))),
    ]
    assert found[0].references == ("Why is it red?",)  # held against questions that belong to no answer
    assert part_of(found, "validation", tmp_path) == found[1:]


def test_questions_with_answers_alone_are_all_references() -> None:
    some = Asked("1", "a.jpg", "dev", (Question("Is it?", "no"), Question("What?", "dog")))
    assert some.references == ("Is it?", "What?")


def test_captions_stand_for_questions(tmp_path: Path) -> None:
    record = {"file": "a.jpg", "split": "train", "captions": ["A dog.", "Two dogs."]}
    (one,) = read_questions(write(tmp_path / "captions.json", [record]))
    assert one.questions == (Question("A dog."), Question("Two dogs."))


def official(folder: Path, subtype: str, questions: list[dict[str, Any]], answers: list[dict[str, Any]] | None) -> Path:
    asked = {"data_type": "mscoco", "data_subtype": subtype, "questions": questions}
    if answers is not None:
        write(folder / f"v2_mscoco_{subtype}_annotations.json", {"data_subtype": subtype, "annotations": answers})
    return write(folder / f"v2_OpenEnded_mscoco_{subtype}_questions.json", asked)


def asked(number: int, picture: int, text: str) -> dict[str, Any]:
    return {"question_id": number, "image_id": picture, "question": text}


def reply(number: int, answer: str, kind: str) -> dict[str, Any]:
    return {"question_id": number, "multiple_choice_answer": answer, "answer_type": kind, "answers": []}


def test_official_pairs_of_one_folder(tmp_path: Path) -> None:
    questions = [asked(90, 9, "What is number ninety?"), asked(100, 10, "Why?"), asked(91, 9, "How many?")]
    answers = [reply(91, "2", "number"), reply(90, "net", "other"), reply(100, "x", "")]
    official(tmp_path, "train2014", questions, answers)
    official(tmp_path, "val2014", [asked(420, 42, "Is it?")], [reply(420, "no", "yes/no")])
    found = read_questions(tmp_path)
    assert found == [
        Asked(
            "9",
            "COCO_train2014_000000000009.jpg",
            "train",
            (Question("What is number ninety?", "net", "other"), Question("How many?", "2", "number")),
        ),
        Asked("10", "COCO_train2014_000000000010.jpg", "train", (Question("Why?", "x"),)),
        Asked("42", "COCO_val2014_000000000042.jpg", "dev", (Question("Is it?", "no", "yes/no"),)),
    ]


def test_the_test_split_has_no_answers(tmp_path: Path) -> None:
    path = official(tmp_path, "test-dev2015", [asked(1, 3, "Why?")], None)
    assert read_questions(path) == [Asked("3", "COCO_test2015_000000000003.jpg", "test", (Question("Why?"),))]


def test_training_questions_need_their_annotations(tmp_path: Path) -> None:
    path = official(tmp_path, "train2014", [asked(1, 3, "Why?")], None)
    with pytest.raises(DataError, match=r"v2_mscoco_train2014_annotations\.json: cannot be read"):
        read_questions(path)
    official(tmp_path, "train2014", [asked(1, 3, "Why?")], [reply(2, "x", "")])
    with pytest.raises(DataError, match="question 1: id 1 has no annotation; expected one"):
        read_questions(path)


def test_annotations_without_a_type_and_of_signs_alone(tmp_path: Path) -> None:
    answers = [reply(1, "net", "other") | {"answer_type": None}, reply(2, "?", "other")]
    path = official(tmp_path, "train2014", [asked(1, 3, "What is it?"), asked(2, 3, "Why?")], answers)
    (found,) = read_questions(path)
    # What VQA's people could not say in words cannot be heard: such an answer is not known.
    assert found.questions == (Question("What is it?", "net"), Question("Why?", "", "other"))


@pytest.mark.parametrize(
    ("questions", "answers", "message"),
    [
        ([asked(1, 3, "Why?")], [], "question 1: id 1 has no annotation; expected one"),
        ([asked(1, 3, "Why?")] * 2, [reply(1, "x", "")], "question 2: id 1 came before; expected each once"),
        ([asked(1, 3, "Why?")], [reply(1, "x", "")] * 2, "annotation 2: question 1 has an annotation already"),
    ],
    ids=["no annotation at all", "a question twice", "an annotation twice"],
)
def test_official_pairs_that_do_not_fit(questions: Any, answers: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_questions(official(tmp_path, "train2014", questions, answers))


def test_the_csv_files_of_one_folder(tmp_path: Path) -> None:
    rows = 'image_id,image_url,questions,ratings\n5,http://a.org/p/5.jpg,"Why, then?---Is it?---",3---4---\n'
    (tmp_path / "coco_train_all.csv").write_text(rows, encoding="utf-8")
    (tmp_path / "coco_val_all.csv").write_text(rows.replace("5", "6"), encoding="utf-8-sig")
    questions = (Question("Why, then?"), Question("Is it?"))
    assert read_questions(tmp_path) == [Asked("5", "5.jpg", "train", questions), Asked("6", "6.jpg", "dev", questions)]


def test_the_csv_file_as_json(tmp_path: Path) -> None:
    content = [{"image_id": 5, "image_url": "http://a.org/5.jpg", "questions": ["Why?"]}]
    assert read_questions(write(tmp_path / "coco_test.json", content)) == [
        Asked("5", "5.jpg", "test", (Question("Why?"),))
    ]


def without(key: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in PLAIN[0].items() if name != key}]


FAULTS: dict[str, tuple[Any, str]] = {
    "no file": (without("file"), "record 1: received .*; expected 'file'"),
    "no split": (without("split"), "record 1: received .*; expected 'split'"),
    "an unknown split": ([{**PLAIN[0], "split": "trian"}], "record 1: Unknown split 'trian'. Did you mean 'train'"),
    "no question": ([{**PLAIN[0], "questions": [], "vqa": []}], "record 1: received no question; expected one"),
    "an empty question": ([{**PLAIN[0], "questions": [" "]}], "record 1: a question is ' '; expected text"),
    "questions as one text": ([{**PLAIN[0], "questions": "Why?"}], "questions: 'Why\\?'; expected a list"),
    "an answer that is no text": (
        [{**PLAIN[0], "vqa": [{"question": "How many?", "answer": 2}]}],
        "record 1: the answer to 'How many\\?' is 2; expected text",
    ),
    "a picture twice": ([PLAIN[0], PLAIN[0]], "received the id '7' twice"),
    "nothing": ([], "received no record"),
    "a row that is no object": ([PLAIN[0], 3], "record 2: received 3; expected an object"),
    "a first row that is no object": ([5, PLAIN[0]], "record 1: received 5; expected an object"),
    "a question of signs": ([{**PLAIN[0], "questions": ["???"]}], "a question is '\\?\\?\\?'; expected a word in it"),
    "an answer of signs": (
        [{**PLAIN[0], "vqa": [{"question": "How many?", "answer": "!"}]}],
        "the answer to 'How many\\?' is '!'; expected a word in it",
    ),
    "a picture elsewhere": (
        [{**PLAIN[0], "file": "../a.jpg"}],
        "record 1: the file is '../a.jpg'; expected a path with",
    ),
    "an id that is none": ([{**PLAIN[0], "image_id": None}], "record 1: the id is null; expected a whole number"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_wrong_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    content, message = FAULTS[name]
    with pytest.raises(SeesayError, match=message) as fault:
        read_questions(write(tmp_path / "questions.json", content))
    assert "\n" not in str(fault.value)
    assert str(tmp_path) in str(fault.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,questions\n5,Why?\n", "line 2: received 'image_id', 'questions'; expected 'image_url'"),
        ("image_id,image_url,questions\n5,http://a.org/,Why?\n", "image_url is 'http://a.org/'; expected an address"),
        ("image_id,image_url,questions\n5,http://a.org/5.jpg,---\n", "row 1: received no question"),
        ("image_id,image_url,questions\n", "received no picture"),
        ("image_id,image_url,questions\n5,http://[a.org/5.jpg,Why?\n", "image_url is .*; expected an address"),
        ("image_id,image_url,questions\n5,http://a.org/..,Why?\n", "image_url is .*; expected an address"),
        ('image_id,image_url,questions\n5,http://a.org/5.jpg,"Why?\n', "expected CSV; check its quotation marks"),
        (f"image_id,image_url,questions\n5,http://a.org/5.jpg,{'x' * 200_000}\n", "larger than field limit"),
    ],
    ids=["a column", "an address", "no question", "no row", "a bracket", "a folder", "a quote", "a long field"],
)
def test_what_is_wrong_with_a_csv(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "coco_train_all.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_questions(path)


def test_a_csv_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes("image_id,image_url,questions\n5,http://a.org/5.jpg,Où?\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        read_questions(path)


def test_no_such_file_and_no_such_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_questions(tmp_path / "none.json")
    some = [Asked("1", "a.jpg", "train", (Question("Why?"),))]
    with pytest.raises(DataError, match="no picture of split 'dev'"):
        part_of(some, "dev", tmp_path)
    with pytest.raises(UnknownName, match="split 'spare'"):
        part_of(some, "spare", tmp_path)


def test_the_shared_questions(shared_data: Path) -> None:
    found = read_questions(shared_data / "vqg_coco" / "questions.json")
    assert [sum(one.split == name for one in found) for name in ("train", "dev", "test")] == [257, 125, 0]
    assert sum(bool(question.answer) for one in found for question in one.questions) == 292
    assert sorted({len(one.references) for one in found}) == [4, 5]
