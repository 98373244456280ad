import re
import xml.etree.ElementTree as ElementTree

import pytest

from seesay.report import curves
from seesay.report.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Line

FALLING = Line("train", [(1, 6.0), (2, 4.0), (3, 3.0)])


def points(svg: str) -> list[list[tuple[float, float]]]:
    lines = re.findall(r'<polyline points="([^"]*)"', svg)
    return [[tuple(map(float, pair.split(","))) for pair in line.split()] for line in lines]  # type: ignore[misc]


def test_a_chart_is_well_formed_and_spans_its_plane() -> None:
    svg = curves.chart("Loss", [FALLING, Line("dev", [(1, 6.5), (3, 5.0)], "second")], "epoch")
    assert ElementTree.fromstring(svg).get("aria-label") == "Loss: train ends at 3; dev ends at 5"
    train, _ = points(svg)
    assert [x for x, _ in train] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT])
    heights = [y for _, y in train]
    assert heights == sorted(heights), "a falling loss goes down the picture"
    assert min(heights) > TOP and max(heights) < HEIGHT


def test_a_chart_carries_no_style_or_script_of_its_own() -> None:
    svg = curves.chart("Loss", [FALLING], "epoch", mark=(2, 4.0))
    assert "style" not in svg and "<script" not in svg and "http" not in svg


def test_the_kept_weights_are_ringed_on_their_point() -> None:
    svg = curves.chart("Loss", [FALLING], "epoch", mark=(2, 4.0))
    ring = re.search(r'class="ring" cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert ring and (float(ring[1]), float(ring[2])) == points(svg)[0][1]


def test_borders_stand_within_the_plane_at_their_place() -> None:
    svg = curves.chart("Loss", [FALLING], "epoch", borders=(0.5, 1.0, 2.0, 3.0))
    found = re.findall(r'<line class="border" x1="([\d.]+)" x2="([\d.]+)"', svg)
    assert found == [(f"{points(svg)[0][1][0]:.1f}",) * 2], "not at the ends, nor beyond"


def test_labels_of_curves_that_end_together_do_not_overlap() -> None:
    svg = curves.chart("Loss", [FALLING, Line("dev", [(1, 5.0), (3, 3.01)], "second")], "epoch")
    places = [float(y) for y in re.findall(r'<text class="(?:first|second)"[^>]* y="([\d.]+)"', svg)]
    assert len(places) == 2 and abs(places[0] - places[1]) >= curves.LABEL_GAP


@pytest.mark.parametrize("values", [[(1, 2.0)], [(1, 0.0), (2, 0.0)], [(5, 3.0), (5, 3.0)]])
def test_a_single_or_flat_curve_is_drawn(values: list[tuple[float, float]]) -> None:
    svg = curves.chart("Score", [Line("dev", values)], "epoch", from_zero=True)
    assert "nan" not in svg and len(points(svg)[0]) == len(values)


def test_a_chart_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="Loss: no point to draw"):
        curves.chart("Loss", [Line("train", [])], "epoch")


def test_names_are_escaped() -> None:
    assert "<b>" not in curves.chart("<b>", [Line("<b>", [(1, 2), (2, 3)])], "<b>")


def test_a_histogram_counts_every_picture_once() -> None:
    svg = curves.histogram([0.0, 0.1, 0.1, 0.9, 1.0, 2.0, -0.1, 0.0, 0.5], "CIDEr-D")
    counts = [int(count) for count in re.findall(r"<title>(\d+) between", svg)]
    assert sum(counts) == 9 and counts[0] == 5
    assert "mean 0.5<" in svg and 'aria-label="Scores of 9 pictures: mean 0.5, -0.1 to 2"' in svg


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [3.5]])
def test_a_histogram_of_equal_scores_is_drawn(values: list[float]) -> None:
    svg = curves.histogram(values, "CIDEr-D")
    ElementTree.fromstring(svg)
    assert f"<title>{len(values)} between" in svg


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 30, 6, [5, 10, 15, 20, 25, 30]),
        (2, 2, 5, [2]),
        (0, 5e-4, 3, [0, 2e-4, 4e-4]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]) -> None:
    assert curves.ticks(low, high, most) == pytest.approx(expected)


def test_thin_keeps_the_mean_and_few_points_as_they_are() -> None:
    many = [(float(x), float(x % 2)) for x in range(1000)]
    few = curves.thin(many, most=100)
    assert len(few) == 100 and {y for _, y in few} == {0.5}
    assert curves.thin([(1, 2.0), (2, 3.0)]) == [(1, 2.0), (2, 3.0)] and curves.thin([]) == []


@pytest.mark.parametrize(("first", "last"), [(1, 3), (0.02, 3), (0.9, 1), (1, 1), (1, 12), (0, 1)])
def test_the_axis_of_epochs_has_whole_numbers_alone(first: float, last: float) -> None:
    svg = curves.chart("Loss", [Line("train", [(first, 2.0), (last, 1.0)])], "epoch")
    places = re.findall(rf'y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">([^<]*)<', svg)
    assert places and all(place.isdecimal() for place in places)


def test_an_axis_within_one_epoch_keeps_its_numbers() -> None:
    svg = curves.chart("Rate", [Line("rate", [(0.1, 1.0), (0.95, 2.0)])], "epoch")
    assert re.findall(rf'y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">([^<]*)<', svg) == ["0.2", "0.4", "0.6", "0.8"]


def test_a_faint_curve_is_named_beside_the_others_without_a_number() -> None:
    svg = curves.chart("Loss", [Line("each step", [(0.5, 7.0), (2.5, 3.1)], "faint"), FALLING], "epoch")
    names = {name: float(y) for y, name in re.findall(r'<text class="\w+" x="262.0" y="([\d.]+)">([^<]*)<', svg)}
    assert names.keys() == {"each step", "train 3"} and names["train 3"] - names["each step"] >= curves.LABEL_GAP


@pytest.mark.parametrize("values", [[0.0, 0.0, 1.0], [4.35, 4.35, 0.0]])
def test_the_mean_of_a_histogram_stands_above_all_lines(values: list[float]) -> None:
    svg = curves.histogram(values, "CIDEr-D")
    grid = [float(y) for y in re.findall(r'class="grid"[^>]* y1="([\d.]+)"', svg)]
    name = re.search(r'y="([\d.]+)"[^>]*>mean ', svg)
    assert name and float(name[1]) < min(grid)
