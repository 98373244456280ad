"""A trained asker in use: answers decide what is asked, questions are whole, and the run folder alone serves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from seesay.asker import Asker, wide_enough
from seesay.captioner import Captioner
from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.data.features import FeatureStore
from seesay.decoding.settings import Decoding, Hypothesis
from seesay.errors import CheckpointError, DataError, RecipeError
from seesay.text.asking import is_whole


@pytest.fixture(scope="module")
def asker(asker_run: Path) -> Asker:
    return Asker.open(asker_run)


@pytest.fixture(scope="module")
def features(world: Path) -> np.ndarray:
    store = FeatureStore(world / "grids.h5")
    return store.read(store.ids)


def test_the_answer_decides_what_is_asked(asker: Asker, features: np.ndarray) -> None:
    for answer, start in (("red", "what colour is the"), ("yes", "is it a"), ("grass", "where is the")):
        found = asker.ask_about(features, [answer] * len(features))
        assert np.mean([each[0].text.startswith(start) for each in found]) > 0.9, answer
    found = asker.ask_about(features, [""] * len(features))
    assert np.mean([each[0].text.startswith(("what is the", "why is the")) for each in found]) > 0.9


def test_the_picture_decides_too(asker: Asker, features: np.ndarray, world: Path) -> None:
    found = asker.ask_about(features, ["yes"] * len(features))
    files = FeatureStore(world / "grids.h5").ids
    right = [name.split("-")[1] in each[0].text for name, each in zip(files, found, strict=True)]
    assert np.mean(right) > 0.7


def test_several_questions_are_distinct_whole_and_best_first(asker: Asker, features: np.ndarray) -> None:
    decoding = wide_enough(asker.decoding, 5)
    for some in asker.ask_about(features, [""] * len(features), 5, decoding):
        texts = [each.text for each in some]
        assert 1 <= len(texts) <= 5 and len(set(texts)) == len(texts)
        assert all(text.endswith("?") and is_whole(each.tokens) for text, each in zip(texts, some, strict=True))
        assert [each.score for each in some] == sorted((each.score for each in some), reverse=True)
        assert some[0].attention is not None
        assert some[0].attention.shape == (len(some[0].tokens), features.shape[1])
        np.testing.assert_allclose(some[0].attention.sum(axis=1), 1, rtol=1e-5)


def test_a_question_that_breaks_off_comes_only_where_there_is_no_other(asker: Asker, features: np.ndarray) -> None:
    cut = Decoding("beam", beam=3, max_length=2)
    for some in asker.ask_about(features[:3], [""] * 3, 3, cut):
        assert len(some) == 1 and len(some[0].tokens) == 2


def test_a_picture_alone_is_asked_the_same(asker: Asker, features: np.ndarray) -> None:
    answers = ["red", "", "yes", "snow"]
    together = asker.ask_about(features[:4], answers, 3)
    for place, answer in enumerate(answers):
        (alone,) = asker.ask_about(features[place : place + 1], [answer], 3)
        assert [each.text for each in alone] == [each.text for each in together[place]]
    assert asker.ask_about(features[:0], []) == []


def test_known_concepts_need_not_be_found_again(asker: Asker, features: np.ndarray) -> None:
    concepts = asker.namer.probabilities(features)
    given = asker.ask_about(features, [""] * len(features), concepts=concepts)
    found = asker.ask_about(features, [""] * len(features))
    assert [each[0].text for each in given] == [each[0].text for each in found]


@pytest.mark.parametrize(
    ("answer", "word"), [("purple", "purple"), ("red unicorn", "unicorn"), (" . ", " . ")], ids=["one", "two", "none"]
)
def test_an_answer_that_cannot_be_heard_is_refused(answer: str, word: str, asker: Asker) -> None:
    with pytest.raises(RecipeError, match=f"--answer: received '{word}'; expected words that the model has learned"):
        asker.ask([b""], answer)


def test_an_answer_longer_than_is_ever_heard_is_refused(asker: Asker) -> None:
    with pytest.raises(RecipeError, match="--answer: received 9 words; expected 8 at most"):
        asker.ask([b""], "red " * 9)


def test_features_of_another_shape_are_refused(asker: Asker) -> None:
    with pytest.raises(DataError, match=r"Features of shape \(1, 4, 13\); expected \(pictures, regions, 12\)"):
        asker.ask_about(np.zeros((1, 4, 13), np.float16), [""])
    with pytest.raises(DataError, match="answers: received 1 for 2 pictures; expected one for each"):
        asker.ask_about(np.ones((2, 4, 12), np.float16), [""])


def test_a_question_cut_short_does_not_hide_the_whole_one(asker: Asker) -> None:
    """The same words may be found twice: once where the search had to stop, once with their end."""
    words = asker.vocabulary.encode(["is", "it", "red"])
    cut, ended = Hypothesis(words, -1.0, False, None), Hypothesis(words, -2.0, True, None)
    assert [each.score for each in asker._best([cut, ended, ended], 3)] == [-2.0]
    assert [each.score for each in asker._best([cut], 3)] == [-1.0]


def test_the_run_folder_alone_serves(asker_run: Path, features: np.ndarray, tmp_path: Path) -> None:
    shutil.copytree(asker_run, tmp_path / "moved")
    moved, here = Asker.open(tmp_path / "moved"), Asker.open(asker_run)
    for one, other in zip(*(each.ask_about(features, ["yes"] * 24) for each in (moved, here)), strict=True):
        assert [(each.text, each.score) for each in one] == [(each.text, each.score) for each in other]
    shutil.rmtree(tmp_path / "moved" / "concepts")
    with pytest.raises(CheckpointError, match="concepts: not found"):
        Asker.open(tmp_path / "moved")


def test_a_checkpoint_with_another_search_is_one_line(asker_run: Path, tmp_path: Path) -> None:
    shutil.copytree(asker_run, tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "best.safetensors"
    arrays, header = read_checkpoint(file)
    file.unlink()
    write_checkpoint(file, arrays, header | {"decoding": {"width": 3}})
    with pytest.raises(CheckpointError, match="another kind of decoding"):
        Asker.open(tmp_path / "run")


def test_runs_of_other_tasks_are_told(asker_run: Path, trained: Path) -> None:
    with pytest.raises(CheckpointError, match=r"received a captioner \('seesay caption' uses it\); expected an asker"):
        Asker.open(trained)
    with pytest.raises(CheckpointError, match=r"received an asker \('seesay ask' uses it\); expected a captioner"):
        Captioner.open(asker_run)


def test_a_search_wide_enough() -> None:
    assert wide_enough(Decoding("greedy"), 1) == Decoding("greedy")
    assert wide_enough(Decoding("greedy"), 3).beam == 6
    assert wide_enough(Decoding("beam", beam=4, groups=4), 5).beam == 12  # a multiple of the groups
    assert wide_enough(Decoding("beam", beam=5, wanted=1), 1) == Decoding("beam", beam=5)
