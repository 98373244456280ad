"""METEOR's own normaliser for English: it splits punctuation off a second time, after the tokeniser.

Captions come tokenised by `seesay.text.ptb`, yet METEOR 1.5 with `-norm` rewrites them once more ("n't" becomes
"n 't", "u.s." becomes "us", "co-ed" becomes "co ed"), and the words it then sees are what it scores.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# What METEOR takes for a letter: Latin up to U+017E and Cyrillic, so that Greek or Chinese letters count as symbols.
_LETTER = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u017e\u0400-\u0527\u1d00-\u1d7f\ua640-\ua66e\ua67e-\ua697"

_ENDS = "".join(map(chr, range(33)))
_TRANSLATION = str.maketrans(
    {"`": "'", "‘": "'", "’": "'", "“": '"', "”": '"', "–": " - ", **dict.fromkeys("\t\n\f\r", " ")}
)
_PLAIN = re.compile(r"[a-z0-9 ]*")
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"([^{_LETTER}0-9'\-., \v])", r" \1 "),
        (r"(\.\.+)", r" \1 "),
        # Each rule consumes the characters beside the mark, as the original's do: of "a,b,c" one comma may wait for
        # the next rule, of "a-b-c" only the first hyphen goes.
        (r"([^0-9]),([^0-9])", r"\1 , \2"),
        (r"([0-9]),([^0-9])", r"\1 , \2"),
        (r"([^0-9]),([0-9])", r"\1 , \2"),
        (rf"([^{_LETTER}])'([^{_LETTER}])", r"\1 ' \2"),
        (rf"([^{_LETTER}0-9])'([{_LETTER}])", r"\1 ' \2"),
        (rf"([{_LETTER}])'([^{_LETTER}])", r"\1 ' \2"),
        (rf"([{_LETTER}])'([{_LETTER}])", r"\1 '\2"),
        (r"([0-9])'s", r"\1 's"),
        (rf"([{_LETTER}0-9.])-([{_LETTER}0-9])", r"\1 \2"),
    )
)
# These stand as a word of their own while full stops are judged, and then vanish: "mr.", no-break space, "x".
_WIDE_SPACES = frozenset("\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
_HAS_LETTER = re.compile(f"[{_LETTER}]")


class Prefixes(NamedTuple):
    """Abbreviations that keep their full stop: before a capital (titles and the like), and before a number alone."""

    always: frozenset[str] = frozenset()
    before_numbers: frozenset[str] = frozenset()

    @classmethod
    def read(cls, text: str) -> Prefixes:
        """The prefixes in METEOR's list: one a line, `#` begins a remark, and one remark says "numbers only".

        >>> Prefixes.read("# Titles\\nDr\\nNo #NUMERIC_ONLY#\\n")
        Prefixes(always=frozenset({'Dr'}), before_numbers=frozenset({'No'}))
        """
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        numeric = {line.split("#")[0].strip() for line in lines if "#NUMERIC_ONLY#" in line}
        return cls(frozenset(lines) - {line for line in lines if "#" in line}, frozenset(numeric))


def normalize(text: str, prefixes: Prefixes) -> list[str]:
    """The words that METEOR 1.5 (`-norm`, English) makes of a line of text, in lower case.

    >>> normalize("it is n't the u.s. , a co-ed said", Prefixes())
    ['it', 'is', 'n', "'t", 'the', 'us', ',', 'a', 'co', 'ed', 'said']
    """
    if _PLAIN.fullmatch(text):  # nearly every caption: nothing to rewrite
        return text.split()
    text = f" {text.strip(_ENDS).translate(_TRANSLATION)} "
    text = text.replace("''", '"').replace("--", "-")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    words = [word for word in text.split(" ") if word]
    kept = [_full_stop(word, after, prefixes) for word, after in zip(words, [*words[1:], ""], strict=False)]
    kept = [word for word in kept if word not in _WIDE_SPACES]
    line = " ".join(kept).strip(_ENDS).lower()
    return line.split(" ") if line else []


def _full_stop(word: str, after: str, prefixes: Prefixes) -> str:
    """The word, its final full stop split off, kept or, within an acronym, dropped with the others."""
    if len(word) < 2 or word[-1] != "." or word[-2] == ".":
        return word
    stem = word[:-1]
    if "." in stem and _HAS_LETTER.search(stem):
        return word.replace(".", "")
    keeps = "a" <= after[:1] <= "z" or stem in prefixes.always
    numbered = stem in prefixes.before_numbers and "0" <= after[:1] <= "9"
    return word if keeps or numbered else f"{stem} ."
