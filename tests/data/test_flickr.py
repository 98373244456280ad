"""Flickr8k's own files, made small: captions of four pictures, one of them in no list."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.data.records import Record, read_records
from seesay.errors import DataError

TOKENS = """a_1.jpg#0\tA child climbs .
a_1.jpg#1\tA girl .
b_2.jpg#0\tA black dog\tand a spotted dog
b_2.jpg#1\tTwo dogs\u2028fight .
c_3.jpg#0\tA man #1 .
d_4.jpg.1#0\tA picture in no list .
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Flickr8k.token.txt").write_text(TOKENS, encoding="utf-8")
    for split, name in (("train", "a_1.jpg"), ("dev", "b_2.jpg"), ("test", "c_3.jpg")):
        (tmp_path / f"Flickr_8k.{split}Images.txt").write_text(f"{name}\n", encoding="utf-8")
    return tmp_path


def message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_records(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


EXPECTED = [
    Record("a_1.jpg", "a_1.jpg", "train", ("A child climbs .", "A girl .")),
    Record("b_2.jpg", "b_2.jpg", "dev", ("A black dog\tand a spotted dog", "Two dogs\u2028fight .")),
    Record("c_3.jpg", "c_3.jpg", "test", ("A man #1 .",)),
]


def test_folder_and_token_file_give_the_same(folder: Path) -> None:
    assert read_records(folder) == EXPECTED
    assert read_records(folder / "Flickr8k.token.txt") == EXPECTED


def test_the_folder_of_the_download_and_windows_line_ends(folder: Path) -> None:
    inner = folder / "outer" / "Flickr8k_text"
    inner.mkdir(parents=True)
    for path in folder.glob("*.txt"):
        (inner / path.name).write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert read_records(folder / "outer") == EXPECTED


def test_a_split_without_a_list_is_left_out_but_one_there_must_be(folder: Path) -> None:
    (folder / "Flickr_8k.testImages.txt").unlink()
    assert read_records(folder) == EXPECTED[:2]
    (folder / "Flickr_8k.trainImages.txt").unlink()
    (folder / "Flickr_8k.devImages.txt").unlink()
    assert message(folder) == (
        f"{folder / 'Flickr8k.token.txt'}: no split list beside it; expected Flickr_8k.trainImages.txt, "
        "Flickr_8k.devImages.txt, Flickr_8k.testImages.txt; put them there."
    )


def test_a_listed_picture_without_captions(folder: Path) -> None:
    listing = folder / "Flickr_8k.devImages.txt"
    listing.write_text("b_2.jpg\n\nmissing.jpg\n", encoding="utf-8")
    assert message(folder) == (
        f"{listing}: line 3: picture 'missing.jpg' has no captions; expected one of the 4 in Flickr8k.token.txt; "
        "check that the files belong together."
    )


def test_a_picture_in_two_lists(folder: Path) -> None:
    (folder / "Flickr_8k.devImages.txt").write_text("a_1.jpg\n", encoding="utf-8")
    expected = "Flickr_8k.devImages.txt line 1: the file 'a_1.jpg' came before, at Flickr_8k.trainImages.txt line 1; "
    assert expected in message(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a_1.jpg#0\tA dog .\nb_2.jpg A dog .\n", "line 2: received 'b_2.jpg A dog .'; expected 'picture.jpg#0', "),
        (b"a_1.jpg#0\tA dog .\n#1\tA dog .\n", r"line 2: received '#1\tA dog .'; expected 'picture.jpg#0', a tab "),
        (b"a_1.jpg#0\tA caf\xe9 .\n", "not UTF-8 text; expected Flickr8k's text file; save it again as UTF-8."),
        (b"a_1.jpg#0\t \nb_2.jpg#0\tB\nc_3.jpg#0\tC\n", "Flickr_8k.trainImages.txt line 1: caption 1 is ' '; "),
        (b"not a token file\n", "not JSON, its first line is 'not a token file'; expected a list of {file, split, "),
    ],
)
def test_each_fault_of_a_token_file_is_one_line(folder: Path, content: bytes, expected: str) -> None:
    path = folder / "Flickr8k.token.txt"
    path.write_bytes(content)
    assert message(folder).startswith(f"{path}: {expected}")


def test_empty_lists_and_unreadable_ones(folder: Path) -> None:
    listing = folder / "Flickr_8k.devImages.txt"
    listing.write_bytes(b"\xff\xfe")
    assert message(folder) == f"{listing}: not UTF-8 text; expected Flickr8k's text file; save it again as UTF-8."
    for path in folder.glob("Flickr_8k.*"):
        path.write_bytes(b"\n")
    assert message(folder).endswith(": received no record; expected at least one picture with captions; add some.")
