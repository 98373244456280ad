from __future__ import annotations

from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.text.json_file import read_json


def test_reads_utf_8_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for start in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(start + '{"é": [1, null]}'.encode())
        assert read_json(path) == {"é": [1, None]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[" + b"1" * 5000 + b"]", "not valid JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'["\xff"]', "not UTF-8"),
        (b'["\\ud800"]', "not UTF-8"),
    ],
)
def test_each_fault_is_one_line_that_names_the_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "damaged.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        read_json(path)
    message = str(raised.value)
    assert words in message and str(path) in message and "\n" not in message and len(message) < 400


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(DataError, match="cannot be read"):
            read_json(path)


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "emoji.json"
    path.write_bytes(b'["\\ud83d\\ude00"]')
    assert read_json(path) == ["😀"]
