"""A run that begins with another's weights: all of them, those that fit, word by word, or none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.checkpoint import read_checkpoint
from seesay.errors import CheckpointError
from seesay.evaluation import write_run_report
from seesay.recipe import Recipe
from seesay.restoring import weights_of
from seesay.run import Advance, Check, Notice, resume, train
from seesay.text.vocabulary import Vocabulary

Make = Callable[..., Recipe]
BRIEF = ("stages.0.epochs=1", "stages.1.epochs=1", "stages.0.learning_rate=1e-12", "stages.1.learning_rate=1e-12")


def weights(run: Path, prefix: str = "") -> dict[str, np.ndarray]:
    arrays, _ = read_checkpoint(run / "checkpoints" / "best.safetensors")
    prefix = prefix or weights_of(arrays)
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def begin(recipe: Recipe, path: Path) -> str:
    """Train, and return what was said of the beginning."""
    said = [event.text for event in train(recipe, path) if isinstance(event, Notice)]
    return said[0]


def test_the_same_model_begins_where_the_other_s_best_was(tiny: Make, trained: Path, tmp_path: Path) -> None:
    said = begin(tiny(*BRIEF, f"training.start_from={trained}", "seed=99"), tmp_path / "run")
    before, after = weights(trained), weights(tmp_path / "run")
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    count = len(before)
    assert said == f"began with {count} of {count} weights of {trained}/checkpoints/best.safetensors."
    first = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[0])
    assert first["event"] == "start" and first["fresh"] == [] and len(first["sha256"]) == 64


def test_words_go_over_by_word_and_what_is_new_stays_fresh(tiny: Make, trained: Path, tmp_path: Path) -> None:
    """The new run knows only words that occur 25 times: fewer rows."""
    recipe = tiny(*BRIEF, f"training.start_from={trained}", "data.minimum_count=25")
    said = begin(recipe, tmp_path / "run")
    old, new = (Vocabulary.load(run / "vocabulary.json").words for run in (trained, tmp_path / "run"))
    assert len(new) < len(old) and set(new) <= set(old)
    assert f"{len(new)} of {len(new)} words among them" in said
    before, after = weights(trained), weights(tmp_path / "run")
    rows = [old.index(word) for word in new]
    for name in before:
        expected = before[name][rows] if len(before[name]) == len(old) else before[name]
        np.testing.assert_allclose(after[name], expected, atol=1e-6)


def test_other_sizes_stay_fresh_and_are_named(tiny: Make, trained: Path, tmp_path: Path) -> None:
    fresh = begin(tiny(*BRIEF, f"training.start_from={trained}", "model.attention_size=7"), tmp_path / "run")
    assert "; fresh: attention.key.weight" in fresh
    before, after = weights(trained), weights(tmp_path / "run")
    np.testing.assert_allclose(after["embedding.weight"], before["embedding.weight"], atol=1e-6)
    assert after["attention.key.weight"].shape != before["attention.key.weight"].shape
    assert log_of(tmp_path / "run")[0].keys() == {"event", "from", "sha256", "fresh"}  # no scores of half a model


def test_the_weights_that_a_run_begins_with_are_kept_until_an_epoch_is_better(
    tiny: Make, trained: Path, tmp_path: Path
) -> None:
    events = list(train(tiny(*BRIEF, f"training.start_from={trained}"), tmp_path / "run"))
    said = [event.text for event in events if isinstance(event, Notice)]
    there = [row for row in log_of(trained) if row["event"] == "check" and row["best"]][-1]
    start = log_of(tmp_path / "run")[0]
    assert start["scores"] == pytest.approx(there["scores"]) and start["dev_loss"] == pytest.approx(there["dev_loss"])
    assert said[1] == (
        f"start: dev loss {there['dev_loss']:.3f}  dev CIDEr-D {there['scores']['CIDEr-D']:.3f}; an epoch must be "
        "better to be kept as the best."
    )
    assert [event.best for event in events if isinstance(event, Check)] == [False, False]
    _, header = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.safetensors")
    assert header["progress"]["step"] == 0 and header["progress"]["best_scores"] == start["scores"]
    for name, array in weights(trained).items():
        np.testing.assert_array_equal(weights(tmp_path / "run")[name], array)
    page = write_run_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "With the weights that it began with, <code>attend_tell</code> describes 4 photographs" in page
    assert "none was better than what it began with, which was kept" in page and "ringed" not in page


@pytest.mark.parametrize("linked", [True, False])
def test_a_run_stopped_before_its_first_step_still_keeps_what_it_began_with(
    linked: bool, tiny: Make, trained: Path, tmp_path: Path
) -> None:
    """A kill may come between writing the first checkpoint and naming it the best."""
    recipe = tiny(*BRIEF, f"training.start_from={trained}")
    list(train(recipe, tmp_path / "whole"))
    events = train(recipe, tmp_path / "run")
    next(event for event in events if isinstance(event, Advance))
    events.close()  # type: ignore[attr-defined]
    files = [tmp_path / name / "checkpoints" / "best.safetensors" for name in ("run", "whole")]
    if not linked:
        files[0].replace(files[0].parent / "last.safetensors")
    list(resume(tmp_path / "run"))
    (one, about), (other, expected) = map(read_checkpoint, files)
    assert about["progress"] == expected["progress"] and about["progress"]["step"] == 0
    assert all(np.array_equal(one[name], other[name]) for name in other)
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_nothing_in_common_is_refused(tiny: Make, tmp_path: Path) -> None:
    other = tiny(*BRIEF)
    other = other.model_copy(update={"model": type(other.model)(name="transformer", hidden_size=8, heads=1, layers=1)})
    list(train(other, tmp_path / "other"))
    with pytest.raises(CheckpointError, match=r"none of which 'captioning_rnn' has; expected a run of the same model"):
        plain = tiny(*BRIEF, "stages.1.doubly_stochastic=0.0", f"training.start_from={tmp_path / 'other'}")
        model = type(plain.model)(name="captioning_rnn", embedding_size=5, hidden_size=6)
        list(train(plain.model_copy(update={"model": model}), tmp_path / "run"))


def test_a_missing_run_is_refused_before_anything_is_written(tiny: Make, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not found"):
        list(train(tiny(*BRIEF, "training.start_from=nowhere"), tmp_path / "run"))
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_it_resumes_without_the_run_that_it_began_with(tiny: Make, trained: Path, tmp_path: Path) -> None:
    recipe = tiny(*BRIEF, f"training.start_from={trained}")
    whole = list(train(recipe, tmp_path / "whole"))
    steps = train(recipe, tmp_path / "run")
    for event in steps:
        if getattr(event, "position", 0) == 2:
            break
    steps.close()
    text = (tmp_path / "run" / "recipe.toml").read_text()
    (tmp_path / "run" / "recipe.toml").write_text(text.replace(str(trained), str(tmp_path / "moved")))
    list(resume(tmp_path / "run"))
    assert whole and weights(tmp_path / "run").keys() == weights(tmp_path / "whole").keys()
    for name, array in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "run")[name], array)
