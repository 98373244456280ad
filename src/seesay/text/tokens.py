"""Ways to part a text into words, by the names that recipes give them."""

from __future__ import annotations

from collections.abc import Callable

from seesay.errors import UnknownName
from seesay.text.ptb import lex

Split = Callable[[str], list[str]]

WAYS: dict[str, Split] = {"spaces": str.split, "ptb": lex}


def split_by(way: str) -> Split:
    """What parts a text into words: "spaces" where the words stand apart already, "ptb" for texts as people write them.

    "ptb" parts as the Penn Treebank does, lower-cased, and keeps the punctuation, since "!" may tell labels apart.
    Raises UnknownName for another way.

    >>> split_by("spaces")("It isn't good!"), split_by("ptb")("It isn't good!")
    (['It', "isn't", 'good!'], ['it', 'is', "n't", 'good', '!'])
    """
    if way not in WAYS:
        raise UnknownName("way to part texts", way, WAYS)
    return WAYS[way]
