"""Captions chosen by consensus: what agrees best with what the model itself draws."""

from __future__ import annotations

import collections
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.captioner import DRAWN, LIKELY, Captioner, _seed_of, choose_search
from seesay.consensus import frequencies_of
from seesay.data.features import FeatureStore
from seesay.data.records import read_records, split
from seesay.decoding import search
from seesay.decoding.settings import Decoding
from seesay.errors import DataError, RecipeError
from seesay.metrics.cider import CiderD
from seesay.recipe import AskRecipe, Recipe
from seesay.restoring import recipe_in
from seesay.run import train
from seesay.text.ptb import tokenize

SEARCH = Decoding("consensus", beam=6, candidates=40, max_length=8, temperature=1.5)
NOTHING: dict[str, object] = {"temperature": None, "top_k": None, "top_p": None}


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A trained run of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture(scope="module")
def features(world: Path) -> np.ndarray:
    store = FeatureStore(world / "grids.h5")
    return store.read(store.ids)


def test_the_first_is_what_agrees_best_with_those_drawn(run: Path, features: np.ndarray) -> None:
    captioner = Captioner.open(run)
    found = captioner.describe(features[:6], SEARCH, seed=3)
    likely, drawn = SEARCH.parts()
    assert (likely.method, likely.candidates, likely.temperature) == ("beam", 1, 1.0)
    assert (drawn.method, drawn.candidates, drawn.temperature) == ("sample", 40, 1.5)
    scorer, changed = frequencies_of(run), 0
    for place, some in enumerate(found):
        beam = captioner.describe(features[place : place + 1], likely, names=[str(place)])[0]
        # The same seed and name draw the same sentences, as often as they come.
        picture, seeds = features[place : place + 1], [_seed_of(3, str(place))]
        own = captioner.engine.describe(captioner.model, picture, drawn, seeds, "cpu")[0]
        assert len(own) == 40
        others = scorer.prepare([captioner.vocabulary.decode(one.tokens) for one in own])
        expected = {one.text: scorer.similarity(scorer.prepare([one.tokens])[0], others) for one in beam}
        assert {one.text: one.score for one in some} == pytest.approx(expected, abs=1e-6)
        assert some[0].text == max(expected, key=lambda text: expected[text])
        assert [one.score for one in some] == sorted((one.score for one in some), reverse=True)
        changed += some[0].text != beam[0].text
    assert changed, "else a beam would do"


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_search_by_consensus_repeats_and_does_not_depend_on_neighbours(
    engine: str, plain: Callable[..., Recipe], run: Path, features: np.ndarray, tmp_path: Path
) -> None:
    if engine == "numpy":
        run = tmp_path / "numpy"
        collections.deque(train(plain("numpy", "stages.0.epochs=2"), run), maxlen=0)
    captioner = Captioner.open(run)
    assert captioner.engine.name == engine
    together = captioner.describe(features[:5], SEARCH)
    assert [[c.text for c in some] for some in captioner.describe(features[:5], SEARCH)] == [
        [c.text for c in some] for some in together
    ]
    alone = captioner.describe(features[3:4], SEARCH, names=["3"])[0]
    assert [c.text for c in alone] == [c.text for c in together[3]]
    assert [c.score for c in alone] == pytest.approx([c.score for c in together[3]], abs=1e-5)


def test_frequencies_are_those_of_the_training_captions_and_kept(run: Path, world: Path) -> None:
    train = split(read_records(world / "captions.json"), "train")
    expected = CiderD.fit({record.id: [tokenize(text) for text in record.captions] for record in train})
    assert not (run / "frequencies.json").exists()
    for _ in range(2):  # counted, then read
        found = frequencies_of(run)
        assert found.documents == expected.documents == len(train)
        assert all(found.weight(gram) == expected.weight(gram) for gram in expected.document_frequency)
    assert json.loads((run / "frequencies.json").read_text(encoding="utf-8"))["documents"] == len(train)


