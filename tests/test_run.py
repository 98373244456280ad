"""Training runs on the small world: events, stages, patience, checkpoints, and what stops a run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from seesay.captioner import Captioner
from seesay.checkpoint import read_checkpoint
from seesay.data.features import FeatureStore
from seesay.data.records import read_records, split
from seesay.decoding.search import Decoding
from seesay.errors import CheckpointError, DataError, SeesayError, TrainingDiverged, UnknownName
from seesay.evaluation import describe_records, score_captions
from seesay.recipe import Recipe, read_recipe
from seesay.run import Advance, Check, resume, train
from seesay.training.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

Make = Callable[..., Recipe]
ONE_STAGE = ("stages.1.epochs=1", "training.save_every=0")


def log_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in RunFolder(path).log.read_text(encoding="utf-8").splitlines()]


def checks(events: Iterator[Advance | Check]) -> list[Check]:
    return [event for event in events if isinstance(event, Check)]


def test_the_events_of_a_run(tiny: Make, tmp_path: Path) -> None:
    events = list(train(tiny(), tmp_path / "run"))
    kinds = "".join("s" if isinstance(event, Advance) else "C" for event in events)
    assert kinds == "ssssC" * 3 + "sssC" * 3  # 16 pictures in batches of 4, then of 6
    steps = [event for event in events if isinstance(event, Advance)]
    assert [step.step.number for step in steps] == list(range(1, 22))
    assert [(step.epoch, step.position, step.batches) for step in steps[3:6]] == [(1, 4, 4), (2, 1, 4), (2, 2, 4)]
    assert [(check.epoch, check.epochs) for check in checks(iter(events))] == [(i, 6) for i in range(1, 7)]


def test_the_log_tells_all_and_nothing_of_the_clock(trained: Path) -> None:
    rows = log_of(trained)
    assert [row["event"] for row in rows].count("step") == 21
    assert all(
        row.keys() == {"event", "step", "epoch", "loss", "lr", "grad_norm"} for row in rows if row["event"] == "step"
    )
    for row in (row for row in rows if row["event"] == "check"):
        assert row.keys() == {"event", "step", "epoch", "train_loss", "dev_loss", "scores", "best"}
        assert row["scores"].keys() == {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D"}
    rates = [row["lr"] for row in rows if row["event"] == "step"]
    assert rates[0] == pytest.approx(0.01)  # stage 1 asks for 4 steps of warm-up, an eighth of its 12 is 1
    assert rates[12:14] == pytest.approx([0.005, (0.02 + 0.98 * 7 / 8) * 0.005])  # stage 2 for 2, an eighth of 9 is 1
    assert rates[11] == pytest.approx(0.02 * 0.01) and rates[20] == pytest.approx(0.02 * 0.005)
    assert all(abs(a - b) > 1e-6 for a, b in itertools.pairwise(rates))


def test_a_finished_run_s_folder(trained: Path) -> None:
    names = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith("tensorboard/")} == {
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "log.jsonl",
        "recipe.toml",
        "timings.jsonl",
        "vocabulary.json",
    }
    assert any(name.startswith("tensorboard/events.out.tfevents") for name in names)


def test_the_train_loss_of_an_epoch_is_its_mean_over_tokens(tiny: Make, tmp_path: Path) -> None:
    events = list(train(tiny("stages.0.epochs=1", *ONE_STAGE), tmp_path / "run"))
    steps = [event.step for event in events[:4] if isinstance(event, Advance)]
    total = sum(step.loss * step.tokens for step in steps)
    assert checks(iter(events))[0].train_loss == pytest.approx(total / sum(step.tokens for step in steps))


def test_it_learns_the_small_world(tiny: Make, tmp_path: Path) -> None:
    recipe = tiny(
        "stages.0.epochs=20",
        "stages.0.patience=20",
        "stages.0.learning_rate=0.02",
        "stages.0.label_smoothing=0.0",
        "model.hidden_size=32",
        "model.embedding_size=32",
        "model.dropout=0.0",
        *ONE_STAGE,
    )
    found = checks(train(recipe, tmp_path / "run"))
    assert found[0].dev_loss > 2
    assert min(check.dev_loss for check in found) < 0.9
    assert max(check.scores["CIDEr-D"] for check in found) > 1.0
    words = RunFolder(tmp_path / "run").vocabulary.read_text(encoding="utf-8")
    assert '"horse"' in words


def test_the_best_checkpoint_scores_what_the_log_says(trained: Path, world: Path) -> None:
    best = [row for row in log_of(trained) if row["event"] == "check" and row["best"]][-1]
    captioner = Captioner.open(trained)
    assert captioner.header["progress"]["step"] == best["step"]
    records = split(read_records(world / "captions.json"), "dev")
    greedy = Decoding("greedy", max_length=captioner.decoding.max_length)
    found = describe_records(captioner, records, FeatureStore(world / "grids.h5"), greedy)
    assert score_captions(found, records).corpus == pytest.approx(best["scores"])


def test_patience_ends_a_stage(tiny: Make, tmp_path: Path) -> None:
    # A rate this small changes no caption, so the first score stays the best.
    recipe = tiny("stages.0.epochs=9", "stages.0.patience=2", "stages.0.learning_rate=1e-12", *ONE_STAGE)
    found = checks(train(recipe, tmp_path / "run"))
    assert [check.best for check in found[:3]] == [True, False, False]
    assert len(found) == 3 + 1


def test_a_stage_begins_from_the_best_weights_so_far(tiny: Make, tmp_path: Path) -> None:
    path = tmp_path / "run"
    events = train(tiny(), path)
    for event in events:
        if isinstance(event, Check) and event.epoch == 3:
            best = Captioner.open(path).model.state_dict()
        if isinstance(event, Advance) and event.step.number == 13:
            arrays, header = read_checkpoint(RunFolder(path).last)  # saved at the switch; step 13 is not in it
            break
    events.close()  # type: ignore[attr-defined]
    progress = header["progress"]
    assert (progress["stage"], progress["step"], progress["stage_step"]) == (1, 12, 0)
    assert all(np.array_equal(arrays[f"model/{name}"], part.numpy()) for name, part in best.items())
    assert not any(name.startswith(("optimizer/", "average/")) for name in arrays)


def test_a_second_stage_may_average_and_the_first_not(tiny: Make, tmp_path: Path) -> None:
    recipe = tiny("stages.0.epochs=1", "stages.0.average=0.0", "stages.1.average=0.9", *ONE_STAGE)
    list(train(recipe, tmp_path / "run"))
    assert any(name.startswith("average/") for name in read_checkpoint(RunFolder(tmp_path / "run").last)[0])


@pytest.mark.parametrize("model", ["captioning_rnn", "attend_tell"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_every_model_trains_in_every_precision(
    model: str, precision: str, tiny: Make, world: Path, tmp_path: Path
) -> None:
    text = (world / "recipe.toml").read_text(encoding="utf-8").replace('"attend_tell"', f'"{model}"')
    if model == "captioning_rnn":
        text = text.replace("attention_size = 8\n", "")
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    options = (f"training.precision={precision}", "stages.0.epochs=1", *ONE_STAGE)
    found = checks(train(read_recipe(tmp_path / "r.toml", options), tmp_path / "run"))
    assert all(np.isfinite([check.train_loss, check.dev_loss]).all() for check in found)


def test_a_run_folder_is_used_once(trained: Path, tiny: Make) -> None:
    with pytest.raises(CheckpointError, match="holds a run already; go on with 'seesay train --resume"):
        next(train(tiny(), trained))


def test_only_one_may_train_into_a_folder(tiny: Make, tmp_path: Path) -> None:
    events = train(tiny(), tmp_path / "run")
    next(events)
    with pytest.raises(CheckpointError, match="another process is training"):
        next(resume(tmp_path / "run"))
    events.close()  # type: ignore[attr-defined]
    assert isinstance(next(resume(tmp_path / "run")), Advance)


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run to resume"):
        next(resume(tmp_path))


def test_pictures_without_features_stop_a_run_before_it_begins(
    tiny: Make, world: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    store = FeatureStore(world / "grids.h5")
    some = [record.file for record in split(read_records(world / "captions.json"), "train")][1:]
    make_features(tmp_path / "few.h5", some, store.read(some))
    with pytest.raises(DataError, match=r"captions.json: picture \S+ has no features in \S*few.h5 \(15 pictures\)"):
        next(train(tiny(f'data.features="{tmp_path}/few.h5"', 'data.flipped=""'), tmp_path / "run"))
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_changed_captions_or_features_stop_a_resume(tiny: Make, world: Path, tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    captions.write_bytes((world / "captions.json").read_bytes())
    events = train(tiny(f'data.captions="{captions}"'), tmp_path / "run")
    next(events)
    events.close()  # type: ignore[attr-defined]
    captions.write_text(captions.read_text(encoding="utf-8").replace("One red dog", "One blue dog"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="run: its captions have changed since it was trained"):
        next(resume(tmp_path / "run"))


def test_features_that_are_not_finite_stop_the_run(
    tiny: Make, world: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    store = FeatureStore(world / "grids.h5")
    features = store.read(store.ids)
    features[:, 0, 0] = np.inf
    make_features(tmp_path / "bad.h5", store.ids, features)
    events = train(tiny(f'data.features="{tmp_path}/bad.h5"', 'data.flipped=""'), tmp_path / "run")
    with pytest.raises(TrainingDiverged, match="step 1: loss is nan"):
        list(events)
    assert read_checkpoint(RunFolder(tmp_path / "run").last)[1]["progress"]["step"] == 0


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("data.minimum_count=1000", SeesayError),
        ("training.device=banana", SeesayError),
        ("model.name=atend_tell", UnknownName),
        ("model.hiden_size=3", UnknownName),
        ("data.captions=none.json", DataError),
        ("data.features=none.h5", DataError),
    ],
)
def test_settings_that_cannot_work_are_one_line_before_anything_is_written(
    override: str, error: type[SeesayError], tiny: Make, tmp_path: Path
) -> None:
    with pytest.raises(error) as fault:
        next(train(tiny(override), tmp_path / "run"))
    assert "\n" not in str(fault.value)
    assert not (tmp_path / "run" / "recipe.toml").exists()
