"""Split captions into the tokens that COCO scores are computed on, without Java.

Written from the behaviour of COCO's reference tokeniser (Penn Treebank rules, lower-casing, 17 punctuation tokens
dropped): at each place every rule is tried and the longest match wins, a rule's context counting as part of its match.
"""

from __future__ import annotations

import re

from seesay.errors import DataError
from seesay.text.ptb_rules import ABBREVIATION, SHAPES, WRITTEN, rules_for

VERSION = "seesay-ptb-2"

# Brackets are written -LRB- and so on, lower-cased before the list is applied: they stay, as in every COCO score.
_DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_LONE = re.compile(r"""["(]?[A-Za-z]+(?:['-][A-Za-z]+)*[,.!?;:]?[")]?|'(?:[smd]|re|ve|ll)|[]["(){}.,;:!?&-]|""")
_SPACE = re.compile(r"[\x01-\x20]+")
_WHOLE = r"(?!(?:cannot|gonna|wanna|gotta|lemme|gimme)\b)[A-Za-z]"  # the others are two words each
_PLAIN = re.compile(rf"{_WHOLE}[A-Za-z]*(?=,?[ \n])", re.IGNORECASE)
_SINGLE = re.compile(rf"{_WHOLE}[A-Za-z]+[,.!?;:]?", re.IGNORECASE)
_ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&nbsp;": "", "&quot;": "''", "&apos;": "'"}
_AFTER = (" z", " Z", " The ", " 5", " .")  # what can change a full stop: the start of a sentence, a number
_VANISHING = frozenset("\0\xa0٫‐")
_MOST_REMEMBERED = 65536  # pieces; each shorter than 64 characters: a hostile text must not stay in memory


class _Remembered(dict[str, tuple[str, ...]]):
    """The kept tokens of a piece between two spaces, for pieces that no neighbour can change; others raise KeyError."""

    def __missing__(self, piece: str) -> tuple[str, ...]:
        if len(piece) >= 64 or not _LONE.fullmatch(piece):
            raise KeyError(piece)
        if _SINGLE.fullmatch(piece) and not ABBREVIATION.fullmatch(piece):
            tokens: tuple[str, ...] = (piece.rstrip(",.!?;:").lower(),)
        else:
            tokens = self._tried(piece)
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[piece] = tokens
        return tokens

    @staticmethod
    def _tried(piece: str) -> tuple[str, ...]:
        tokens = _kept(lex(piece))
        if piece[-1:] == "." and any(_kept(lex(piece + after))[: len(tokens)] != tokens for after in _AFTER):
            raise KeyError(piece)
        return tokens


def tokenize(caption: str) -> list[str]:
    """The caption's words as COCO's tokeniser gives them: lower-cased, punctuation dropped.

    Each caption stands alone (the reference lets the next line change a token). Raises DataError when the caption is
    not a string.

    >>> tokenize("A dog's frisbee isn't (yet) caught!")
    ['a', 'dog', "'s", 'frisbee', 'is', "n't", '-lrb-', 'yet', '-rrb-', 'caught']
    """
    if not isinstance(caption, str):
        raise DataError(f"caption: got {caption!r:.60}; expected a string; give the caption's text.")
    try:
        return [token for piece in caption.split(" ") for token in _remembered[piece]]
    except KeyError:
        return list(_kept(lex(caption)))


def _kept(tokens: list[str]) -> tuple[str, ...]:
    return tuple([token for token in tokens if token not in _DROPPED])


_remembered = _Remembered()


def lex(caption: str) -> list[str]:
    """All tokens of a caption, lower-cased, before punctuation is dropped.

    >>> lex('two dogs, "Rex" and Ben...')
    ['two', 'dogs', ',', '``', 'rex', "''", 'and', 'ben', '...']
    """
    shape = caption.translate(SHAPES) + "\n"  # the reference reads lines: what follows a caption is a line's end
    tokens: list[str] = []
    place, end = 0, len(caption)
    while place < end:
        if plain := _PLAIN.match(shape, place):
            place = plain.end()
            tokens.append(plain[0].lower())
        elif space := _SPACE.match(shape, place):
            place = space.end()
        else:
            place, token = _longest(caption, shape, place)
            tokens += token.split(" ") if token else ()
    return tokens


_dispatch: dict[str, list[tuple[re.Pattern[str], str]]] = {}


def _longest(caption: str, shape: str, place: int) -> tuple[int, str]:
    """Where the token at `place` ends and how it is written (the empty string: it vanishes)."""
    first = shape[place]
    if first not in _dispatch:
        _dispatch[first] = rules_for(first)
    reach, end, kind = place, place + 1, "alone"
    for pattern, written in _dispatch[first]:
        found = pattern.match(shape, place)
        if found and found.end() > reach:
            reach, end, kind = found.end(), found.end(1), written
    if kind == "doubled":
        return end - 1, caption[place:end].lower()
    if kind == "alone" and first in _VANISHING:
        return end, ""
    return end, _spelling(caption[place:end], kind)


def _spelling(token: str, kind: str) -> str:
    if kind == "alone":
        return WRITTEN.get(token, token.lower())
    lowered = token.lower().replace("\xad", "")
    if kind == "apostrophe":
        return lowered if token.startswith("&A") else "'" + lowered.removeprefix("&apos;").lstrip("'’\x92")
    if kind == "quotes":
        return "".join(WRITTEN.get(character, character) for character in token)
    if kind == "bracketed":
        return lowered.replace("(", "-lrb-").replace(")", "-rrb-")
    if kind == "spaced":
        return _bracketed_number(lowered.replace(" ", "\xa0"))
    if kind == "entity":
        return _ENTITIES.get(lowered, "--")
    return kind or lowered.replace("&amp;", "&") or "-"  # nothing is left of a lone soft hyphen


def _bracketed_number(token: str) -> str:
    return token.replace("(", "-lrb-").replace(")", "-rrb-") if token[0] == "(" else token
