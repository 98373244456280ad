"""Photographs on their way to any model: a few at a time, in their order, with one line about those that are none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from seesay.errors import DataError
from seesay.photographs import BATCH, Sighted


class Eye:
    """An encoder whose one region is the middle pixel of the picture."""

    sides = (4,)

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        return squares[:, 2:3, 2].astype(np.float16)


class Looker(Sighted):
    """A model that only looks."""

    def __init__(self) -> None:
        self.engine = SimpleNamespace(name="numpy")  # type: ignore[assignment]
        self.header = {"encoder": "eye@4", "model": {"feature_size": 3}}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which encoders were loaded, by which engine."""
    loaded: list[tuple[str, str]] = []

    def load(name: str, engine: str) -> Eye:
        loaded.append((name, engine))
        return Eye()

    monkeypatch.setattr("seesay.photographs.load_encoder", load)
    return loaded


def plain(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (6, 5), (n, 0, 0)) for n in range(count)]


def test_a_few_at_a_time_in_their_order(asked: list[tuple[str, str]]) -> None:
    pictures = plain(BATCH + 3)
    for size, sizes in ((BATCH, [BATCH, 3]), (BATCH + 3, [BATCH + 3]), (5, [5, 5, 1])):
        found = list(Looker().see(pictures, size=size))
        assert [len(seen.pictures) for seen in found] == sizes
        assert [picture for seen in found for picture in seen.pictures] == pictures
        assert [place for seen in found for place in seen.places] == list(range(BATCH + 3))
        assert np.concatenate([seen.features for seen in found])[:, 0, 0].tolist() == list(range(BATCH + 3))
    assert list(Looker().see([])) == []


def test_the_encoder_is_that_of_training_and_loaded_once_at_first_use(asked: list[tuple[str, str]]) -> None:
    looker = Looker()
    with pytest.raises(DataError, match="not a picture"):
        list(looker.see([b"no picture"]))
    assert asked == []
    for _ in range(2):
        list(looker.see(plain(1)))
    assert asked == [("eye@4", "numpy")]


def test_a_bad_one_is_told_and_keeps_its_place(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    first, last = plain(2)
    told: list[DataError] = []
    (seen,) = Looker().see([first, tmp_path / "none.jpg", last], told.append)
    assert seen.pictures == (first, last) and seen.places == (0, 2)
    assert len(told) == 1 and "none.jpg: no such file" in str(told[0])
    with pytest.raises(DataError, match=r"none\.jpg: no such file"):
        list(Looker().see([first, tmp_path / "none.jpg", last]))


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 4), (1, 2, 1, 3)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    Looker().check_features(np.zeros((2, 7, 3)))
    with pytest.raises(DataError, match=r"expected \(pictures, regions, 3\) as in training\.$"):
        Looker().check_features(np.zeros(shape))
