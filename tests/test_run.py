"""Training runs on the small world: events, stages, patience, checkpoints, and what stops a run."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from seesay.captioner import Captioner
from seesay.checkpoint import read_checkpoint
from seesay.data.features import FeatureStore
from seesay.data.records import read_records, split
from seesay.decoding.settings import Decoding
from seesay.errors import CheckpointError, DataError, RecipeError, SeesayError, TrainingDiverged, UnknownName
from seesay.evaluation import describe_records, score_captions
from seesay.progress import describe_check
from seesay.recipe import Recipe, read_recipe
from seesay.run import Advance, Check, Notice, resume, train
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
        assert row["scores"].keys() >= {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr-D"}
    rates = [row["lr"] for row in rows if row["event"] == "step"]
    assert rates[0] == pytest.approx(0.01)  # stage 1 asks for 4 steps of warm-up, a tenth of its 12 is 1
    stage_2 = [(0.02 + 0.98 * left / 9) * 0.005 for left in (8, 7)]  # asks for 2, a tenth of its 9 is none
    assert rates[12:14] == pytest.approx(stage_2)
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


def test_each_of_several_stages_is_told_when_it_begins(tiny: Make, tmp_path: Path) -> None:
    rewarded = 'stages=[{epochs=2}, {objective="self_critical", epochs=2}]'
    found = checks(train(tiny(rewarded), tmp_path / "run"))
    assert [check.stage for check in found] == ["stage 1/2 cross_entropy", "", "stage 2/2 self_critical", ""]
    assert [describe_check(check).partition("  loss")[0] for check in found] == [
        "epoch  1/4  stage 1/2 cross_entropy",
        "epoch  2/4",
        "epoch  3/4  stage 2/2 self_critical",
        "epoch  4/4",
    ]
    assert [check.stage for check in checks(train(tiny("stages=[{epochs=1}]"), tmp_path / "only"))] == [""]


@pytest.mark.parametrize(
    ("selected", "best"),
    [
        (("CIDEr-D", "Bleu_1"), [True, False, True, False, True]),
        (("Bleu_1", "CIDEr-D"), [True, False, False, True, False]),
        (("CIDEr-D", "CIDEr-D"), [True, False, True, True, False]),
    ],
    ids=["CIDEr-D then Bleu_1", "Bleu_1 then CIDEr-D", "the same"],
)
def test_a_stage_that_selects_by_another_score_must_beat_the_best_epoch_s_own(
    selected: tuple[str, str], best: list[bool], tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bits, too, where a run is stopped at the change and goes on."""
    epochs = [(0.2, 0.5), (0.1, 0.4), (0.25, 0.45), (0.3, 0.43), (0.29, 0.51)]
    scores = [{"CIDEr-D": cider, "Bleu_1": bleu} for cider, bleu in epochs]
    coming = iter(scores)
    monkeypatch.setattr("seesay.tasks.caption.score_captions", lambda *_: SimpleNamespace(corpus=next(coming)))
    stages = ("stages.0.epochs=3", "stages.1.epochs=2", "training.save_every=0")
    recipe = tiny(*stages, *(f"stages.{n}.select_by={name}" for n, name in enumerate(selected)))
    whole = tmp_path / "whole"
    found = checks(train(recipe, whole))
    assert [check.best for check in found] == best
    assert [check.select_by for check in found] == [selected[0]] * 3 + [selected[1]] * 2
    at = len(best) - 1 - best[::-1].index(True)
    progress = read_checkpoint(RunFolder(whole).best)[1]["progress"]
    assert (progress["epoch"], progress["best_scores"]) == (at + 1, scores[at])
    coming = iter(scores)
    events = train(recipe, tmp_path / "stopped")
    next(event for event in events if isinstance(event, Advance) and event.epoch == 4)
    events.close()  # type: ignore[attr-defined]
    coming = iter(scores[3:])
    assert [check.best for check in checks(resume(tmp_path / "stopped"))] == best[3:]
    for name in ("best", "last"):
        one, other = (read_checkpoint(getattr(RunFolder(run), name)) for run in (whole, tmp_path / "stopped"))
        assert one[1] == other[1] and all(np.array_equal(one[0][key], other[0][key]) for key in one[0])


