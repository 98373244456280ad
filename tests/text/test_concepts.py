from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seesay.errors import DataError
from seesay.text.concepts import ConceptWords

CAPTIONS = [["a", "red", "dog"], ["the", "dog", "and", "the", "cat"], ["two", "cats", "3"]]


@pytest.fixture
def concepts() -> ConceptWords:
    return ConceptWords.build(CAPTIONS, count=10)


def test_frequency_then_alphabet(concepts: ConceptWords) -> None:
    assert concepts.words == ("dog", "cat", "cats", "red", "two")
    assert len(concepts) == 5


def test_the_commonest_are_taken() -> None:
    assert ConceptWords.build(CAPTIONS, count=2).words == ("dog", "cat")
    assert ConceptWords.build(reversed(CAPTIONS), count=2).words == ("dog", "cat"), "the order of captions is nothing"


def test_each_concept_counts_once_and_other_words_do_not(concepts: ConceptWords) -> None:
    assert concepts.encode(["two", "dog", "dog", "zebra", "the"]) == [0, 4]
    assert concepts.encode([]) == []


@pytest.mark.parametrize("captions", [[], [[]], [["the", "of", "3"]]], ids=["no caption", "empty", "no content"])
def test_no_content_word_is_an_error(captions: list[list[str]]) -> None:
    with pytest.raises(DataError, match=r"captions\.json: received no content word.*; give more captions"):
        ConceptWords.build(captions, 5, "captions.json")


def test_a_string_is_not_a_list_of_tokens() -> None:
    with pytest.raises(DataError, match="received the string 'a dog'; expected a list of tokens"):
        ConceptWords.build(["a dog"], 5)


def test_the_digest_is_of_the_words_in_their_order(concepts: ConceptWords) -> None:
    assert ConceptWords(concepts.words).digest == concepts.digest
    assert ConceptWords(concepts.words[::-1]).digest != concepts.digest
    assert ConceptWords(("ab", "c")).digest != ConceptWords(("a", "bc")).digest


def test_comes_back_from_its_file(concepts: ConceptWords, tmp_path: Path) -> None:
    path = tmp_path / "run" / "vocabulary.json"
    concepts.save(path)
    again = ConceptWords.load(path)
    assert again == concepts and again.digest == concepts.digest
    assert again.encode(["cats"]) == [2]


def rewritten(path: Path, change: Callable[[dict[str, Any]], object], checked: bool) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    if checked:
        rest = {key: value for key, value in content.items() if key != "sha256"}
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content), encoding="utf-8")


def test_the_file_is_as_it_always_was(tmp_path: Path) -> None:
    ConceptWords.build([["red", "dog", "né"], ["dog"]], 3).save(tmp_path / "vocabulary.json")
    found = hashlib.sha256((tmp_path / "vocabulary.json").read_bytes()).hexdigest()
    assert found == "a870f0593ddc46d0483084dc4522ba789ed35bea074318523a9b637e86b595f4"


@pytest.mark.parametrize(
    ("change", "checked", "expected"),
    [
        (lambda c: c.update(format="seesay-vocabulary"), False, "no concepts of seesay"),
        (lambda c: c.update(version=2), False, "concepts of format version 2, this seesay reads 1"),
        (lambda c: c.update(more=1), False, r"keys \['more'\] are missing or unknown"),
        (lambda c: c["words"].reverse(), False, "damaged: its words do not match"),
        (lambda c: c.update(words=[]), True, r"words \[\] are no list of words"),
        (lambda c: c.update(words="dog"), True, "words 'dog' are no list of words"),
        (lambda c: c["words"].append(""), True, r"words \[.*, ''\] are no list of words"),
        (lambda c: c["words"].append("dog"), True, "a word occurs twice"),
    ],
    ids=["format", "version", "key", "damaged", "none", "text", "empty", "twice"],
)
def test_a_damaged_file_is_refused_by_name(
    concepts: ConceptWords, tmp_path: Path, change: Callable[..., object], checked: bool, expected: str
) -> None:
    path = tmp_path / "vocabulary.json"
    concepts.save(path)
    rewritten(path, change, checked)
    with pytest.raises(DataError, match=rf"vocabulary\.json: {expected}.*restore it or train again"):
        ConceptWords.load(path)
