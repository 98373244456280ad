"""Tags of every kind, in and out of order, and the spans they mean."""

from __future__ import annotations

import itertools

import pytest

from seesay.errors import DataError, UnknownName
from seesay.text.spans import SCHEMES, Span, check_tags, is_whole, spans_of, tags_of, transitions

TAGS = {
    "BIO": ("O", "B-X", "I-X", "B-Y", "I-Y"),
    "BIOES": ("O", "B-X", "I-X", "E-X", "S-X", "I-Y", "E-Y"),
    "raw": ("O", "X", "Y-Z"),
}


def by_edges(tags: tuple[str, ...]) -> list[Span]:
    """conlleval's reading told another way: whether a span begins or ends at a word, from its neighbours alone."""
    begins, ends = [], []
    for place, tag in enumerate(tags):
        if tag == "O":
            continue
        before = tags[place - 1] if place else "O"
        after = tags[place + 1] if place + 1 < len(tags) else "O"
        if tag[0] in "BS" or before == "O" or before[0] in "ES" or before[2:] != tag[2:]:
            begins.append(place)
        if tag[0] in "ES" or after == "O" or after[0] in "BS" or after[2:] != tag[2:]:
            ends.append(place)
    return [Span(tags[start][2:], start, end + 1) for start, end in zip(begins, ends, strict=True)]


@pytest.mark.parametrize(("scheme", "length"), [("BIO", 5), ("BIOES", 4)])
def test_every_short_sequence_is_read_as_conlleval_reads_it(scheme: str, length: int) -> None:
    for size in range(length + 1):
        for tags in itertools.product(TAGS[scheme], repeat=size):
            assert spans_of(tags, scheme) == by_edges(tags), tags


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O", []),
        ("I-X", [("X", 0, 1)]),
        ("I-X I-X B-X", [("X", 0, 2), ("X", 2, 3)]),  # IOB1: B parts neighbours of one type
        ("B-X I-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("B-X O I-X", [("X", 0, 1), ("X", 2, 3)]),
        ("B-a-b I-a-b", [("a-b", 0, 2)]),  # the type may have a dash
        ("B I O I", [("", 0, 2), ("", 3, 4)]),  # spans of one kind alone
        ("NN NN", []),  # neither prefix nor type: no span
        ("B-X I-X E-X S-X", [("X", 0, 3), ("X", 3, 4)]),
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("O-X . B-X .", [("X", 2, 3)]),
    ],
)
def test_by_hand(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert spans_of(tags.split(), "BIOES") == [Span(*one) for one in expected]


def test_raw_types_stand_for_single_words() -> None:
    assert spans_of(["X", "X", "O", "Y-Z"], "raw") == [Span("X", 0, 1), Span("X", 1, 2), Span("Y-Z", 3, 4)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tags_and_spans_undo_each_other_where_tags_are_whole(scheme: str) -> None:
    seen = 0
    for tags in itertools.product(TAGS[scheme], repeat=4):
        there_and_back = tags_of(spans_of(tags, scheme), len(tags), scheme)
        assert is_whole(there_and_back, scheme)
        assert (there_and_back == list(tags)) is is_whole(tags, scheme)
        seen += is_whole(tags, scheme)
    assert 10 < seen <= len(TAGS[scheme]) ** 4


@pytest.mark.parametrize("scheme", SCHEMES)
def test_transitions_allow_just_the_whole_sequences(scheme: str) -> None:
    names = TAGS[scheme]
    allowed = transitions(names, scheme)
    for ids in itertools.product(range(len(names)), repeat=3):
        steps = all(allowed.pairs[one][other] for one, other in itertools.pairwise(ids))
        assert (allowed.start[ids[0]] and steps and allowed.end[ids[-1]]) is is_whole([names[i] for i in ids], scheme)


@pytest.mark.parametrize(
    ("span", "length", "scheme"),
    [
        (Span("X", 1, 1), 3, "BIO"),
        (Span("X", 2, 4), 3, "BIO"),
        (Span("X", -1, 2), 3, "BIO"),
        (Span("X", 0, 2), 3, "raw"),
    ],
    ids=["empty", "beyond the end", "before the start", "of two words"],
)
def test_a_span_that_no_tags_can_say_is_refused(span: Span, length: int, scheme: str) -> None:
    with pytest.raises(DataError, match="span 'X' of"):
        tags_of([span], length, scheme)


def test_overlapping_spans_are_refused() -> None:
    with pytest.raises(DataError, match=r"span 'Y' of words 1 to 3: received for 4 words.*overlaps no other"):
        tags_of([Span("X", 0, 2), Span("Y", 1, 3)], 4)


@pytest.mark.parametrize(
    ("tag", "scheme"), [("NN", "BIO"), ("E-X", "BIO"), ("B-", "BIO"), ("BI-X", "BIOES"), ("-X", "BIO")]
)
def test_a_tag_of_another_scheme_is_refused(tag: str, scheme: str) -> None:
    with pytest.raises(DataError, match=f"received the tag '{tag}'; expected O, B-TYPE.* as scheme {scheme} has"):
        check_tags(["O", tag], scheme)
    check_tags(["O", tag], "raw")


def test_an_unknown_scheme_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown scheme 'BOI'\. Did you mean 'BIO'"):
        spans_of([], "BOI")
