"""Spans of words, such as the names in a sentence, as tags of its words, and back.

    BIO     B- the first word of a span, I- every further one, O outside of all
    BIOES   B- the first, I- those between, E- the last, S- the only one
    raw     a type without B- or I-: every word but an O is a span of its own

What comes after the first "-" is the span's type. Tags that people or models wrote need not fit together: such a
sequence means what CoNLL's scorer `conlleval` takes it to mean (Tjong Kim Sang and Buchholz 2000; its later users
added E and S), so that an I after an O begins a span, and so does an I of another type. IOB1, in which B only parts
neighbours, is read by the rules of BIO.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seesay.errors import DataError, UnknownName

SCHEMES = ("BIO", "BIOES", "raw")
OUTSIDE = "O"
_PREFIXES = {"BIO": "BI", "BIOES": "BIES"}
# Pairs of neighbouring prefixes between which a span begins, or ends, whatever their types.
_BEGINS = {*itertools.product("OBIES", "BS"), *itertools.product("OES", "IE")}
_ENDS = {*itertools.product("ES", "OBIES"), *itertools.product("BI", "BSO")}
_BLANK = {OUTSIDE, "."}  # prefixes that belong to no span, whatever type follows them


class Span(NamedTuple):
    """Some words in a row: the `start`-th, counted from 0, up to but without the `end`-th."""

    type: str
    start: int
    end: int


class Transitions(NamedTuple):
    """Which tags may begin a sentence, follow one another (`pairs[before][now]`) and end it."""

    start: tuple[bool, ...]
    pairs: tuple[tuple[bool, ...], ...]
    end: tuple[bool, ...]


def spans_of(tags: Iterable[str], scheme: str = "BIO") -> list[Span]:
    """The spans that the tags of one sentence mean, in their order.

    Raises UnknownName for a scheme that is none of BIO, BIOES and raw.

    >>> spans_of(["B-PER", "I-PER", "O", "I-LOC", "I-PER"])
    [Span(type='PER', start=0, end=2), Span(type='LOC', start=3, end=4), Span(type='PER', start=4, end=5)]
    """
    _check(scheme)
    if scheme == "raw":
        return [Span(tag, place, place + 1) for place, tag in enumerate(tags) if tag != OUTSIDE]
    found: list[Span] = []
    before, kind, start = OUTSIDE, "", -1  # no span is open while `start` is -1
    for place, tag in enumerate([*tags, OUTSIDE]):
        now, _, other = tag.partition("-")
        ends = (before, now) in _ENDS or (before not in _BLANK and kind != other)
        begins = (before, now) in _BEGINS or (now not in _BLANK and kind != other)
        if start >= 0 and (ends or begins):
            found.append(Span(kind, start, place))
        start = place if begins else -1 if ends else start
        before, kind = now, other
    return found


def tags_of(spans: Iterable[Span], length: int, scheme: str = "BIO") -> list[str]:
    """The tags of a sentence of `length` words with these spans; what `spans_of` undoes.

    Raises DataError for a span that is empty, reaches beyond the sentence or overlaps another, and for one of several
    words where the scheme is raw.

    >>> tags_of([Span("PER", 0, 3), Span("LOC", 4, 5)], 5, "BIOES")
    ['B-PER', 'I-PER', 'E-PER', 'O', 'S-LOC']
    """
    _check(scheme)
    tags = [OUTSIDE] * length
    for span in spans:
        if not 0 <= span.start < span.end <= length or any(tag != OUTSIDE for tag in tags[span.start : span.end]):
            raise DataError(
                f"span {span.type!r:.40} of words {span.start} to {span.end}: received for {length} words; expected "
                "one that lies within them and overlaps no other; correct it."
            )
        if scheme == "raw" and span.end - span.start > 1:
            raise DataError(
                f"span {span.type!r:.40} of {span.end - span.start} words: received with scheme raw; expected single "
                "words; choose BIO or BIOES."
            )
        tags[span.start : span.end] = _tagged(span, scheme)
    return tags


def check_tags(tags: Iterable[str], scheme: str) -> None:
    """Raises DataError for a tag that the scheme does not know at all, such as NN in BIO; order is not looked at.

    >>> check_tags(["O", "B-PER"], "BIO")
    """
    _check(scheme)
    known = _PREFIXES.get(scheme)
    for tag in tags:
        prefix, dash, kind = tag.partition("-")
        if known and tag != OUTSIDE and not (dash and kind and len(prefix) == 1 and prefix in known):
            shown = ", ".join(f"{letter}-TYPE" for letter in known)
            raise DataError(f"received the tag {tag!r:.40}; expected O, {shown}, as scheme {scheme} has.")


def transitions(tags: Sequence[str], scheme: str) -> Transitions:
    """What may begin a sentence, follow one another and end it, among these tags.

    >>> transitions(["B-X", "I-X", "O"], "BIO").pairs
    ((True, True, True), (True, True, True), (True, False, True))
    """
    check_tags(tags, scheme)
    return Transitions(
        tuple(_follows(OUTSIDE, tag, scheme) for tag in tags),
        tuple(tuple(_follows(before, now, scheme) for now in tags) for before in tags),
        tuple(_follows(tag, OUTSIDE, scheme) for tag in tags),
    )


def is_whole(tags: Sequence[str], scheme: str) -> bool:
    """Whether the tags of a sentence keep to the scheme, so that `tags_of` could have written them.

    >>> is_whole(["B-X", "I-X", "O"], "BIO"), is_whole(["O", "I-X"], "BIO")
    (True, False)
    """
    whole = [OUTSIDE, *tags, OUTSIDE]
    return all(_follows(before, now, scheme) for before, now in itertools.pairwise(whole))


def _follows(before: str, now: str, scheme: str) -> bool:
    """Whether one tag may stand after another; the edge of a sentence counts as O."""
    (first, _, kind), (second, _, other) = before.partition("-"), now.partition("-")
    inside = second in ("I", "E") and scheme != "raw"
    if scheme == "BIOES":
        return (first in ("B", "I")) == inside and (not inside or kind == other)
    return not inside or (first in ("B", "I") and kind == other)


def _tagged(span: Span, scheme: str) -> list[str]:
    size = span.end - span.start
    if scheme == "raw":
        return [span.type]
    letters = ["B"] + ["I"] * (size - 1)
    if scheme == "BIOES":
        letters[-1] = "S" if size == 1 else "E"
    return [f"{letter}-{span.type}" for letter in letters]


def _check(scheme: str) -> None:
    if scheme not in SCHEMES:
        raise UnknownName("scheme", scheme, SCHEMES)
