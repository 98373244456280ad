import base64
import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from seesay.report.overlay import data_uri, grid_side, heat_png, jpeg, levels, spread


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.uint8)


def one_hot(cell: int) -> npt.NDArray[np.float64]:
    weights = np.zeros(49)
    weights[cell] = 1
    return weights


def test_the_attended_cell_is_bright_and_the_others_dark() -> None:
    grid = levels(one_hot(2 * 7 + 5), side=70)  # third row, sixth column
    assert grid.shape == (70, 70)
    assert grid[25, 55] > 250
    assert grid[25, 15] == 0 and grid[65, 55] == 0


def test_rows_of_the_grid_run_down_the_picture() -> None:
    grid = levels(one_hot(6), side=70)
    rows, columns = np.nonzero(grid > 250)
    assert rows.max() < 10 and columns.min() >= 60


def test_heat_is_a_dark_veil_where_it_did_not_look_and_clear_and_warm_where_it_did() -> None:
    rgba = pixels(heat_png(one_hot(0), side=70))
    assert rgba[2, 2].tolist() == [255, 214, 110, 88]
    assert rgba[60, 60].tolist() == [10, 12, 30, 168]


def test_a_map_is_scaled_by_its_own_word() -> None:
    weights = np.random.default_rng(0).random(49)
    assert np.array_equal(levels(weights), levels(weights * 1e-3))


def test_attention_that_is_the_same_everywhere_is_not_stretched_to_noise() -> None:
    assert (levels(np.full(49, 1 / 49)) == 255).all()
    nearly = np.full(49, 1.0)
    nearly[3] = 0.95
    assert levels(nearly).min() > 190
    assert (levels(np.zeros(49)) == 255).all()


def test_a_heat_map_is_small() -> None:
    assert len(heat_png(np.random.default_rng(1).random(49))) < 1600


@pytest.mark.parametrize(("regions", "side"), [(1, 1), (49, 7), (196, 14), (50, None), (0, None)])
def test_grid_side(regions: int, side: int | None) -> None:
    assert grid_side(regions) == side


def test_regions_that_are_no_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="50 regions are not a square grid"):
        levels(np.ones(50))


def test_spread_counts_cells() -> None:
    halves = (one_hot(3) + one_hot(9)) / 2
    assert spread(halves) == pytest.approx(2.0)
    assert spread(np.zeros(49)) == 49


@pytest.mark.parametrize(
    ("size", "expected"), [((960, 480), (480, 240)), ((90, 300), (90, 300)), ((2000, 1), (480, 1))]
)
def test_jpeg_shrinks_and_never_enlarges(size: tuple[int, int], expected: tuple[int, int]) -> None:
    content, width, height = jpeg(Image.new("RGB", size, (200, 30, 30)), longest=480, quality=80)
    image = Image.open(io.BytesIO(content))
    assert (width, height) == expected == image.size
    assert np.abs(np.asarray(image).astype(int) - [200, 30, 30]).max() <= 4


def test_data_uri_holds_the_bytes() -> None:
    kind, content = data_uri(b"\x00\xff", "image/png").split(",")
    assert kind == "data:image/png;base64" and base64.b64decode(content) == b"\x00\xff"