@pytest.mark.parametrize(
    ("select_by", "shown"),
    [
        ("CIDEr-D", "dev Bleu_4 0.100, CIDEr-D 0.300"),
        ("ROUGE_L", "dev Bleu_4 0.100, ROUGE_L 0.200, CIDEr-D 0.300"),
    ],
)
def test_the_line_of_an_epoch_shows_the_score_that_chooses(select_by: str, shown: str) -> None:
    scores = {"Bleu_1": 0.5, "Bleu_4": 0.1, "ROUGE_L": 0.2, "CIDEr-D": 0.3}
    line = describe_check(Check(2, 6, 3.25, 3.5, scores, True, 4.4, select_by=select_by))
    assert line == f"epoch  2/6  loss 3.250  dev loss 3.500  {shown}  4 s  * best"


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
        text = text.replace("attention_size = 8\n", "").replace("doubly_stochastic = 0.5\n", "")
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
    with pytest.raises(TrainingDiverged, match=r"/run: step 1: loss is nan.* The last checkpoint, of step 0, would"):
        list(events)
    assert read_checkpoint(RunFolder(tmp_path / "run").last)[1]["progress"]["step"] == 0
    begun_anew = list(
        train(tiny("stages.0.epochs=1", *ONE_STAGE), tmp_path / "run")
    )  # nothing was learned: no -o needed
    assert [row["step"] for row in log_of(tmp_path / "run") if row["event"] == "step"] == list(range(1, 8))
    assert len(checks(iter(begun_anew))) == 2


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("data.minimum_count=1000", DataError),
        ("model={name='captioning_rnn'}", RecipeError),
        ("model.hidden_size=0", RecipeError),
        ("model.region_dropout=1.5", RecipeError),
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
    assert list(tmp_path.iterdir()) == []  # not even a folder


def test_warm_up_is_at_most_a_tenth_of_a_stage_and_patience_waits_for_its_end(tiny: Make, tmp_path: Path) -> None:
    # 15 epochs of 4 steps: 6 of warm-up, however many are asked for. Nothing learned in it is no reason to stop.
    recipe = tiny(
        "stages.0.epochs=15",
        "stages.0.warmup=1000",
        "stages.0.patience=1",
        "stages.0.learning_rate=1e-12",
        *ONE_STAGE,
    )
    found = checks(train(recipe, tmp_path / "run"))
    rates = [row["lr"] for row in log_of(tmp_path / "run") if row["event"] == "step"]
    assert rates[:6] == pytest.approx([1e-12 * step / 6 for step in range(1, 7)])
    assert rates[6] < rates[5]
    assert len(found) == 2 + 1  # epoch 1 ends within the warm-up, epoch 2 after it; then stage 2


