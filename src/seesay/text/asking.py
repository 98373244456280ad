"""Questions as sentences: how a model's words are spelled as a question, and which of its questions are whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

# Words that want another after them. Unlike a caption, a question may well end with "at", "for" or "it".
_OPEN = "a an the my your its our their and or but nor than very whose every as if many"
_BE = "is are was were am"
_HELPING = f"{_BE} do does did can could will would should has have had may might must"  # a yes or no answers these
_OF = "kind sort type lot"  # "made of" may stand at the end, "what kind of" may not
_JOINED = ("'", "n't")  # what Penn Treebank tokens cut off begins with these


def spell(tokens: Sequence[str]) -> str:
    """The tokens as a question: contractions joined, a question mark at its end.

    >>> spell("what 's in the box".split()), spell("is n't it cold".split())
    ("what's in the box?", "isn't it cold?")
    """
    text = ""
    for token in tokens:
        text += token if token.startswith(_JOINED) or not text else f" {token}"
    return f"{text}?"


def is_whole(tokens: Sequence[str]) -> bool:
    """Whether nothing is missing at the end of a question and no word, and no pair of words, is said again at once.

    >>> [is_whole(words.split()) for words in ("what is it", "what is the", "is is it", "what is what is it", "")]
    [True, False, False, False, False]
    """
    if not tokens or tokens[-1] in _OPEN.split() or _lacks(tokens):
        return False
    twice = any(a == b for a, b in itertools.pairwise(tokens))
    pairs = list(itertools.pairwise(tokens))
    return not twice and all(pairs[i] != pairs[i + 2] for i in range(len(pairs) - 2))


def _lacks(tokens: Sequence[str]) -> bool:
    """Whether nothing is asked yet: "what is", "is this", "is the man", "what kind of"."""
    if tokens[-1] in _BE.split():  # "what do you think this is" has another verb before
        return not any(token in _HELPING.split() for token in tokens[:-1])
    if tokens[0] in _HELPING.split():
        return len(tokens) < 3 or (len(tokens) == 3 and tokens[1] in ("a", "an", "the"))
    return tokens[-1] == "of" and len(tokens) > 1 and tokens[-2] in _OF.split()
