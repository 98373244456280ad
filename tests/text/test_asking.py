"""Questions as sentences."""

from __future__ import annotations

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
        ("is is it", False),
        ("is it is it red", False),
        ("is it red is it", True),  # said again, but not at once
        ("", False),
    ],
)
def test_whole_questions(words: str, whole: bool) -> None:
    assert is_whole(words.split()) is whole