def test_frequencies_that_are_damaged_or_cannot_be_counted_are_one_line(run: Path, tmp_path: Path) -> None:
    recipe = run / "recipe.toml"
    text = recipe.read_text(encoding="utf-8").splitlines()
    moved = [f'captions = "{tmp_path}/gone.json"' if line.startswith("captions = ") else line for line in text]
    recipe.write_text("\n".join(moved), encoding="utf-8")
    with pytest.raises(DataError, match=r"frequencies\.json: not there yet, and the captions .*gone\.json") as caught:
        Captioner.open(run).describe(np.ones((1, 4, 12), np.float32), SEARCH)
    assert "\n" not in str(caught.value)
    (run / "frequencies.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"frequencies\.json: not document frequencies of seesay"):
        frequencies_of(run)


@pytest.mark.parametrize(
    ("usual", "beam", "n_best", "expected"),
    [
        (Decoding(beam=5), None, 1, (LIKELY, DRAWN, 1)),
        (Decoding(beam=5), 50, 2, (50, DRAWN, 2)),
        (Decoding("consensus", beam=7, candidates=9), None, 3, (7, 9, 3)),
        (Decoding("consensus", beam=7, candidates=9), 4, 1, (4, 9, 1)),
    ],
    ids=["usual", "wide", "recipe", "recipe, narrower"],
)
def test_the_search_that_is_asked_for(
    usual: Decoding, beam: int | None, n_best: int, expected: tuple[int, int, int]
) -> None:
    chosen = choose_search(usual, beam, n_best, False, NOTHING | {"temperature": 0.9}, 7, consensus=True)
    assert (chosen.method, chosen.temperature) == ("consensus", 0.9)
    assert (chosen.beam, chosen.candidates, chosen.wanted) == expected
    more = choose_search(usual, beam, n_best, False, NOTHING, None, consensus=True, drawn=300)
    assert (more.beam, more.candidates) == (expected[0], 300)


def test_a_recipe_s_consensus_gives_way_to_a_beam_and_to_drawing() -> None:
    usual = Decoding("consensus", beam=7, candidates=9)
    assert choose_search(usual, None, 1, False, NOTHING, None).method == "consensus"
    assert choose_search(usual, 3, 1, False, NOTHING, None).method == "beam"
    drawn = choose_search(usual, None, 2, True, NOTHING, None)
    assert (drawn.method, drawn.candidates) == ("sample", 2)


def test_what_makes_no_sense_with_it_is_refused(asking: Callable[..., AskRecipe]) -> None:
    with pytest.raises(RecipeError, match=r"^--sample, --consensus: received both"):
        choose_search(Decoding(), None, 1, True, NOTHING, None, consensus=True)
    with pytest.raises(RecipeError, match=r"^--n-best 9: received with --beam 4; expected at most 4"):
        choose_search(Decoding(), 4, 9, False, NOTHING, None, consensus=True)
    with pytest.raises(RecipeError, match=r"^--drawn 9: received without --consensus"):
        choose_search(Decoding(), None, 1, False, NOTHING, None, drawn=9)
    with pytest.raises(RecipeError, match=r"^decoding\.candidates: received 1 with method 'consensus'"):
        Decoding("consensus")
    with pytest.raises(RecipeError, match=r"required: received 'dog' with method 'consensus'"):
        Decoding("consensus", candidates=9, required="dog")
    with pytest.raises(RecipeError, match=r"^decoding\.method: received 'consensus'; expected one of its parts"):
        search.decode(None, (np.zeros(1),), SEARCH)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="'consensus', which is for captions; expected 'beam'"):
        asking('decoding.method="consensus"', "decoding.candidates=9")


def test_a_split_by_consensus_on_the_command_line(run: Path, world: Path, seesay: Callable[..., Any]) -> None:
    asked = ("--consensus", "--beam", 4, "--drawn", 30, "--temperature", 1.5)
    done = seesay("evaluate", run, *asked)
    assert done.code == 0 and "CIDEr-D" in done.out
    said = json.loads(
        (run / "predictions" / "dev-method-consensus-beam-4-temperature-1.5-candidates-30.json").read_text("utf-8")
    )
    captioner = Captioner.open(run)
    search = dataclasses.replace(captioner.decoding, method="consensus", beam=4, candidates=30, temperature=1.5)
    store = FeatureStore(world / "grids.h5")
    for item in said["items"]:
        own = captioner.describe(store.read([item["file"]]), search, recipe_in(run).seed, [item["id"]])[0]
        assert [c["text"] for c in item["captions"]] == [c.text for c in own]
    for given in (("--drawn", 9), ("--temperature", 2)):
        done = seesay("evaluate", run, *given)
        assert done.code == 2 and done.err.startswith(f"error: {given[0]}: received without --consensus")
