"""What commands have in common: lines that are typed, and options that a run has no use for."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from seesay.commands.options import as_typed, refuse, typed_lines
from seesay.errors import DataError, RecipeError


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(request.param)))


@pytest.mark.parametrize(
    ("typed", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a b\r\nc", ["a b", "c"]),
        (b"\xef\xbb\xbfa\n\nb\n", ["a", "", "b"]),
        ("a\u2028b\x85c\x0bd".encode(), ["a\u2028b\x85c\x0bd"]),
    ],
    ids=["nothing", "a blank line", "of Windows", "a byte order mark", "other ends of lines"],
    indirect=["typed"],
)
def test_a_line_feed_ends_a_line(typed: None, lines: list[str]) -> None:
    assert typed_lines() == lines


@pytest.mark.parametrize("typed", [b"a\ncaf\xe9\n"], ids=["latin-1"], indirect=True)
def test_bytes_of_another_encoding_are_told_with_their_line(typed: None) -> None:
    with pytest.raises(
        DataError, match=r"standard input, line 2: .* not UTF-8 .*; expected text in UTF-8; name its encoding, or"
    ):
        typed_lines()


@pytest.mark.parametrize("typed", [b"caf\xe9\n"], ids=["latin-1"], indirect=True)
def test_another_encoding_is_read_where_it_is_named(typed: None) -> None:
    assert typed_lines("latin-1") == ["caf\xe9"]


@pytest.mark.parametrize("typed", [b"a"], ids=["a"], indirect=True)
def test_an_encoding_without_a_name_is_refused(typed: None) -> None:
    with pytest.raises(DataError, match="received the encoding ''"):
        typed_lines("")


def test_options_that_were_given_and_have_no_use_are_named() -> None:
    refuse(Path("runs/a"), "a tagger", {"--beam": None})
    with pytest.raises(RecipeError) as fault:
        refuse(Path("runs/a"), "a tagger", {"--beam": 0, "--features": None, "--min-length": 3})
    assert str(fault.value) == (
        "--beam, --min-length: received for runs/a, a tagger; expected for a captioner; omit it."
    )


@pytest.mark.parametrize(
    ("given", "fault", "expected"),
    [
        ({"required": "elephant", "beam": None}, "decoding.required: received", "--require: received"),
        ({"no_repeat_ngram": 2000}, "decoding.no_repeat_ngram: received", "--no-repeat: received"),
        ({"length_penalty": 11.0}, "decoding.length_penalty: received", "--length-penalty: received"),
        ({"beam": 4, "wanted": 2}, "decoding.groups: received 3", "--beam, --n-best: decoding.groups: received 3"),
        ({"beam": None}, "decoding.groups: received 3", "decoding.groups: received 3"),
        ({"beam": 4}, "device: received 'x'", "device: received 'x'"),
    ],
    ids=["flag of another name", "flag with a dash", "number", "setting of the recipe", "nothing typed", "no search"],
)
def test_a_fault_of_a_search_names_what_was_typed(given: dict[str, object], fault: str, expected: str) -> None:
    with pytest.raises(RecipeError) as told, as_typed(given):
        raise RecipeError(fault)
    assert str(told.value) == expected
