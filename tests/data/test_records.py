"""The plain captions.json: what is read, what each fault says, and that nothing else ever escapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.data.records import Record, read_records, split
from seesay.errors import DataError, SeesayError, UnknownName

GOOD = {"file": "a.jpg", "split": "train", "captions": ["A dog runs."]}


def written(folder: Path, content: Any) -> Path:
    path = folder / "captions.json"
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def message(path: Path, error: type[SeesayError] = DataError) -> str:
    """The one line about a file, without the file's path."""
    with pytest.raises(error) as caught:
        read_records(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_reads_what_the_docstring_documents(tmp_path: Path) -> None:
    beach = {"file": "beach/0001.jpg", "split": "train", "captions": ["Two dogs run along a beach.", "Dogs playing."]}
    sand = {"file": "beach/0002.jpg", "split": "dev", "captions": ["A child digs in the sand."]}
    assert read_records(written(tmp_path, [beach, sand])) == [
        Record("beach/0001.jpg", "beach/0001.jpg", "train", ("Two dogs run along a beach.", "Dogs playing.")),
        Record("beach/0002.jpg", "beach/0002.jpg", "dev", ("A child digs in the sand.",)),
    ]


@pytest.mark.parametrize(
    ("extra", "expected"),
    [({}, "a.jpg"), ({"id": 42}, "42"), ({"id": "x"}, "x"), ({"image_id": 7}, "7"), ({"id": 1, "image_id": 2}, "1")],
)
def test_the_id_is_the_id_or_the_image_id_or_the_file(tmp_path: Path, extra: dict[str, Any], expected: str) -> None:
    assert read_records(written(tmp_path, [GOOD | extra]))[0].id == expected


@pytest.mark.parametrize(
    ("spelt", "expected"),
    [
        *[(name, "train") for name in ("train", "Train", "training", "train2017", "train2014", "restval")],
        *[(name, "dev") for name in ("dev", "val", "VAL", "valid", "validation", "development", "val2017", "val2014")],
        *[(name, "test") for name in ("test", "test2015", "testing")],
    ],
)
def test_spellings_of_splits(tmp_path: Path, spelt: str, expected: str) -> None:
    assert read_records(written(tmp_path, [GOOD | {"split": spelt}]))[0].split == expected


def test_captions_are_composed_and_stripped_and_unknown_keys_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, [GOOD | {"captions": ["  Cafe\u0301 \n"], "licence": "CC BY", "width": 3}])
    assert read_records(path)[0].captions == ("Caf\u00e9",)


def test_a_byte_order_mark_is_allowed_and_paths_may_be_text(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([GOOD]), encoding="utf-8-sig")
    assert read_records(str(path))[0].file == "a.jpg"


def test_file_names_are_kept_as_spelt_but_for_empty_steps(tmp_path: Path) -> None:
    path = written(tmp_path, [GOOD | {"file": "./a//Cafe\u0301 1..2.jpg"}])
    assert read_records(path)[0].file == "a/Cafe\u0301 1..2.jpg"


