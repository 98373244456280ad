"""What a run of concepts learns from, its scores and the files of its evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seesay.data.features import FeatureStore
from seesay.errors import CheckpointError, DataError, RecipeError, UnknownName
from seesay.metrics.naming import evaluate_naming
from seesay.namer import Namer
from seesay.recipe import AnyRecipe, ConceptRecipe
from seesay.run import Check, Notice, resume, train
from seesay.tasks.concepts import Concepts, evaluate
from seesay.training.folder import RunFolder

Naming = Callable[..., ConceptRecipe]


def test_concepts_are_the_content_words_of_the_training_captions(naming: Naming, tmp_path: Path) -> None:
    material = Concepts.gather(naming(), RunFolder(tmp_path))
    names = {"red", "blue", "green", "white", "dog", "cat", "horse", "snow", "grass", "runs"}
    assert set(material.words.words) == names
    assert material.sizes == {"feature_size": 12, "concept_count": 10}
    assert material.train.shown.sum(1).tolist() == [4] * 16, "a colour, an animal, a place, and it runs"
    assert len(material.notices) == 1 and "10 concepts instead of 1,000" in material.notices[0]
    fewer = Concepts.gather(naming("data.concept_count=3"), RunFolder(tmp_path))
    assert fewer.words.words == material.words.words[:3] and fewer.notices == ()
    assert fewer.digests["captions"] != material.digests["captions"]


def test_training_learns_and_tells(naming: Naming, tmp_path: Path) -> None:
    events = list(train(naming(), tmp_path / "run"))
    assert [event.text for event in events if isinstance(event, Notice)] == [
        f"{naming().data.captions}: 10 concepts instead of 1,000 (data.concept_count): its training captions have no "
        "more content words."
    ]
    checks = [event for event in events if isinstance(event, Check)]
    assert checks[-1].dev_loss < checks[0].dev_loss / 2
    assert max(check.scores["mAP"] for check in checks) > 0.95


def test_a_run_goes_on_to_the_same_bits(naming: Naming, naming_run: Path, tmp_path: Path) -> None:
    steps = train(naming("training.save_every=1"), tmp_path / "run")
    for _ in range(7):
        next(steps)
    steps.close()
    list(resume(tmp_path / "run"))
    assert Namer.open(tmp_path / "run").header["progress"] == Namer.open(naming_run).header["progress"]
    features = np.random.default_rng(0).normal(size=(3, 4, 12))
    one, other = (Namer.open(run).probabilities(features) for run in (tmp_path / "run", naming_run))
    assert one.tolist() == other.tolist()


def test_evaluate_writes_scores_and_the_likeliest_concepts(naming_run: Path, world: Path) -> None:
    scores, written = evaluate(naming_run, "test")
    assert json.loads((naming_run / "scores" / "test.json").read_text("utf-8")) == scores.to_json()
    page = json.loads(written.read_text("utf-8"))
    assert written == naming_run / "predictions" / "test.json"
    assert page["split"] == "test" and len(page["items"]) == scores.pictures == 4
    namer = Namer.open(naming_run)
    files = [item["file"] for item in page["items"]]
    found = namer.probabilities(FeatureStore(world / "grids.h5").read(files))
    for item, row in zip(page["items"], found, strict=True):
        assert [(one["concept"], one["probability"]) for one in item["concepts"]] == namer.likeliest(row)
        assert set(item["named"]) == {*item["file"].removesuffix(".jpg").split("-"), "runs"}
    shown = np.array([[word in item["named"] for word in namer.words] for item in page["items"]])
    assert evaluate_naming(namer.words, shown, found) == scores


def test_scores_of_an_epoch_are_those_of_evaluate(naming_run: Path) -> None:
    log = [json.loads(line) for line in (naming_run / "log.jsonl").read_text("utf-8").splitlines()]
    best = [row for row in log if row["event"] == "check" and row["best"]][-1]
    assert evaluate(naming_run, "val")[0].mAP == pytest.approx(best["scores"]["mAP"], abs=1e-12)


def test_other_captions_and_features_name_the_files(naming_run: Path, world: Path) -> None:
    _, written = evaluate(naming_run, "test", world / "captions.json", world / "grids.h5")
    assert written.name == "captions-test-grids.json"


@pytest.mark.parametrize(
    ("settings", "kind", "expected"),
    [
        (["data.features={0}/grids-flipped.h5"], DataError, "data.features expects those of the pictures as they are"),
        (["data.flipped={0}/grids.h5"], DataError, "data.flipped expects those of the mirrored pictures"),
        (["data.features={0}/nothing.h5"], DataError, "nothing.h5"),
        (["data.concept_count=0"], RecipeError, "data.concept_count: received 0; expected 1 or more"),
        (["data.minimum_count=2"], UnknownName, "Unknown key 'data.minimum_count'"),
        (["model.name=attend_tell", "model.pooling=mean"], RecipeError, "a model for task 'caption'; expected one for"),
        (["training.engine=numpy"], RecipeError, "received 'numpy', which has no model for task 'concepts'"),
        (["stages.0.select_by=accuracy"], RecipeError, "select_by: received 'accuracy'; expected 'mAP'"),
    ],
    ids=["mirrored", "not mirrored", "missing", "count", "key", "model", "engine", "score"],
)
def test_what_cannot_be_learned_from_is_refused(
    naming: Naming, world: Path, tmp_path: Path, settings: list[str], kind: type[Exception], expected: str
) -> None:
    with pytest.raises((kind, RecipeError), match=expected):
        list(train(naming(*(setting.format(world) for setting in settings)), tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_run_of_another_task_is_refused(trained: Path, naming_run: Path, tagging: Callable[..., AnyRecipe]) -> None:
    with pytest.raises(CheckpointError, match="received a run of task 'caption'; expected a namer"):
        evaluate(trained)
    with pytest.raises(UnknownName, match="split"):
        evaluate(naming_run, "holiday")
