"""Whole runs on the small world whose second stage is rewarded: events, logs, exact resuming, and what stops them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.captioner import Captioner
from seesay.checkpoint import read_checkpoint
from seesay.data.features import FeatureStore
from seesay.data.records import read_records, split
from seesay.errors import RecipeError
from seesay.recipe import AnyRecipe, read_recipe
from seesay.run import Advance, Check, Event, Notice, resume, train
from seesay.training.folder import RunFolder
from seesay.training.worth import Judge

Make = Callable[..., AnyRecipe]
RECIPE = """
name = "rewarded"
seed = 3

[data]
captions = "{0}/captions.json"
features = "{0}/grids.h5"
minimum_count = 1
max_words = 12

[model]
name = "transformer"
hidden_size = 32
heads = 4
layers = 2
encoder_layers = 1
feedforward_size = 64

[[stages]]
epochs = 3
pictures_per_batch = 4
learning_rate = 5e-3
warmup = 4

[[stages]]
objective = "self_critical"
epochs = 3
patience = 20
pictures_per_batch = 6
learning_rate = 1e-3
average = 0.9
samples = 4
max_length = 10

[training]
save_every = 1
log_every = 1

[decoding]
beam = 3
max_length = 10
"""
DRAWN = {"reward", "baseline", "length", "broken_ends"}


@pytest.fixture(scope="module")
def make(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`make("stages.1.samples=3", ...)` is the recipe above with these settings changed."""
    file = tmp_path_factory.mktemp("recipes") / "rewarded.toml"
    file.write_text(RECIPE.format(world), encoding="utf-8")
    return lambda *overrides: read_recipe(file, overrides)


@pytest.fixture(scope="module")
def run(make: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """A complete run and its events; to be read only."""
    path = tmp_path_factory.mktemp("runs") / "rewarded"
    return path, list(train(make(), path))


def log_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(path).log.read_text(encoding="utf-8").splitlines()]


