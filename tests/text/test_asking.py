"""Questions as sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seesay.text.asking import is_whole, spell
from seesay.text.ptb import tokenize


@pytest.mark.parametrize(
    "text", ["what's in it?", "isn't that the dog's bowl?", "why?", "do n't"], ids=["is", "not", "one", "cut"]
)
def test_spelling_keeps_the_words(text: str) -> None:
    assert tokenize(spell(tokenize(text))) == tokenize(text)


def test_spelling() -> None:
    assert spell(["where", "'s", "the", "dog", "'s", "bowl"]) == "where's the dog's bowl?"
    assert spell(["'s", "it"]) == "'s it?"
    assert spell([]) == "?"


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("what are they looking at", True),
        ("what is it made of", True),
        ("what is the man in the hat doing", True),  # "the" twice, not running
        ("why", True),
        ("what is the", False),
        ("is he tired or", False),
        ("what is", False),
        ("what colour are", False),
        ("what do you think this is", True),
        ("is this", False),
        ("is", False),
        ("is the man", False),
        ("is this tennis", True),
        ("was anyone hurt", True),
        ("what kind of", False),
        ("of", True),
        ("who won", True),
        ("how many", False),
        ("how many people", True),
        ("is is it", False),
        ("is it is it red", False),
        ("is it red is it", True),  # said again, but not at once
        ("", False),
    ],
)
def test_whole_questions(words: str, whole: bool) -> None:
    assert is_whole(words.split()) is whole


def test_what_people_ask_is_whole(shared_data: Path) -> None:
    records = json.loads((shared_data / "vqg_coco" / "questions.json").read_text(encoding="utf-8"))
    asked = [text for record in records for text in record["questions"]]
    asked += [pair["question"] for record in records for pair in record["vqa"]]
    assert len(asked) > 2000 and [text for text in asked if not is_whole(tokenize(text))] == []
