from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import DataError
from seesay.text.ptb import lex, tokenize


@pytest.mark.parametrize(
    ("caption", "tokens"),
    [
        ("", ""),
        ("  ", ""),
        ("Two small boats rest.", "two small boats rest ."),
        ("It can't be Bob's", "it ca n't be bob 's"),
        ("they’re here, aren’t they?", "they 're here , are n't they ?"),
        ("You cannot, I'm gonna", "you can not , i 'm gon na"),
        ("the boys' kites", "the boys ' kites"),
        ('a sign that says "GO"', "a sign that says `` go ''"),
        ("marked 'GO' twice", "marked ` go ' twice"),
        ("one (or two) [three] {four}", "one -lrb- or two -rrb- -lsb- three -rsb- -lcb- four -rcb-"),
        ("a red-and-white T-shirt", "a red-and-white t-shirt"),
        ("and/or his/her", "and/or his/her"),
        ("sunny—or so", "sunny -- or so"),
        ("wait... now… then", "wait ... now ... then"),
        ("on Elm St. near Dr. Who", "on elm st. near dr. who"),
        ("the U.K. team at 9 a.m.", "the u.k. team at 9 a.m."),
        ("at 7:45 for $2,500.75", "at 7:45 for $ 2,500.75"),
        ("#7 in 20% of cases", "# 7 in 20 % of cases"),
        ("bread &amp; butter, H&M", "bread & butter , h&m"),
        ("wow!! really?!", "wow !! really ?!"),
        ("go to news.example.org now", "go to news.example.org now"),
        ("a 🐈 cat🐈sleeps", "a cat sleeps"),
        ("café 東京", "café 東京"),
        ("a ½ moon", "a 1/2 moon"),
    ],
)
def test_tokens_before_punctuation_is_dropped(caption: str, tokens: str) -> None:
    assert " ".join(lex(caption)) == tokens


def test_punctuation_is_dropped_but_not_brackets_nor_runs() -> None:
    assert tokenize('"Hi", she said; it\'s 5 - 3 -- so: (yes)!! no!') == (
        ["hi", "she", "said", "it", "'s", "5", "3", "so", "-lrb-", "yes", "-rrb-", "!!", "no"]
    )


def test_each_caption_stands_alone() -> None:
    alone = tokenize("Plan B.")
    tokenize("A dog")
    assert tokenize("Plan B.") == alone == ["plan", "b."]
    assert tokenize("one\rtwo\vthree\u2028four") == ["one", "two", "three", "four"]


def test_the_caller_may_change_the_list() -> None:
    tokenize("a dog").append("x")
    assert tokenize("a dog") == ["a", "dog"]


@pytest.mark.parametrize("thing", [None, 5, b"a dog", ["a", "dog"]])
def test_a_caption_is_a_string(thing: object) -> None:
    with pytest.raises(DataError, match="expected a string"):
        tokenize(thing)  # type: ignore[arg-type]


@given(st.text())
def test_any_text_gives_lower_case_tokens_without_spaces(text: str) -> None:
    for token in tokenize(text):
        assert token and not set(token) & set(" \n\t\r")
        assert token == token.lower()


@pytest.mark.parametrize(
    "part", ["a", "-", ".", "a.", "a-", "a/", "a@", "'", "<a ", "<a b=", "<!--", "&", "1,", "_", "n't"]
)
def test_time_grows_with_the_text_and_not_faster(part: str) -> None:
    start = time.process_time()
    lex(part * 10_000)
    assert time.process_time() - start < 5  # seconds; a rule that backtracks takes minutes


def share_equal(rows: list[dict[str, str]], kind: str) -> float:
    chosen = [row for row in rows if row["kind"].split(":")[0] == kind]
    assert len(chosen) > 100
    return sum(" ".join(tokenize(row["text"])) == row["tokens"] for row in chosen) / len(chosen)


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> list[dict[str, str]]:
    lines = (shared_data / "metrics" / "tokenizer.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


@pytest.mark.parametrize(("kind", "floor"), [("real", 0.999), ("adversarial", 0.99), ("fuzz", 0.98)])
def test_equals_the_reference_tokenizer(golden: list[dict[str, str]], kind: str, floor: float) -> None:
    assert share_equal(golden, kind) >= floor


def test_a_generated_caption_keeps_its_tokens(golden: list[dict[str, str]]) -> None:
    """A model's caption is its tokens joined by spaces; scoring tokenises it again."""
    captions = [tokenize(row["text"]) for row in golden if row["kind"].startswith("real")]
    kept = Counter(tokenize(" ".join(tokens)) == tokens for tokens in captions)
    assert kept[True] / len(captions) >= 0.999
