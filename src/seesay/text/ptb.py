"""Split captions into the tokens that COCO scores are computed on, without Java.

Written from the behaviour of COCO's reference tokeniser (Penn Treebank rules, lower-casing, 17 punctuation tokens
dropped): at each place every rule is tried and the longest match wins, a rule's context counting as part of its match.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from seesay.errors import DataError

VERSION = "seesay-ptb-1"

# Brackets are written -LRB- and so on, lower-cased before the list is applied: they stay, as in every COCO score.
_DROPPED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])

_WRITTEN = {
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "“": "``", "”": "''", "«": "``", "»": "''", "‘": "`", "’": "'", "‛": "`", "‹": "`", "›": "'",
    "\x91": "`", "\x92": "'", "\x93": "``", "\x94": "''", "\x96": "--", "\x97": "--", "\x85": "...",
    "–": "--", "—": "--", "―": "--", "…": "...",
    "€": "$", "\x80": "$", "£": "#", "¢": "cents", "¼": "1/4", "½": "1/2", "¾": "3/4",
    "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&nbsp;": "",
}  # fmt: skip

_APOSTROPHE = r"(?:['’\x92]|&apos;)"
_LETTER = r"[^\W\d_²³¹¼½¾\u2150-\u218f]"
_MARKED = rf"(?:{_LETTER}|[\u0300-\u036f\u0591-\u0670\u0900-\u0e4e\xad])"  # letters of any script and their marks
_ALNUM = rf"(?:{_MARKED}|\d)"
_THING = rf"{_ALNUM}+(?:_+{_ALNUM}+)*"
_END = rf"(?!{_ALNUM})"
_ABBREVIATIONS = (
    "jan|feb|apr|jun|jul|aug|sept?|oct|nov|dec|mr|mrs|ms|dr|prof|gen|rep|sen|gov|lt|col|capt|sgt|maj|rev|st|ste|mt|"
    "ave|blvd|rd|etc|inc|co|corp|ltd|bros|jr|sr|vs|ft|sq|dept|univ|ph\\.d|"
    "(?-i:Pa|Calif|Fla|Ind|Mass|Mich|Minn|Tex|Wash|Mar|Mon|Tues?|Wed|Thurs?|Fri)"  # lower case, these are plain words
)
# A rule: a token's pattern, the context that must follow it, and how the token is written when not as it stands.
# The longest match wins; the order decides between equals.
_RULES = (
    (r"(?:can(?=not)|gon(?=na)|wan(?=na)|got(?=ta)|lem(?=me)|gim(?=me))", rf"(?:not|na|ta|me){_END}", ""),
    (rf"{_MARKED}+", "", ""),
    (_THING, "", ""),
    (rf"{_THING}(?:[-‐‑]{_THING})+", "", ""),
    (rf"{_THING}(?:\\?/{_THING})+(?:-{_THING})*", "", ""),
    (rf"(?:{_MARKED}+-)?{_MARKED}*(?!n){_MARKED}", rf"n{_APOSTROPHE}t", ""),
    (rf"n{_APOSTROPHE}t", _END, "n't"),
    (rf"{_APOSTROPHE}(?:[smd]|re|ve|ll)", _END, "apostrophe"),
    (rf"{_APOSTROPHE}t", rf"(?:is|was){_END}", ""),
    (rf"[dlno]{_APOSTROPHE}{_MARKED}+", "", ""),
    (rf"c{_APOSTROPHE}mon|hawai{_APOSTROPHE}i|xi{_APOSTROPHE}an|ma{_APOSTROPHE}am", _END, ""),
    (rf"(?:ol|dunkin){_APOSTROPHE}", _END, ""),
    (rf"{_APOSTROPHE}(?:n{_APOSTROPHE}|n|em|til|cause)", _END, ""),
    (rf"{_APOSTROPHE}n{_APOSTROPHE}", "", ""),
    (rf"(?<!\d){_APOSTROPHE}\d\ds?", _END, ""),
    (r"[-+]?\d*(?:[.,:]\d+)+", "", ""),
    (r"[-+]\d+", "", ""),
    (r"\d+-\d+/\d+", "", ""),
    (r"\d+[ \xa0]\d+/\d+", "", "fraction"),
    (rf"\d*(?:[.,]\d+)+(?:-{_THING})+", "", ""),
    (r"(?-i:[A-Z]+(?:&amp;|&)[A-Z]+)", "", ""),
    (r"[a-z](?:\.[a-z])*\.", "", ""),
    (r"[a-z](?:\.[a-z])+\.?(?:-[a-z]+)+", "", ""),
    (r"(?-i:[A-Za-z](?:\.[A-Za-z])+)", "", ""),
    (rf"(?:{_ABBREVIATIONS})\.(?:-[a-z]+)*", "", ""),
    (r"(?:nos?|figs?|pp|art)\.", r"[ \xa0]?\d", ""),
    (r"[a-z]+(?:\.[a-z]+)+(?:/[^\s\"<>|(){}]*[^\s\"<>|.!?(){},-])?", "", ""),
    (r"https?://[^\s\"<>|(){}]+[^\s\"<>|.!?(){},-]", "", ""),
    (r"[a-z0-9][^\s\"<>|()@]{0,99}@(?:[^\s\"<>|().@]+\.)*[^\s\"<>|().@]+", "", ""),
    (r"@[a-z_]\w*|#[a-z]\w*|c#|@{2,}|#{2,}", "", ""),
    (r"</?[a-z][\w:.-]*(?:\s+[\w:.-]+(?:=(?:\"[^\"<>]*\"|'[^'<>]*'|[\w:.-]+))?)*\s*/?>|<!--[^<>]*-->", "", "tag"),
    (r"&(?:amp|lt|gt|nbsp);|&#\d+;", "", ""),
    (r"(?-i:[<>]?[:;=][-o*']?[()DPpO3|\\]|[xX]D)", _END, "smiley"),
    (r">_<|\^_\^", "", ""),
    (r"\.{3,}|\.(?: \.){2,}", "", "..."),
    (r"-{2,}", "", "--"),
    (r"[!?]+", "", ""),
    (r"_+", "", ""),
    (r"(?-i:US|A|C|T)\$", "", ""),
    (r"''|``", "", ""),
    (r"[²³¹]+|<<|>>|-(?:lrb|rrb|lsb|rsb|lcb|rcb)-", "", ""),
    (rf"{_MARKED}+[!?]{_MARKED}+", "", ""),
    (r"\"|&quot;", _ALNUM, "``"),
    (r"&quot;", "", "''"),
    (rf"’[smd](?={_MARKED})", "", "apostrophe"),
    (r"'", rf"{_ALNUM}{_ALNUM}", "`"),
)
_COMPILED = tuple((re.compile(f"({token}){context}", re.IGNORECASE), written) for token, context, written in _RULES)
_SPACE = re.compile(r"[\s\x00-\x20\u200b-\u200f\ufeff]+")
_PLAIN = re.compile(r"([A-Za-z]+)(?:[ ,]+|$)")
_SPLIT = frozenset(["cannot", "gonna", "gotta", "wanna", "lemme", "gimme"])
_LONGEST_REMEMBERED = 1000  # characters: a hostile text must not stay in memory
_KEPT = frozenset("†‡•‚„‟′″‰")


def tokenize(caption: str) -> list[str]:
    """The caption's words as COCO's tokeniser gives them: lower-cased, punctuation dropped.

    Each caption stands alone (the reference lets the next line change a token). Captions seen before come from a
    bounded memo. Raises DataError when the caption is not a string.

    >>> tokenize("A dog's frisbee isn't (yet) caught!")
    ['a', 'dog', "'s", 'frisbee', 'is', "n't", '-lrb-', 'yet', '-rrb-', 'caught']
    """
    if not isinstance(caption, str):
        raise DataError(f"caption: got {caption!r:.60}; expected a string; give the caption's text.")
    return list(_words(caption) if len(caption) > _LONGEST_REMEMBERED else _remembered(caption))


def _words(caption: str) -> tuple[str, ...]:
    return tuple(sys.intern(token) for token in lex(caption) if token not in _DROPPED)


_remembered = lru_cache(maxsize=65536)(_words)


def lex(caption: str) -> list[str]:
    """All tokens of a caption, lower-cased, before punctuation is dropped.

    >>> lex('two dogs, "Rex" and Ben...')
    ['two', 'dogs', ',', '``', 'rex', "''", 'and', 'ben', '...']
    """
    tokens: list[str] = []
    place, end = 0, len(caption)
    while place < end:
        plain = _PLAIN.match(caption, place)
        if plain and plain[1].lower() not in _SPLIT:
            tokens.append(plain[1].lower())
            place = plain.end(1)
        elif space := _SPACE.match(caption, place):
            place = space.end()
        else:
            place, token = _longest(caption, place)
            if token:
                tokens.append(token)
    return tokens


def _longest(caption: str, place: int) -> tuple[int, str]:
    """Where the token at `place` ends and how it is written (the empty string: it vanishes)."""
    reach, end, written = place, place + 1, ""
    for pattern, kind in _COMPILED:
        found = pattern.match(caption, place)
        if found and found.end() > reach:
            reach, end, written = found.end(), found.end(1), kind
    return end, _spelling(caption[place:end], written, reach == place)


def _spelling(token: str, written: str, alone: bool) -> str:
    lowered = token.lower().replace("\xad", "")
    if alone:
        return _WRITTEN.get(token, lowered if _is_kept(token) else "") if token != '"' else "''"
    if written == "apostrophe":
        return re.sub(_APOSTROPHE, "'", lowered)
    if written == "smiley":
        return lowered.replace("(", "-lrb-").replace(")", "-rrb-")
    if written in ("tag", "fraction"):
        return lowered.replace(" ", "\xa0")
    return written or _WRITTEN.get(lowered, lowered.replace("&amp;", "&"))


def _is_kept(character: str) -> bool:
    """Whether a character that no rule knows stays as a token of its own; emoji and rare signs vanish."""
    code = ord(character)
    return (
        0x20 < code < 0x7F
        or 0xA0 < code <= 0xFF
        or 0x2100 <= code < 0x2150
        or 0x2190 <= code < 0x2C00
        or 0xFF00 <= code < 0xFFE0
        or (character in _KEPT)
    )
