"""What a run that asks learns from: words, concepts, a start from another run, and going on exactly."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.checkpoint import read_checkpoint
from seesay.data.features import FeatureStore, open_writer
from seesay.errors import CheckpointError, DataError, RecipeError
from seesay.namer import Namer
from seesay.run import Advance, Notice, resume, train
from seesay.tasks import gather
from seesay.tasks.ask import Questions, concepts_of
from seesay.text.vocabulary import Vocabulary
from seesay.training.folder import RunFolder

Make = Callable[..., Any]


def material(make: Make, *settings: str) -> Questions:
    found = gather(make(*settings), RunFolder(Path("none")))
    assert isinstance(found, Questions)
    return found


def test_what_is_gathered(asking: Make, named: Path) -> None:
    found = material(asking)
    assert (len(found.train), len(found.dev), len(found.asked)) == (16, 4, 4)
    assert {"what", "colour", "red", "yes", "grass"} <= set(found.vocabulary.words)  # of questions and of answers
    namer = Namer.open(named)
    assert found.sizes == {
        "feature_size": 12,
        "vocabulary_size": len(found.vocabulary),
        "concept_count": len(namer.words),
    }
    assert found.about["concepts"] == namer.digest
    assert found.train.hidden == 0.2 and found.notices == ()
    (told,) = material(asking, "data.max_words=3").notices
    cut = "cut 80 of 80 questions of 'train' and 20 of 20 questions of 'dev' to 3 words (data.max_words)."
    assert told == f"{found.recipe.data.questions}: {cut}"


def test_a_required_word_that_is_none_is_told_before_training(asking: Make) -> None:
    with pytest.raises(RecipeError, match=r"^decoding\.required: received 'elephant'; expected one of the"):
        material(asking, "decoding.required=elephant")


def test_answers_that_are_cut_are_told(asking: Make) -> None:
    found = material(asking)
    longer = dataclasses.replace(found, dev=dataclasses.replace(found.dev, cut_answers=1234))
    assert longer.notices == (
        f"{found.recipe.data.questions}: cut 1,234 answers of 'dev' to 8 words, as more are never heard.",
    )


def test_concepts_are_those_of_each_picture(asking: Make, named: Path, world: Path) -> None:
    found, namer, store = material(asking), Namer.open(named), FeatureStore(world / "grids.h5")
    concepts = concepts_of(found.asked, namer, store)
    for one in found.asked:
        np.testing.assert_allclose(concepts[one.id], namer.probabilities(store.read([one.file]))[0], rtol=1e-5)


def test_the_run_keeps_what_names_concepts(asker_run: Path, named: Path) -> None:
    kept = asker_run / "concepts"
    assert sorted(file.name for file in kept.rglob("*") if file.is_file()) == ["best.safetensors", "vocabulary.json"]
    assert Namer.open(kept).digest == Namer.open(named).digest


def test_going_on_exactly_without_the_run_that_named_the_concepts(asking: Make, named: Path, tmp_path: Path) -> None:
    shutil.copytree(named, tmp_path / "named")
    recipe = asking("stages.0.epochs=2", f'data.concepts="{tmp_path}/named"', "training.save_every=1")
    whole = [event.step.loss for event in train(recipe, tmp_path / "whole") if isinstance(event, Advance)]
    events = train(recipe, tmp_path / "stopped")
    list(itertools.islice(events, 3))
    events.close()  # type: ignore[attr-defined]
    shutil.rmtree(tmp_path / "named")
    rest = [event.step.loss for event in resume(tmp_path / "stopped") if isinstance(event, Advance)]
    assert rest == whole[-len(rest) :] and len(rest) < len(whole)
    ours, theirs = (
        read_checkpoint(tmp_path / name / "checkpoints/last.safetensors")[0] for name in ("stopped", "whole")
    )
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_other_concepts_cannot_be_gone_on_with(asking: Make, tmp_path: Path) -> None:
    list(itertools.islice(train(asking("training.save_every=1"), tmp_path / "run"), 2))
    content = json.loads((tmp_path / "run/concepts/vocabulary.json").read_text(encoding="utf-8"))
    content["words"] = content["words"][::-1]
    (tmp_path / "run/concepts/vocabulary.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises((CheckpointError, DataError), match=r"concepts/vocabulary\.json"):
        list(resume(tmp_path / "run"))


def test_beginning_with_another_run_keeps_its_words_first(asking: Make, asker_run: Path, tmp_path: Path) -> None:
    first = Vocabulary.load(asker_run / "vocabulary.json")
    source = Path(asking().data.questions)
    records = json.loads(source.read_text(encoding="utf-8"))
    for record in records:
        record["questions"] = ["Zebras, why?", *record["questions"]]
    (tmp_path / "more.json").write_text(json.dumps(records), encoding="utf-8")
    settings = [f'data.questions="{tmp_path}/more.json"', "stages.0.epochs=1"]
    start = f'training.start_from="{asker_run}"'
    words = material(asking, *settings, start).vocabulary.words
    assert words == (*first.words, "zebras")
    alone = material(asking, *settings).vocabulary.words
    assert sorted(alone) == sorted(words) and alone[-1] != "zebras"  # by how often they come
    events = list(train(asking(*settings, start), tmp_path / "run"))
    told = [event.text for event in events if isinstance(event, Notice)]
    assert any("began with" in line and "words among them" in line for line in told)
    fresh = [event for event in train(asking(*settings), tmp_path / "fresh") if isinstance(event, Advance)]
    begun = [event for event in events if isinstance(event, Advance)]
    assert begun[0].step.loss < 0.8 * fresh[0].step.loss


def test_beginning_with_a_run_of_other_concepts_is_refused(asking: Make, asker_run: Path, tmp_path: Path) -> None:
    from seesay.recipe import read_recipe
    from seesay.restoring import recipe_in

    named = recipe_in(Path(asking().data.concepts)).model_dump(mode="json")
    other = read_recipe(Path(asking().data.concepts) / "recipe.toml", ["data.concept_count=5", "stages.0.epochs=1"])
    assert named["data"]["concept_count"] == 12
    list(train(other, tmp_path / "other"))
    settings = [f'data.concepts="{tmp_path}/other"', f'training.start_from="{asker_run}"']
    with pytest.raises(
        RecipeError, match=r"names other concepts than the run of training\.start_from; expected the sam"
    ):
        material(asking, *settings)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('data.questions="none.json"', "none.json: cannot be read"),
        ('data.concepts="none"', "none: not found; expected a run folder"),
        ('data.features="none.h5"', "none.h5"),
        ("data.hidden_answers=2.0", "data.hidden_answers: received 2.0; expected 1.0 or less"),
        ('model.name="attend_tell"', "attend_tell"),
    ],
    ids=["questions", "concepts", "features", "share", "model"],
)
def test_what_is_missing_is_told_before_anything_is_made(
    setting: str, message: str, asking: Make, tmp_path: Path
) -> None:
    with pytest.raises((DataError, CheckpointError, RecipeError), match=message):
        list(train(asking(setting), tmp_path / "run"))
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_concepts_of_another_encoder_are_refused(asking: Make, world: Path, tmp_path: Path) -> None:
    """Features of as many numbers, but not the same ones: they would name concepts at random."""
    store = FeatureStore(world / "grids.h5")
    with open_writer(tmp_path / "other.h5", store.ids, store.regions, store.size, "another@1", False) as writer:
        writer.write(store.ids, store.read(store.ids))
        writer.finish()
    with pytest.raises(RecipeError, match=r"data\.concepts: .* expected those of .*other\.h5, another@1 \(12\)"):
        material(asking, f'data.features="{tmp_path}/other.h5"', 'data.flipped=""')


def test_another_task_s_run_names_no_concepts(asking: Make, trained: Path) -> None:
    with pytest.raises(CheckpointError, match="received a captioner"):
        material(asking, f'data.concepts="{trained}"')