FAULTS = [
    ([], "received no record; expected at least one picture with captions; add some."),
    (3, "received 3; expected a list of {file, split, captions}, COCO annotations, a Karpathy split file, or "),
    (
        {},
        "received an object; expected a list of {file, split, captions}, COCO annotations, a Karpathy split file, or ",
    ),
    ({"x": 1}, "received an object with 'x'; expected a list of {file, split, captions}, COCO annotations, a "),
    ([GOOD, 5], "record 2: received 5; expected an object; check that the file is whole."),
    ([{}], "record 1: received no key; expected 'file', 'split' and 'captions'; add 'file' and "),
    ([{"image_id": 1, "caption": "A dog"}], "record 1: received 'image_id', 'caption'; expected 'file', 'split' and "),
    ([{"file": "a.jpg", "split": "dev"}], "record 1 ('a.jpg'): received 'file', 'split'; expected 'file', 'split' "),
    ([GOOD | {"file": None}], "record 1: the file is null; expected a path; name the picture."),
    ([GOOD | {"file": " "}], "record 1 (' '): the file is ' '; expected a path; name the picture."),
    ([GOOD | {"file": "."}], "record 1 ('.'): the file is '.'; expected the name of a file; rename the picture."),
    ([GOOD | {"file": "a\0b"}], r"record 1 ('a\x00b'): the file is 'a\x00b'; expected the name of a file; "),
    ([GOOD | {"captions": "A dog."}], "record 1 ('a.jpg'): captions: 'A dog.'; expected a list of sentences; "),
    ([GOOD | {"captions": []}], "record 1 ('a.jpg'): captions: an empty list; expected a list of sentences; "),
    ([GOOD | {"captions": ["A dog.", 7]}], "record 1 ('a.jpg'): caption 2 is 7; expected a sentence; "),
    ([GOOD | {"captions": [None]}], "record 1 ('a.jpg'): caption 1 is null; expected a sentence; "),
    ([GOOD | {"captions": ["A dog.", " \n"]}], r"record 1 ('a.jpg'): caption 2 is ' \n'; expected a sentence; "),
    ([GOOD | {"captions": ["..."]}], "record 1 ('a.jpg'): caption 1 is '...'; expected a sentence with a word in it; "),
    ([GOOD | {"captions": ["A dog.", "!! "]}], "record 1 ('a.jpg'): caption 2 is '!! '; expected a sentence with a "),
    ([GOOD | {"captions": ["\u200b\u200d"]}], r"record 1 ('a.jpg'): caption 1 is '\u200b\u200d'; expected a sentence "),
    ([GOOD | {"split": 1}], "record 1 ('a.jpg'): the split is 1; expected 'train', 'dev' or 'test'; correct it."),
    ([GOOD | {"id": 1.5}], "record 1 ('a.jpg'): the id is 1.5; expected a whole number or text; correct it."),
    ([GOOD | {"id": True}], "record 1 ('a.jpg'): the id is a truth value; expected a whole number or text; "),
    ([GOOD | {"id": ""}], "record 1 ('a.jpg'): the id is ''; expected a whole number or text; "),
    ([GOOD | {"image_id": None}], "record 1 ('a.jpg'): the id is null; expected a whole number or text; "),
    ([GOOD, GOOD], "record 2 ('a.jpg'): the file 'a.jpg' came before, at record 1 ('a.jpg'); expected each "),
    ([GOOD, GOOD | {"file": "./a.jpg", "id": 2}], "record 2 ('./a.jpg'): the file 'a.jpg' came before, at record 1 "),
    (
        [GOOD | {"id": 7}, GOOD | {"id": "7", "file": "b.jpg"}],
        "record 2 ('b.jpg'): the id '7' came before, at record 1 ('a.jpg'); expected each id once; ",
    ),
]


@pytest.mark.parametrize(("content", "expected"), FAULTS)
def test_each_fault_is_one_line_naming_the_record(tmp_path: Path, content: Any, expected: str) -> None:
    assert message(written(tmp_path, content)).startswith(expected)


