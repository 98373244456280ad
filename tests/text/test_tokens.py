from __future__ import annotations

import pytest

from seesay.errors import UnknownName
from seesay.text.tokens import WAYS, split_by


@pytest.mark.parametrize(
    ("way", "text", "words"),
    [
        ("spaces", " It's  GOOD .\t", ["It's", "GOOD", "."]),
        ("ptb", "It's GOOD!", ["it", "'s", "good", "!"]),
        ("spaces", "", []),
        ("ptb", " ", []),
    ],
)
def test_words_of_a_text(way: str, text: str, words: list[str]) -> None:
    assert split_by(way)(text) == words


def test_an_unknown_way_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown way to part texts 'space'\. Did you mean 'spaces'\? Known"):
        split_by("space")
    assert set(WAYS) == {"spaces", "ptb"}
