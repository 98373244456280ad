"""The one rule for names in Karpathy's files, and names that are spelt in other bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from seesay.text.names import Names, composed, karpathy_file, karpathy_id, picture_path

ONE, TWO = "caf\u00e9.jpg", "cafe\u0301.jpg"  # the same name, with its accent on the letter and apart


@pytest.mark.parametrize(
    ("image", "file", "name"),
    [
        ({"filename": "1.jpg"}, "1.jpg", "1.jpg"),
        ({"filepath": "", "filename": "1.jpg"}, "1.jpg", "1.jpg"),
        ({"filepath": "a/b", "filename": "1.jpg"}, "a/b/1.jpg", "a/b/1.jpg"),
        ({"filepath": "a", "filename": "1.jpg", "cocoid": 7}, "a/1.jpg", 7),
        ({"filepath": 5, "filename": "1.jpg"}, None, None),
        ({"filepath": "a", "filename": 5}, None, None),
        ({"filename": 5}, None, None),
        ({}, None, None),
    ],
    ids=["alone", "empty-folder", "folder", "cocoid", "odd-folder", "odd-file", "number", "nothing"],
)
def test_names_of_karpathy_files(image: dict[str, Any], file: str | None, name: object) -> None:
    assert karpathy_file(image) == file
    assert karpathy_id(image) == name


@pytest.mark.parametrize(("there", "asked"), [(ONE, TWO), (TWO, ONE)], ids=["composed-there", "apart-there"])
def test_a_name_is_found_in_its_other_spelling(there: str, asked: str) -> None:
    assert ONE != TWO and composed(TWO) == ONE
    assert Names([there, "b.jpg"]).find(asked) == there


def test_the_exact_spelling_wins_and_two_that_fit_equally_are_none() -> None:
    assert [Names([ONE, TWO]).find(name) for name in (ONE, TWO)] == [ONE, TWO]
    mixed = "e\u0301\u00e9.jpg"
    assert Names(["\u00e9\u00e9.jpg", "e\u0301e\u0301.jpg"]).find(mixed) is None


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("photos/png/1.png", "png/1.png"),
        ("photos/tiny/1.png", "tiny/1.png"),
        ("1.png", "png/1.png"),
        ("TINY/1.PNG", "tiny/1.png"),
        ("harbor.jpg", "harbour.jpg"),
        ("harbour.jpeg", "harbour.jpg"),
        ("png/2.png", None),
        ("COCO_000000000043.jpg", None),
        ("mine.jpg", None),
        ("x.jpg", None),
    ],
)
def test_the_nearest_name_is_of_the_same_file_first(asked: str, nearest: str | None) -> None:
    there = ["png/1.png", "tiny/1.png", "harbour.jpg", "COCO_000000000042.jpg", "a.jpg"]
    assert Names(there).nearest(asked) == nearest


def test_a_picture_is_found_on_the_disk_in_its_other_spelling(tmp_path: Path) -> None:
    folder = tmp_path / "re\u0301gion"
    folder.mkdir()
    (folder / TWO).touch()
    if not (folder / TWO).exists() or os.listdir(folder) != [TWO]:
        pytest.skip("this file system spells names in its own way")
    assert picture_path(tmp_path, f"r\u00e9gion/{ONE}") == folder / TWO
    assert picture_path(tmp_path, "r\u00e9gion/b.jpg") == tmp_path / "r\u00e9gion" / "b.jpg"
    (folder / ONE).touch()
    assert picture_path(folder, ONE) == folder / ONE
    assert picture_path(folder, TWO) == folder / TWO


def test_a_folder_that_is_not_there_leaves_the_name_as_it_is(tmp_path: Path) -> None:
    assert picture_path(tmp_path / "none", ONE) == tmp_path / "none" / ONE
