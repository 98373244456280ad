"""A trained namer in use: probabilities, photographs, and files that are not its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay import namer
from seesay.captioner import Captioner
from seesay.data.features import FeatureStore
from seesay.errors import CheckpointError, DataError
from seesay.namer import Namer
from seesay.photographs import BATCH
from seesay.text.concepts import ConceptWords


class Eye:
    """An encoder whose grid of 4 regions is the mean colour of the picture, many times."""

    sides = (8,)

    def __call__(self, squares: np.ndarray) -> np.ndarray:
        means = squares.mean((1, 2)) / 255
        return np.tile(means[:, None], (1, 4, 4)).astype(np.float32)


@pytest.fixture
def sighted(naming_run: Path, monkeypatch: pytest.MonkeyPatch) -> Namer:
    """The namer with an encoder that fits its features."""
    monkeypatch.setattr("seesay.photographs.load_encoder", lambda name, engine: Eye())
    return Namer.open(naming_run)


def test_the_words_are_those_of_the_run(naming_run: Path) -> None:
    found = Namer.open(naming_run)
    concepts = ConceptWords.load(naming_run / "vocabulary.json")
    assert found.words == concepts.words and found.digest == concepts.digest == found.header["vocabulary"]


def test_probabilities_tell_what_a_picture_shows(naming_run: Path, world: Path) -> None:
    found = Namer.open(naming_run)
    files = ["red-dog-snow.jpg", "blue-cat-grass.jpg", "white-horse-snow.jpg"]
    rows = found.probabilities(FeatureStore(world / "grids.h5").read(files))
    assert rows.dtype == np.float32 and rows.shape == (3, 10)
    assert ((rows > 0) & (rows < 1)).all()
    for file, row in zip(files, rows, strict=True):
        likeliest = [word for word, _ in found.likeliest(row, 4)]
        assert set(likeliest) == {*file.removesuffix(".jpg").split("-"), "runs"}


def test_a_picture_is_told_the_same_alone_among_many_and_filled_up(naming_run: Path) -> None:
    found, random = Namer.open(naming_run), np.random.default_rng(0)
    features = random.normal(size=(namer.AT_ONCE + 7, 4, 12)).astype(np.float16)
    whole = found.probabilities(features)
    assert whole.shape == (namer.AT_ONCE + 7, 10)
    for row in (0, namer.AT_ONCE - 1, namer.AT_ONCE, namer.AT_ONCE + 6):
        np.testing.assert_allclose(found.probabilities(features[row : row + 1])[0], whole[row], atol=1e-6)
    more = np.concatenate([features, np.full_like(features, 7)], axis=1)
    mask = np.arange(8) < np.full((len(features), 1), 4)
    np.testing.assert_allclose(found.probabilities(more, mask), whole, atol=1e-6)
    assert found.probabilities(features[:0]).shape == (0, 10)


def test_the_likeliest_come_first_and_equals_by_frequency(naming_run: Path) -> None:
    found = Namer.open(naming_run)
    row = np.array([0.5, 0.25, 0.75, 0.5, 0, 0, 0, 0, 0, 0], np.float32)
    words = found.words
    assert found.likeliest(row, 3) == [(words[2], 0.75), (words[0], 0.5), (words[3], 0.5)]
    assert len(found.likeliest(row, 99)) == 10 and found.likeliest(row, 0) == []


def test_photographs_by_path_bytes_or_opened(sighted: Namer, tmp_path: Path) -> None:
    picture = Image.new("RGB", (20, 10), (200, 30, 90))
    picture.save(tmp_path / "photo.png")
    sources = [tmp_path / "photo.png", (tmp_path / "photo.png").read_bytes(), picture]
    one, other, third = sighted.name(sources, top=3)
    assert one == other == third and len(one) == 3
    chances = [probability for _, probability in one]
    assert chances == sorted(chances, reverse=True)


def test_photographs_come_in_their_order_and_as_they_are_done(sighted: Namer) -> None:
    pictures = [Image.new("RGB", (8, 8), (10 * n, 255 - 10 * n, 7 * n)) for n in range(BATCH + 3)]
    opened = 0

    def one_by_one() -> object:
        nonlocal opened
        for picture in pictures:
            opened += 1
            yield picture

    stream = sighted.stream(one_by_one(), top=2)  # type: ignore[arg-type]
    first = next(stream)
    assert first[0] is pictures[0] and opened == BATCH
    rest = [first, *stream]
    assert [picture for picture, _ in rest] == pictures
    assert [named for _, named in rest] == sighted.name(pictures, top=2)


def test_features_of_another_shape_are_refused(naming_run: Path) -> None:
    found = Namer.open(naming_run)
    for shape in ((2, 4, 13), (4, 12), (1, 2, 4, 12)):
        with pytest.raises(DataError, match=r"Features of shape .*; expected \(pictures, regions, 12\)"):
            found.probabilities(np.zeros(shape))


def test_a_bad_photograph_is_told(sighted: Namer, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("hello", encoding="utf-8")
    with pytest.raises(DataError, match=r"text\.jpg: "):
        sighted.name([tmp_path / "text.jpg"])


@pytest.mark.parametrize("part", ["words", "task", "missing"])
def test_what_is_no_namer_is_refused(part: str, naming_run: Path, trained: Path, tmp_path: Path) -> None:
    if part == "task":
        with pytest.raises(CheckpointError, match=r"received a captioner .*; expected a namer\.$"):
            Namer.open(trained)
        with pytest.raises(CheckpointError, match=r"received a namer \('seesay concepts' uses it\); expected"):
            Captioner.open(naming_run)
        return
    run = Path(shutil.copytree(naming_run, tmp_path / "run"))
    if part == "words":
        ConceptWords(("dog", "cat")).save(run / "vocabulary.json")
        with pytest.raises(CheckpointError, match=r"vocabulary\.json: not the vocabulary that .* was trained with"):
            Namer.open(run)
    else:
        (run / "checkpoints" / "best.safetensors").unlink()
        with pytest.raises(CheckpointError, match="no checkpoint in it yet"):
            Namer.open(run)


def test_checkpoint_and_words_alone_serve(naming_run: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(naming_run / "checkpoints" / "best.safetensors", tmp_path / "checkpoints")
    shutil.copy(naming_run / "vocabulary.json", tmp_path)
    assert Namer.open(tmp_path).digest == Namer.open(naming_run).digest