def test_scores_that_are_noise_are_decided_by_the_loss(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = iter([0.0002, 0.0001, 0.0])
    monkeypatch.setattr(
        "seesay.tasks.caption.score_captions", lambda *_: SimpleNamespace(corpus={"CIDEr-D": next(noise)})
    )
    events = train(tiny(*ONE_STAGE), tmp_path / "run")
    found = list(itertools.islice((event for event in events if isinstance(event, Check)), 3))
    events.close()  # type: ignore[attr-defined]
    assert found[0].dev_loss > found[1].dev_loss + 0.001 > found[2].dev_loss + 0.002
    assert [check.best for check in found] == [True, True, True]


@pytest.mark.slow
def test_the_recipe_of_the_readme_learns_on_the_demonstration_photographs(demo_folder: Path, tmp_path: Path) -> None:
    from seesay.vision.extraction import extract

    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(readme.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    extract(demo_folder / "images", tmp_path / "grids.h5")
    paths = [f'data.captions="{demo_folder}/captions.json"', f'data.features="{tmp_path}/grids.h5"']
    found = checks(train(read_recipe(tmp_path / "mine.toml", paths), tmp_path / "run"))
    best = [check for check in found if check.best][-1]
    assert len(found) > 10
    assert best.dev_loss < min(check.dev_loss for check in found) + 0.1
    assert best.dev_loss < found[0].dev_loss - 0.5
    assert best.scores["CIDEr-D"] > 0.1
    said = Captioner.open(tmp_path / "run").caption(sorted((demo_folder / "images").glob("*.jpg"))[:5])
    assert all(len(set(some[0].tokens)) > 2 for some in said)


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/no/run", "n" * 300])
def test_a_place_that_no_run_can_lie_in_is_one_line(place: str, tiny: Make, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine", encoding="utf-8")
    path = {"a file": tmp_path / "note", "below a file": tmp_path / "note" / "run"}.get(place, tmp_path / place)
    with pytest.raises(DataError, match="the folder cannot be made") as fault:
        next(train(tiny(), path))
    assert "\n" not in str(fault.value) and str(path) in str(fault.value)
    assert (tmp_path / "note").read_text(encoding="utf-8") == "mine"


def test_a_log_without_room_ends_the_run_in_one_line_and_it_goes_on_later(
    tiny: Make, trained: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    events = train(tiny(), folder.path)
    next(events)
    events.close()  # type: ignore[attr-defined]
    folder.log.unlink()
    folder.log.symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"log.jsonl: cannot be written \((No space left|Invalid argument)"):
        list(resume(folder.path))
    folder.log.unlink()
    folder.log.mkdir()
    with pytest.raises(DataError, match=r"log.jsonl: cannot be written \(Is a directory\)"):
        list(resume(folder.path))
    folder.log.rmdir()
    list(resume(folder.path))
    assert folder.log.read_bytes() == RunFolder(trained).log.read_bytes()


def test_curves_that_cannot_be_written_are_told_once_and_the_run_goes_on(
    tiny: Make, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seesay.training.curves.RecordWriter", _FullDisk)
    for room in (0, 1, 5, 1000):  # writes that still find room: none, the first, those of the first epoch, all
        _FullDisk.room = room
        events = list(train(tiny(), tmp_path / f"run-{room}"))
        (told,) = [event.text for event in events if isinstance(event, Notice)] or [""]
        assert ("cannot be written (No space left on device); training goes on without" in told) == (room < 1000)
        assert log_of(tmp_path / f"run-{room}") == log_of(trained)


class _FullDisk:
    room = 0

    def __init__(self, path: str) -> None:
        self.room = type(self).room
        self.write(b"")

    def write(self, data: bytes) -> None:
        if self.room == 0:
            raise OSError(28, "No space left on device")
        self.room -= 1

    def flush(self) -> None: ...

    def close(self) -> None:
        raise OSError(28, "No space left on device")


def test_the_curves_are_tensorboard_s_events(trained: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    (file,) = (trained / "tensorboard").iterdir()
    content, events = file.read_bytes(), []
    while content:
        size = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    assert events[0].file_version == "brain.Event:2" and events[1].session_log.status == 1 and events[1].step == 1
    values = {(value.tag, event.step): value.simple_value for event in events for value in event.summary.value}
    rows = log_of(trained)
    for row in rows:
        if row["event"] == "step":
            assert values["train/loss", row["step"]] == pytest.approx(row["loss"])
        else:
            assert values["dev/dev_loss", row["step"]] == pytest.approx(row["dev_loss"])
            assert values["dev/CIDEr-D", row["step"]] == pytest.approx(row["scores"]["CIDEr-D"])


def test_mixed_up_feature_files_are_noticed(
    tiny: Make, world: Path, tmp_path: Path, make_features: Callable[..., None]
) -> None:
    grids = FeatureStore(world / "grids.h5")
    make_features(tmp_path / "few.h5", grids.ids, grids.read(grids.ids)[:, :3], flipped=True)
    cases = {
        (world / "grids-flipped.h5", world / "grids.h5"): "data.features expects those of the pictures as they are",
        (world / "grids.h5", world / "grids.h5"): "data.flipped expects those of the mirrored pictures",
        (world / "grids.h5", tmp_path / "few.h5"): r"few.h5: features of \S+ \(3 x 12\); expected \S+ \(4 x 12\)",
    }
    for (features, flipped), message in cases.items():
        with pytest.raises(DataError, match=message) as fault:
            next(train(tiny(f'data.features="{features}"', f'data.flipped="{flipped}"'), tmp_path / "run"))
        assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.minimum_count=900", r"/own.json: none of \d+ words occurs 900 times.*data\.minimum_count"),
        ("seed=3", r"/own.json: received 16 pictures, none of split 'dev'; expected some of 'train'"),
    ],
)
def test_small_data_of_one_s_own_are_told_which_file_and_which_key(
    override: str, message: str, tiny: Make, world: Path, tmp_path: Path
) -> None:
    records = json.loads((world / "captions.json").read_text(encoding="utf-8"))
    own = tmp_path / "own.json"
    own.write_text(json.dumps([record for record in records if record["split"] == "train"]), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        next(train(tiny(f'data.captions="{own}"', override), tmp_path / "run"))


@pytest.mark.parametrize("output", ['a"b', "it's $HOME"])
def test_the_demo_takes_any_name_for_its_folder(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from seesay import demo

    path, asked = tmp_path / output, []
    monkeypatch.setattr(demo, "extract", lambda *_, **__: None)
    monkeypatch.setattr(demo, "follow_training", lambda recipe: asked.append(recipe))
    monkeypatch.setattr(demo.run, "train", lambda recipe, _: recipe)
    monkeypatch.setattr(demo, "evaluate", lambda *_, **__: None)
    monkeypatch.setattr(demo, "print_scores", lambda _: None)
    monkeypatch.setattr(demo, "write_run_report", lambda run: run / "report.html")
    demo.run_demo(path)
    (recipe,) = asked
    assert (recipe.data.features, recipe.data.flipped) == (f"{path}/grids.h5", f"{path}/grids-flipped.h5")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.endswith("YOUR_PHOTO.jpg"))
    assert shlex.split(line) == ["seesay", "caption", str(path), "YOUR_PHOTO.jpg"]


@pytest.mark.parametrize("place", ["mine.toml", "/proc/x"])
def test_the_demo_refuses_a_place_that_is_none(place: str, tmp_path: Path) -> None:
    from seesay.demo import run_demo

    (tmp_path / "mine.toml").touch()
    with pytest.raises(DataError, match="the folder cannot be made"):
        run_demo(tmp_path / place)