def outcome(path: Path) -> dict[str, Any]:
    """All that must be the same, bit for bit."""
    folder = RunFolder(path)
    found: dict[str, Any] = {"log": folder.log.read_bytes()}
    for file in (folder.last, folder.best):
        arrays, header = read_checkpoint(file)
        found[file.stem] = {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
        found[f"{file.stem} header"] = header
    return found


def test_the_events_and_the_log(run: tuple[Path, list[Event]]) -> None:
    path, events = run
    kinds = "".join("s" if isinstance(event, Advance) else "C" for event in events)
    assert kinds == "ssssC" * 3 + "sssC" * 3
    rows = log_of(path)
    steps = [row for row in rows if row["event"] == "step"]
    plain = {"event", "step", "epoch", "loss", "lr", "grad_norm"}
    assert all(row.keys() == plain for row in steps[:12]) and all(row.keys() == plain | DRAWN for row in steps[12:])
    checks = [row for row in rows if row["event"] == "check"]
    assert all("drawn" not in row for row in checks[:3]) and all(row["drawn"].keys() == DRAWN for row in checks[3:])
    for check, first in zip(checks[3:], (12, 15, 18), strict=True):
        some, sizes = steps[first : first + 3], (6, 6, 4)  # 16 pictures in batches of 6, 4 captions each
        for name in DRAWN:
            mean = sum(row[name] * size for row, size in zip(some, sizes, strict=True)) / 16
            assert check["drawn"][name] == pytest.approx(mean)
        assert 0 < check["drawn"]["reward"] < 10 and 1 <= check["drawn"]["length"] <= 10
        # Each caption is held against the others of its picture: on the whole they are worth what they are.
        assert check["drawn"]["baseline"] == pytest.approx(check["drawn"]["reward"])
    told = [event for event in events if isinstance(event, Check)][-1]
    assert dict(told.means) == checks[-1]["drawn"]


@pytest.mark.parametrize("stop", [14, 18])
def test_a_run_killed_in_its_second_stage_goes_on_exactly(
    stop: int, run: tuple[Path, list[Event]], make: Make, tmp_path: Path
) -> None:
    """Step `stop` is lost: it, and what is drawn in it, come again."""
    events = train(make(), tmp_path / "run")
    for event in events:
        if isinstance(event, Advance) and event.step.number == stop:
            break
    events.close()  # type: ignore[attr-defined]
    progress = read_checkpoint(RunFolder(tmp_path / "run").last)[1]["progress"]
    assert (progress["step"], progress["stage"]) == (stop - 1, 1)
    assert [event for event in resume(tmp_path / "run") if isinstance(event, Notice)] == []
    assert outcome(tmp_path / "run") == outcome(run[0])


def test_leaving_out_what_was_drawn_so_far_is_noticed(
    run: tuple[Path, list[Event]], make: Make, tmp_path: Path
) -> None:
    from seesay.checkpoint import write_checkpoint

    folder = RunFolder(tmp_path / "run")
    events = train(make(), folder.path)
    next(event for event in events if isinstance(event, Advance) and event.step.number == 15)
    events.close()  # type: ignore[attr-defined]
    arrays, header = read_checkpoint(folder.last)
    assert header["progress"]["sums"].keys() == DRAWN | {"loss", "tokens", "captions"}
    header["progress"]["sums"]["reward"] = 0.0
    write_checkpoint(folder.last, arrays, header)
    list(resume(folder.path))
    assert outcome(folder.path) != outcome(run[0])


def test_the_second_stage_raises_the_reward(make: Make, tmp_path: Path) -> None:
    recipe = make(
        "stages.0.epochs=25",
        "stages.0.patience=25",
        "stages.0.label_smoothing=0.0",
        "stages.1.epochs=12",
        "stages.1.average=0.0",
        "training.save_every=0",
    )
    found = [event for event in train(recipe, tmp_path / "run") if isinstance(event, Check)]
    rewards = [check.means["reward"] for check in found if check.means]
    assert len(rewards) == 12
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.5


WAYS = {
    "greedy": ("stages.1.baseline='greedy'", "stages.1.samples=1", "stages.1.dropout=true"),
    "as released": (
        "stages.1.method='beam'",
        "stages.1.baseline='mean'",
        "stages.1.faithful=true",
        "stages.1.with_end=false",
        "stages.1.documents='caption'",
        "stages.1.decay='noam'",
    ),
    "mixed": (
        "stages.1.reward={'CIDEr-D'=1.0, Bleu_4=1.0}",
        "stages.1.normalise=true",
        "stages.1.temperature=0.7",
        "training.precision='bf16'",
        "stages.1.decay='steps'",
        "stages.1.factors=[[1, 1.0], [2, 0.1]]",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_setting_trains(way: str, make: Make, tmp_path: Path) -> None:
    recipe = make(*WAYS[way], "stages.0.epochs=1", "stages.1.epochs=2", "training.save_every=0")
    found = [event for event in train(recipe, tmp_path / "run") if isinstance(event, Check)]
    assert len(found) == 3 and found[2].means.keys() == DRAWN
    assert np.isfinite([check.train_loss for check in found]).all()
    if way == "mixed":
        rates = [row["lr"] for row in log_of(tmp_path / "run") if row["event"] == "step"][-6:]
        assert rates == pytest.approx([1e-3] * 3 + [1e-4] * 3)


def test_the_judge_of_a_run(make: Make, world: Path, tmp_path: Path) -> None:
    from seesay.tasks.caption import Captions

    recipe = make()
    captions = Captions.gather(recipe, RunFolder(tmp_path))
    judge = captions.judge(recipe.stages[1])
    assert isinstance(judge, Judge)
    words = captions.vocabulary
    record = split(read_records(world / "captions.json"), "train")[0]
    ids = np.array(
        [
            [*words.encode(text.lower().rstrip(".").split()), words.eos] + [words.eos] * (8 - len(text.split()))
            for text in record.captions
        ]
    )
    other = split(read_records(world / "captions.json"), "train")[1]
    assert judge.reward(ids, [record.id] * 5).min() > judge.reward(ids, [other.id] * 5).max()
    assert judge.open_ends == frozenset(words.encode(["a", "in", "is", "near", "the"]))


def test_a_whole_epoch_without_reward_is_told_with_its_likely_cause(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Judge(lambda ids, pictures: np.zeros(len(ids)))
    monkeypatch.setattr("seesay.tasks.caption.Captions.judge", lambda self, stage: nothing)
    recipe = make("stages.0.epochs=1", "stages.1.epochs=1", "training.save_every=0")
    told = [event.text for event in train(recipe, tmp_path / "run") if isinstance(event, Notice)]
    assert len(told) == 1
    assert told[0].startswith("epoch 2: not one of the captions drawn earned any reward") and "cross-entropy" in told[0]


def test_the_numpy_engine_refuses_before_anything_is_written(plain: Make, make: Make, tmp_path: Path) -> None:
    recipe = make("training.engine='numpy'")
    with pytest.raises(RecipeError, match=r"stages.1.objective: received 'self_critical' with engine 'numpy'") as fault:
        next(train(recipe, tmp_path / "run"))
    assert "\n" not in str(fault.value) and list(tmp_path.iterdir()) == []
    with pytest.raises(RecipeError, match=r"stages.0.scheduled_sampling: received 0.2 with engine 'numpy'"):
        next(train(plain("numpy", "stages.0.scheduled_sampling=0.2"), tmp_path / "run"))


def test_scheduled_sampling_begins_with_the_epoch_that_it_grows_in(make: Make, tmp_path: Path) -> None:
    same = ("stages.0.epochs=2", "stages.1.epochs=1", "training.save_every=0")
    grown = ("stages.0.scheduled_sampling=0.5", "stages.0.scheduled_sampling_every=1")
    losses = {}
    for name, options in {"off": same, "on": (*same, *grown, "stages.0.scheduled_sampling_growth=0.5")}.items():
        steps = [event.step for event in train(make(*options), tmp_path / name) if isinstance(event, Advance)]
        losses[name] = [step.loss for step in steps[:8]]
    assert losses["on"][:4] == losses["off"][:4]
    assert all(a != b for a, b in zip(losses["on"][4:], losses["off"][4:], strict=True))


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        (
            0.2,
            "stages.0.scheduled_sampling: received 0.5, of which 2 epochs reach 0.2, as it grows by 0.2 every 1; "
            "expected 4 epochs, a larger scheduled_sampling_growth or a smaller scheduled_sampling_every.",
        ),
        (
            0.05,
            "stages.0.scheduled_sampling: received 0.5, of which 2 epochs reach 0.05, as it grows by 0.05 every 1; "
            "expected 11 epochs, a larger scheduled_sampling_growth or a smaller scheduled_sampling_every.",
        ),
        (0.5, None),
    ],
)
def test_a_share_of_own_words_that_is_not_reached_is_told(
    growth: float, told: str | None, make: Make, tmp_path: Path
) -> None:
    asked = ("stages.0.epochs=2", "stages.0.scheduled_sampling=0.5", "stages.0.scheduled_sampling_every=1")
    events = train(make(*asked, f"stages.0.scheduled_sampling_growth={growth}"), tmp_path / "run")
    first = next(events)
    events.close()  # type: ignore[attr-defined]
    assert (first.text if isinstance(first, Notice) else None) == told


def test_a_beam_of_one_against_itself_is_refused_before_training_alone(
    run: tuple[Path, list[Event]], make: Make, tmp_path: Path
) -> None:
    alike = [f"stages.1.{part}" for part in ("samples=1", "method='beam'", "baseline='greedy'")]
    with pytest.raises(RecipeError) as fault:
        next(train(make(*alike), tmp_path / "run"))
    assert str(fault.value) == (
        "stages.1.samples: received 1 with method 'beam' and baseline 'greedy', which find the same caption, so that "
        "nothing is learned; expected 2 or more, or method 'sample'."
    )
    assert list(tmp_path.iterdir()) == [], "and a run that exists is read as it is"
    assert make(*alike).stages[1].samples == 1


def test_a_penalty_on_attention_is_refused_where_there_is_none(plain: Make, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as fault:
        next(train(plain("torch", "stages.1.doubly_stochastic=0.5"), tmp_path / "run"))
    assert str(fault.value) == (
        "stages.1.doubly_stochastic: received 0.5 with model 'captioning_rnn', which attends to no regions; expected "
        "0; or take a model that does, such as 'attend_tell'."
    )
    assert list(tmp_path.iterdir()) == []


def test_patience_waits_for_the_least_number_of_epochs(make: Make, tmp_path: Path) -> None:
    still = ("stages.0.learning_rate=1e-12", "stages.0.warmup=0", "stages.0.patience=1", "stages.0.epochs=9")
    recipe = make(*still, "stages.0.epochs_at_least=5", "stages.1.epochs=1", "training.save_every=0")
    found = [event for event in train(recipe, tmp_path / "run") if isinstance(event, Check)]
    assert len(found) == 5 + 1


def test_the_trained_model_describes(run: tuple[Path, list[Event]], world: Path, tmp_path: Path) -> None:
    shutil.copytree(run[0], tmp_path / "copy")
    store = FeatureStore(world / "grids.h5")
    found = Captioner.open(tmp_path / "copy").describe(store.read(store.ids[:3]))
    assert all(some[0].text for some in found)