@pytest.mark.parametrize("file", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", "..", "a\\b.jpg", "C:/a.jpg", "c:a.jpg"])
def test_a_file_outside_the_picture_folder_is_refused(tmp_path: Path, file: str) -> None:
    expected = f"record 1 ({file!r}): the file is {file!r}; expected a path within the picture folder, with '/' and "
    assert message(written(tmp_path, [GOOD | {"file": file}])).startswith(expected)


def test_an_unknown_split_names_the_place_and_the_nearest(tmp_path: Path) -> None:
    line = message(written(tmp_path, [GOOD, GOOD | {"file": "b.jpg", "split": "trian"}]), UnknownName)
    expected = "Unknown split 'trian'. Did you mean 'train'? Known: dev, test, train."
    assert line == f"record 2 ('b.jpg'): {expected}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not valid JSON (Expecting value: line 1 column 1"),
        (b'[{"file": "a.jpg",\n "split" "dev"}]', "not valid JSON (Expecting ':' delimiter: line 2 column 10"),
        (b'[{"file": "a.jpg"', "not valid JSON (Expecting ',' delimiter: line 1 column 18"),
        (b"[NaN]", "not valid JSON (NaN is not JSON)"),
        (b"[" + b"9" * 5000 + b"]", "not valid JSON ("),
        (b"[" * 100_000, "nested too deeply; "),
        (b'["caf\xe9"]', "not UTF-8 text ("),
        (json.dumps([GOOD]).encode("utf-16"), "not UTF-8 text ("),
        (b'[{"file": "a.jpg", "split": "dev", "captions": ["\\ud800"]}]', "half of a surrogate pair ("),
    ],
)
def test_what_is_not_json(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(content)
    assert message(path).startswith(expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("image,caption\na.jpg,A dog runs .\n", "not JSON, its first line is 'image,caption'; "),
        ('\n"a.jpg";"A dog"\n', 'not JSON, its first line is \'"a.jpg";"A dog"\'; '),
        (f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}\n", "one JSON value a line; "),
    ],
    ids=["csv", "quoted-csv", "json-lines"],
)
def test_a_file_in_another_format_is_told_what_is_read(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "captions.txt"
    path.write_text(content, encoding="utf-8")
    assert message(path) == (
        f"{expected}expected a list of {{file, split, captions}}, COCO annotations, a Karpathy split file, or "
        "Flickr8k's token file; convert it to one of these."
    )


def test_a_bracket_too_many_is_not_another_format(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(f"{json.dumps([GOOD], indent=1)}]\n", encoding="utf-8")
    assert message(path).startswith("not valid JSON (Extra data: line ")


def test_no_file_and_a_folder_without_captions(tmp_path: Path) -> None:
    missing = "cannot be read (No such file or directory); expected captions; check the path."
    assert message(tmp_path / "none.json") == missing
    assert message(tmp_path).startswith("a folder without Flickr8k.token.txt and without COCO's captions_train*")


def test_split_keeps_the_order_and_takes_any_spelling() -> None:
    records = [Record(name, name, part, ("A dog.",)) for name, part in (("1", "dev"), ("2", "train"), ("3", "dev"))]
    assert [record.id for record in split(records, "validation")] == ["1", "3"]
    assert [record.id for record in split(iter(records), "train")] == ["2"]


def test_an_empty_split_names_those_that_are_there() -> None:
    records = [Record(name, name, part, ("A dog.",)) for name, part in (("1", "dev"), ("2", "train"), ("3", "dev"))]
    with pytest.raises(DataError) as caught:
        split(records, "test")
    assert str(caught.value) == (
        "split 'test': it has no records; expected one of: train (1), dev (2); choose one or add pictures."
    )
    with pytest.raises(UnknownName, match=r"^Unknown split 'devel'\. Did you mean 'dev'\? Known: dev, test, train\.$"):
        split(records, "devel")
    with pytest.raises(DataError, match="expected one of: none; "):
        split([], "dev")


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(str.strip)
words = texts.filter(lambda text: any(map(str.isalnum, text)))
names = texts.filter(lambda name: not set(name) & set("/\\.:"))


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(names, st.lists(words, min_size=1, max_size=3), min_size=1, max_size=5))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, captions: dict[str, list[str]]) -> None:
    content = [{"file": name, "split": "dev", "captions": texts} for name, texts in captions.items()]
    records = read_records(written(tmp_path_factory.getbasetemp(), content))
    assert [record.file for record in records] == list(captions)
    assert [len(record.captions) for record in records] == [len(texts) for texts in captions.values()]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["file", "split", "captions", "id", "images", "annotations", "image_id", "caption", "raw"])
            | st.sampled_from(["sentences", "filename", "filepath", "cocoid", "file_name"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(anything)
def test_any_json_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        records = read_records(path)
    except SeesayError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        assert len(str(error)) < 600 + len(str(path))
    else:
        assert records
        assert all(record.captions and record.split in ("train", "dev", "test") for record in records)


def test_flickr8k_captions(shared_data: Path) -> None:
    records = read_records(shared_data / "flickr8k" / "captions.json")
    assert (len(split(records, "train")), len(split(records, "dev"))) == (6000, 1000)
    assert {len(record.captions) for record in records} == {5}
    assert all(record.id == record.file for record in records)


def test_the_demonstration_captions(demo_folder: Path) -> None:
    records = read_records(demo_folder / "captions.json")
    assert len(records) == 76
    assert all(record.id == str(int(record.file.removesuffix(".jpg"))) for record in records)  # COCO's own ids
    assert all((demo_folder / "images" / record.file).is_file() for record in records)
    assert {record.split for record in records} <= {"train", "dev", "test"}
