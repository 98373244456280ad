from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.errors import DataError
from seesay.text.json_file import Kind, read_checked, read_json, sha256_of, write_checked


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
        (
            b'["\\ud800"]',
            "half of a surrogate pair (\\ud800 at line 1 column 3); expected whole characters; repair or remove it.",
        ),
        (
            b'{\n"a": "\\\\ud83d \\ud83d\\ude00 \\uDE00\\ud83d"}',
            "half of a surrogate pair (\\uDE00 at line 2 column 28)",
        ),
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


KIND = Kind("seesay-toys", 3, frozenset({"toys"}), "no toys", "toys of version", "its toys do", frozenset({"owner"}))


@pytest.mark.parametrize("further", [{}, {"owner": "né"}])
def test_what_is_written_checked_comes_back(further: dict[str, str], tmp_path: Path) -> None:
    content = {**KIND.head, "toys": ["ball"], **further}
    write_checked(tmp_path / "toys.json", content)
    found = read_checked(tmp_path / "toys.json", lambda read: KIND.fault(read) or KIND.damage(read))
    assert found == content | {"sha256": sha256_of(content)}
    assert list(found) == ["format", "version", "toys", *further, "sha256"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "seesay-tools"}, "no toys"),
        ({"version": 4}, "toys of version 4, this seesay reads 3"),
        ({"price": 1}, r"keys \['price'\] are missing or unknown"),
        ({"toys": ["doll"]}, "damaged: its toys do not match its SHA-256"),
        ({"owner": "me"}, "damaged"),
        ({"sha256": None}, "damaged"),
    ],
)
def test_what_was_changed_since_is_refused_by_name(change: dict[str, object], told: str, tmp_path: Path) -> None:
    path = tmp_path / "toys.json"
    content = {**KIND.head, "toys": ["ball"]}
    path.write_text(json.dumps({**content, "sha256": sha256_of(content), **change}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"toys\.json: {told}.*; expected a file written by seesay; restore it or"):
        read_checked(path, lambda read: KIND.fault(read) or KIND.damage(read))


def test_a_missing_key_and_another_kind_of_content_are_told() -> None:
    assert KIND.fault({**KIND.head, "sha256": ""}) == "keys ['toys'] are missing or unknown"
    assert KIND.fault(["toys"]) == KIND.fault(None) == "no toys"
