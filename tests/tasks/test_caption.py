"""What a captioner learns from: captions that are too long for a recipe or a model are cut, counted and told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seesay.data.records import read_records
from seesay.decoding.settings import Decoding
from seesay.errors import DataError, RecipeError
from seesay.evaluation import evaluate
from seesay.recipe import Recipe
from seesay.run import Check, Notice, resume, train
from seesay.tasks import suited
from seesay.tasks.caption import Captions
from seesay.text.ptb import tokenize
from seesay.training.folder import RunFolder

Make = Callable[..., Recipe]
SMALL = ["stages.0.epochs=1", "decoding.max_length=5", "stages.0.warmup=1"]
SIZES = {
    "transformer": ["hidden_size=8", "heads=2", "layers=1", "encoder_layers=1", "feedforward_size=8"],
    "meshed_memory": ["hidden_size=8", "heads=2", "layers=2", "feedforward_size=8", "slots=2"],
    "s2": ["hidden_size=8", "heads=2", "layers=1", "feedforward_size=8", "clusters=2"],
}


@pytest.fixture
def short(tiny: Make) -> Make:
    """`short("transformer", "model.positions=6", ...)` is a recipe of that model for one epoch."""

    def make(name: str, *further: str) -> Recipe:
        settings = [f"model.{setting}" for setting in SIZES[name]]
        recipe = tiny(
            f'model={{name="{name}"}}',
            "stages=[{epochs=1, pictures_per_batch=4}]",
            "decoding.max_length=5",
            *settings,
            *further,
        )
        assert isinstance(recipe, Recipe)
        return recipe

    return make


def longer_than(words: int, world: Path, part: str) -> tuple[int, int]:
    """How many captions of a split have more words, and how many there are."""
    some = [
        text for record in read_records(world / "captions.json") if record.split == part for text in record.captions
    ]
    return sum(len(tokenize(text)) > words for text in some), len(some)


def said(words: int, world: Path, why: str) -> str:
    (train, of), (dev, all_dev) = (longer_than(words, world, part) for part in ("train", "dev"))
    assert 0 < train < of and 0 < dev < all_dev
    counts = f"cut {train} of {of} captions of 'train' and {dev} of {all_dev} of 'dev'".replace(
        "of 'dev'", "captions of 'dev'"
    )
    return f"{world}/captions.json: {counts} to {words} words ({why})."


@pytest.mark.parametrize("name", SIZES)
def test_a_model_with_few_positions_trains_on_captions_cut_and_says_so(
    name: str, short: Make, world: Path, tmp_path: Path
) -> None:
    events = list(train(short(name, "model.positions=6"), tmp_path / "run"))
    expected = said(5, world, "model.positions = 6, with room for <bos>")
    assert [event.text for event in events if isinstance(event, Notice)] == [expected]
    assert any(isinstance(event, Check) for event in events)


def test_a_run_goes_on_with_the_same_captions_cut(short: Make, world: Path, tmp_path: Path) -> None:
    events = train(short("transformer", "model.positions=6", "stages.0.epochs=2"), tmp_path / "run")
    while not isinstance(next(events), Check):
        pass
    events.close()
    events = list(resume(tmp_path / "run"))
    expected = said(5, world, "model.positions = 6, with room for <bos>")
    assert [event.text for event in events if isinstance(event, Notice)] == [expected]


def test_captions_beyond_the_recipe_s_words_are_told(short: Make, world: Path, tmp_path: Path) -> None:
    recipe = short("transformer", "data.max_words=6", "model.positions=7")
    events = [event for event in train(recipe, tmp_path / "run") if isinstance(event, Notice)]
    assert [event.text for event in events] == [said(6, world, "data.max_words")]


def test_where_nothing_is_cut_nothing_is_said(short: Make, tmp_path: Path) -> None:
    captions = Captions.gather(short("transformer"), RunFolder(tmp_path))
    assert captions.notices == captions.within(54).notices == ()
    assert suited(captions, object()) is captions
    assert captions.within(54).digests == captions.digests


@pytest.mark.parametrize("name", SIZES)
def test_no_more_words_are_asked_for_than_there_are_positions(name: str, short: Make, tmp_path: Path) -> None:
    recipe = short(name, "model.positions=6", "decoding.max_length=7")
    with pytest.raises(
        RecipeError, match=r"^decoding.max_length: received 7; expected at most the model's positions, 6;"
    ):
        next(train(recipe, tmp_path / "run"))
    assert not (tmp_path / "run" / "recipe.toml").exists()
    rewarded = 'stages=[{epochs=1}, {objective="self_critical", max_length=9}]'
    with pytest.raises(RecipeError, match=r"^stages.1.max_length: received 9; expected at most"):
        next(train(short(name, "model.positions=8", rewarded), tmp_path / "run"))


def test_a_run_says_as_many_words_as_its_model_has_positions(short: Make, tmp_path: Path) -> None:
    list(train(short("transformer", "model.positions=6"), tmp_path / "run"))
    evaluate(tmp_path / "run", "dev", Decoding(max_length=6))
    with pytest.raises(RecipeError, match=r"^decoding\.max_length: received 7; expected at most the model's positions"):
        evaluate(tmp_path / "run", "dev", Decoding(max_length=7))


def test_words_of_a_search_are_looked_up_before_anything_is_written(short: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^decoding\.required: received 'elephant'; expected one of the"):
        next(train(short("transformer", "decoding.required=elephant"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    unsaid = short("transformer", "decoding.forbidden=elephant")
    assert Captions.gather(unsaid, RunFolder(tmp_path)).recipe.decoding.forbidden == "elephant"


@pytest.mark.parametrize(
    ("search", "said"),
    [("groups=3", "groups: received 3"), ("required=dog", "required: received 'dog'")],
    ids=["groups", "required"],
)
def test_a_search_that_the_engine_cannot_make_is_refused_before_training(
    search: str, said: str, plain: Make, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=rf"^decoding\.{said} with engine 'numpy'; expected engine 'torch', or none"):
        next(train(plain("numpy", f"decoding.{search}"), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_that_samples_is_evaluated_by_the_likeliest_of_its_candidates(short: Make, tmp_path: Path) -> None:
    drawing = ["decoding.method=sample", "decoding.candidates=3", "decoding.top_k=20", "decoding.temperature=0.8"]
    list(train(short("transformer", *drawing, "decoding.top_p=0.9"), tmp_path / "run"))
    again = [evaluate(tmp_path / "run", "dev").corpus for _ in range(2)]
    assert again[0] == again[1]
    items = RunFolder(tmp_path / "run").predictions("dev").read_text(encoding="utf-8")
    assert '"candidates": 3' in items and '"top_p": 0.9' in items


def test_a_picture_without_regions_ends_the_training_with_its_name(
    short: Make, world: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    from seesay.data.features import FeatureStore

    store = FeatureStore(world / "grids.h5")
    features = store.read(store.ids)
    features[3] = 0
    make_features(tmp_path / "grids.h5", store.ids, features)
    recipe = short("transformer", f'data.features="{tmp_path}/grids.h5"', 'data.flipped=""')
    with pytest.raises(DataError, match=f"grids.h5: picture {store.ids[3]} has no region"):
        list(train(recipe, tmp_path / "run"))
