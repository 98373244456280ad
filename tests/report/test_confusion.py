"""The picture of what was taken for what: every square where it should be, and as dark as it should be."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from seesay.report.confusion import MOST, REST, matrix_of, picture

COUNTS = np.array([[90, 10, 0], [0, 4, 0], [1, 0, 0]])


def squares(drawing: str) -> list[dict[str, str]]:
    return [
        {**square.attrib, "title": square.findtext("{*}title") or square.findtext("title") or ""}
        for square in ElementTree.fromstring(drawing).iter("rect")
    ]


def test_matrix_of_names() -> None:
    labels, counts = matrix_of({"b": {"b": 4}, "a": {"a": 90, "b": 10}, "c": {"a": 1}})
    assert labels == ("a", "b", "c")
    np.testing.assert_array_equal(counts, COUNTS)
    labels, counts = matrix_of({"a": {"z": 2}})  # z is found and never right
    assert labels == ("a", "z") and counts.tolist() == [[0, 2], [0, 0]]


def test_a_square_for_each_pair_that_occurs() -> None:
    found = squares(picture(("a", "b", "c"), COUNTS))
    titles = ["a found as a: 90 of 100 (90.0%)", "a found as b: 10 of 100 (10.0%)", "b found as b: 4 of 4 (100.0%)"]
    assert [one["title"] for one in found] == [*titles, "c found as a: 1 of 1 (100.0%)"]
    assert [one["class"] for one in found] == ["right", "wrong", "right", "wrong"]
    assert [float(one["fill-opacity"]) for one in found] == pytest.approx([0.91, 0.1 + 0.9 * 0.1**0.5, 1, 1], abs=0.006)
    corner = float(found[0]["x"])
    side = float(found[0]["width"])
    places = [((float(one["y"]) - corner) / side, (float(one["x"]) - corner) / side) for one in found]
    np.testing.assert_allclose(places, [(0, 0), (0, 1), (1, 1), (2, 0)], atol=0.01)


def counts_in(drawing: str) -> list[tuple[str, str]]:
    texts = ElementTree.fromstring(drawing).iter("text")
    return [(text.attrib["class"], text.text or "") for text in texts if text.attrib["class"].startswith("count")]


def test_squares_of_few_labels_hold_their_counts() -> None:
    found = counts_in(picture(("a", "b", "c"), COUNTS))
    assert found == [("count over", "90"), ("count", "10"), ("count over", "4"), ("count over", "1")]
    large = np.array([[9_999, 10_400], [123_456, 7_654_321]])
    assert [text for _, text in counts_in(picture(("a", "b"), large))] == ["9,999", "10k", "123k", "8M"]
    many = np.eye(13, dtype=np.int64)
    assert len(squares(picture([f"{n}" for n in range(13)], many))) == 13
    assert not counts_in(picture([f"{n}" for n in range(13)], many))


def test_it_says_in_words_what_it_shows() -> None:
    assert 'aria-label="Confusion of 3 labels: 94 of 105 right"' in picture(("a", "b", "c"), COUNTS)


def test_names_are_escaped_and_shortened() -> None:
    drawing = picture(("<b>&", "x" * 50), np.array([[1, 1], [0, 0]]))
    assert "<b>" not in drawing and "&lt;b&gt;&amp;" in drawing
    assert f"{'x' * 15}…<" in drawing
    ElementTree.fromstring(drawing)


def test_of_many_labels_those_with_the_most_mistakes_stand_alone() -> None:
    many = MOST + 10
    counts = np.diag(np.full(many, 100))
    counts[7, 3], counts[11, 12] = 50, 5
    labels = [f"tag{n:02}" for n in range(many)]
    drawing = picture(labels, counts)
    shown = {text.text for text in ElementTree.fromstring(drawing).iter("text")}
    assert len(shown) == MOST and {"tag07", "tag03", "tag11", "tag12", REST} <= shown
    assert f"{many * 100:,} of {many * 100 + 55:,} right" in drawing
    assert f"{REST} found as {REST}: 1,100 of 1,100" in drawing


def test_nothing_and_counts_of_another_shape() -> None:
    ElementTree.fromstring(picture((), np.zeros((0, 0), int)))
    with pytest.raises(ValueError, match=r"received shape \(3, 3\); expected \(2, 2\)"):
        picture(("a", "b"), COUNTS)
