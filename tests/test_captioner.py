"""A trained captioner in use."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from seesay.captioner import Captioner, with_options
from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.data.features import FeatureStore
from seesay.decoding.search import Decoding
from seesay.errors import CheckpointError, DataError, SeesayError
from seesay.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def captioner(trained: Path) -> Captioner:
    return Captioner.open(trained)


@pytest.fixture(scope="module")
def features(world: Path) -> np.ndarray:
    store = FeatureStore(world / "grids.h5")
    return store.read(store.ids)


def test_captions_are_words_with_scores_and_where_the_model_looked(captioner: Captioner, features: np.ndarray) -> None:
    found = captioner.describe(features)
    assert len(found) == 24
    for some in found:
        assert 1 <= len(some) <= 3  # beam 3 of the recipe
        assert [each.score for each in some] == sorted((each.score for each in some), reverse=True)
        for each in some:
            assert each.text == " ".join(each.tokens) and set(each.tokens) <= set(captioner.vocabulary.words)
            assert each.attention is not None and each.attention.shape == (len(each.tokens), 4)
            assert each.attention.sum(1) == pytest.approx(np.ones(len(each.tokens)), abs=1e-5)
            assert each.as_dict() == {"text": each.text, "score": each.score}


def test_a_picture_is_described_alike_alone_and_in_batches(captioner: Captioner, features: np.ndarray) -> None:
    together = captioner.describe(features)
    for size in (1, 7):
        parts = [each for i in range(0, 24, size) for each in captioner.describe(features[i : i + size])]
        assert [[c.text for c in some] for some in parts] == [[c.text for c in some] for some in together]
        assert [some[0].score for some in parts] == pytest.approx([some[0].score for some in together], abs=1e-5)


def test_no_sentence_comes_twice_and_a_seed_repeats_the_draw(captioner: Captioner, features: np.ndarray) -> None:
    drawn = Decoding("sample", candidates=30, max_length=3, top_k=2)
    found = captioner.describe(features[:4], drawn, seed=1)
    for some in found:
        assert len({each.text for each in some}) == len(some) < 30
    again, other = (captioner.describe(features[:4], drawn, seed=seed) for seed in (1, 2))
    assert [[c.text for c in some] for some in again] == [[c.text for c in some] for some in found]
    assert other is not found


def test_options_that_were_not_given_stay(captioner: Captioner) -> None:
    assert captioner.decoding == Decoding("beam", beam=3, max_length=10)
    assert with_options(captioner.decoding, beam=None, length_penalty=0.5).length_penalty == 0.5
    assert with_options(captioner.decoding, beam=None).beam == 3


@pytest.mark.parametrize("shape", [(2, 4, 11), (4, 12), (2, 4, 12, 1)])
def test_features_of_another_shape_are_refused(captioner: Captioner, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"expected \(pictures, regions, 12\)"):
        captioner.describe(np.zeros(shape, np.float16))


def test_the_averaged_weights_are_used_where_there_are_any(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    file = copy / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    assert any(name.startswith("average/") for name in arrays)
    opened = Captioner.open(copy).model.state_dict()
    assert all(np.array_equal(opened[name].numpy(), arrays[f"average/{name}"]) for name in opened)
    plain = {name: array for name, array in arrays.items() if not name.startswith("average/")}
    file.unlink()
    write_checkpoint(file, plain, header)
    opened = Captioner.open(file).model.state_dict()
    assert all(np.array_equal(opened[name].numpy(), arrays[f"model/{name}"]) for name in opened)


def test_the_vocabulary_of_another_run_is_refused(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    Vocabulary.build([["dog"]], 1).save(copy / "vocabulary.json")
    with pytest.raises(CheckpointError, match=r"vocabulary.json: not the vocabulary that .* was trained with"):
        Captioner.open(copy)


@pytest.mark.parametrize("missing", ["checkpoints/best.safetensors", "vocabulary.json"])
def test_a_run_without_a_part_is_one_line(missing: str, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    (copy / missing).unlink()
    with pytest.raises(SeesayError, match=Path(missing).name):
        Captioner.open(copy)


def test_an_unknown_device_is_one_line(trained: Path) -> None:
    with pytest.raises(SeesayError, match="banana") as fault:
        Captioner.open(trained, "banana")
    assert "\n" not in str(fault.value)
