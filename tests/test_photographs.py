"""Photographs on their way to any model: a few at a time, in their order, with one line about those that are none."""

from __future__ import annotations

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seesay.errors import CheckpointError, DataError
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


def test_an_encoder_of_others_is_one_line() -> None:
    with pytest.raises(
        CheckpointError, match=r"^encoder: received 'eye@4', which made the features that the model was"
    ):
        list(Looker().see(plain(1)))


def test_a_bad_one_is_told_and_keeps_its_place(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    first, last = plain(2)
    told: list[DataError] = []
    (seen,) = Looker().see([first, tmp_path / "none.jpg", last], told.append)
    assert seen.pictures == (first, last) and seen.places == (0, 2)
    assert len(told) == 1 and "none.jpg: no such file" in str(told[0])
    with pytest.raises(DataError, match=r"none\.jpg: no such file"):
        list(Looker().see([first, tmp_path / "none.jpg", last]))


def seen_of(*pictures: Any) -> list[list[float]]:
    """What `Eye` sees of each."""
    found = np.concatenate([seen.features for seen in Looker().see(pictures)])[:, 0].tolist()
    return list(found)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_opened_photograph_is_stood_upright_as_its_file_is(
    kind: str, asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    colours = np.zeros((8, 16, 3), np.uint8)
    colours[:4, :8], colours[4:, :8], colours[:4, 8:], colours[4:, 8:] = 0, 80, 160, 240  # the middle is among the last
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: what is at the top right comes to the bottom right
    file = tmp_path / "held.picture"
    Image.fromarray(colours).save(file, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(file) as opened:
        by_file, by_image, again = seen_of(file, opened, opened)
    assert by_image == again == by_file == pytest.approx([160] * 3, abs=12)  # 240 on its side
    assert opened.size == (16, 8) and opened.getexif()[0x0112] == 6, "the caller's own picture stays as it is"


@pytest.mark.parametrize(
    ("picture", "colour"),
    [
        (Image.new("RGBA", (6, 5), (10, 20, 30, 255)), [10, 20, 30]),
        (Image.new("RGBA", (6, 5), (10, 20, 30, 0)), [255, 255, 255]),
        (Image.new("L", (6, 5), 77), [77, 77, 77]),
        (Image.new("1", (6, 5), 1), [255, 255, 255]),
        (Image.new("RGB", (6, 5), (200, 0, 0)).convert("P"), [204, 0, 0]),
        (Image.new("CMYK", (6, 5), (0, 255, 255, 0)), [255, 0, 0]),
        (Image.new("I;16", (6, 5), 25700), [100, 100, 100]),
    ],
    ids=["opaque", "transparent", "grey", "bits", "palette", "print", "grey-16"],
)
def test_an_opened_picture_of_any_mode_is_seen(
    picture: Image.Image, colour: list[int], asked: list[tuple[str, str]]
) -> None:
    mode = picture.mode
    assert seen_of(picture) == [pytest.approx(colour, abs=4)] and picture.mode == mode


def test_an_opened_picture_that_cannot_be_seen_is_one_line(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(tmp_path / "cut.jpg")
    closed = Image.new("RGB", (2, 2))
    closed.close()
    damaged = Image.open(io.BytesIO((tmp_path / "cut.jpg").read_bytes()[:-200]))
    for picture, reason in (
        (closed, r"^picture: cannot be read \(Operation on closed image\); expected an opened one; open it again\.$"),
        (damaged, r"^picture: cannot be read \(.+\); expected an opened one"),
        (Image.new("F", (2, 2)), r"^picture: pixels of the kind 'F'; expected grey or colour; convert it to RGB\.$"),
        (Image.new("1", (6000, 5000)), r"^picture: 6000 x 5000 = 30,000,000 pixels; expected at most 24,000,000"),
    ):
        with pytest.raises(DataError, match=reason):
            seen_of(picture)


def test_a_path_may_be_text(asked: list[tuple[str, str]], tmp_path: Path) -> None:
    plain(9)[8].save(tmp_path / "a.png")
    assert seen_of(str(tmp_path / "a.png"), tmp_path / "a.png") == [[8, 0, 0]] * 2


@pytest.mark.parametrize(
    ("pictures", "received"),
    [("x.jpg", "'x.jpg'"), (Path("x.jpg"), "PosixPath('x.jpg')"), (b"GIF", "b'GIF'"), (5, "5"), (None, "None")],
    ids=["text", "path", "bytes", "number", "none"],
)
def test_a_lone_picture_is_refused(pictures: Any, received: str, asked: list[tuple[str, str]]) -> None:
    expected = f"pictures: received {received}; expected a list of pictures; put even a single one in a list."
    with pytest.raises(DataError, match=f"^{re.escape(expected)}$"):
        list(Looker().see(pictures))
    with pytest.raises(DataError, match=r"^pictures: received a value of type 'Image'; expected a list of pictures"):
        list(Looker().see(plain(1)[0]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("picture", "received"),
    [
        (np.zeros((4, 4, 3)), "a value of type 'ndarray'"),
        (io.BytesIO(b"GIF"), "a value of type 'BytesIO'"),
        (None, "None"),
        ("", "an empty path"),
    ],
    ids=["array", "stream", "none", "empty"],
)
def test_what_is_no_picture_is_one_line(picture: Any, received: str, asked: list[tuple[str, str]]) -> None:
    expected = f"picture: received {received}; expected a path, the bytes of a file or an opened picture"
    with pytest.raises(DataError, match=f"^{re.escape(expected)}"):
        seen_of(picture)


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 4), (1, 2, 1, 3)])
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    Looker().check_features(np.zeros((2, 7, 3)))
    with pytest.raises(DataError, match=r"expected \(pictures, regions, 3\) as in training\.$"):
        Looker().check_features(np.zeros(shape))
