from __future__ import annotations

import pytest

from seesay.text.content_words import FUNCTION_WORDS, is_content
from seesay.text.ptb import tokenize


def test_what_a_picture_shows_is_left_of_a_sentence() -> None:
    words = tokenize("The two dogs' owners aren't in a red T-shirt, but they're running over 3 snow-covered hills.")
    assert [word for word in words if is_content(word)] == [
        "two",
        "dogs",
        "owners",
        "red",
        "t-shirt",
        "running",
        "snow-covered",
        "hills",
    ]


@pytest.mark.parametrize(
    "token", ["", "a", "x", "3", "1990s", "'s", "n't", "--", "...", "-lrb-", "dog-", "<eos>", "u.s."]
)
def test_what_is_no_word_is_no_content(token: str) -> None:
    assert not is_content(token)


@pytest.mark.parametrize("token", ["café", "naïve", "犬です", "o'clock", "merry-go-round"])
def test_letters_of_any_script_are_content(token: str) -> None:
    assert is_content(token)


def test_the_list_is_of_words_in_lower_case() -> None:
    assert all(word.replace("'", "").isalpha() and word == word.lower() for word in FUNCTION_WORDS)
    assert FUNCTION_WORDS.isdisjoint({"two", "front", "top", "back", "dog", "red", "running", "together"})
