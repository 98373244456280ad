"""A killed run comes to the same bits as one never killed, and needs every part of what is saved for it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seesay.checkpoint import read_checkpoint, write_checkpoint
from seesay.errors import CheckpointError
from seesay.recipe import read_recipe
from seesay.run import Advance, Notice, resume, train
from seesay.training.folder import RunFolder
from seesay.training.progress import Progress

if TYPE_CHECKING:
    from seesay.recipe import Recipe

KILLS = 20
COMMAND = [sys.executable, "-c", "from seesay.cli import main; main()"]

# Trains in child processes and kills each with signal 9: after some number of its events (0: while it starts) and a
# moment more. Starts torch once, as forks share it. Prints what became of each run folder.
KILLER = """
import json, os, random, signal, sys, time, traceback
from pathlib import Path
import torch
from seesay.checkpoint import read_checkpoint
from seesay.recipe import read_recipe
from seesay.run import Advance, resume, train

torch.set_num_threads(1)
recipe, place, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
chance = random.Random(0)


def child(run, pipe):
    begun = (run / "checkpoints" / "last.safetensors").exists()
    for event in resume(run) if begun else train(read_recipe(recipe), run):
        os.write(pipe, event.step.number.to_bytes(4, "big") if isinstance(event, Advance) else bytes(4))


def start(run):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    os.close(reader)
    try:
        child(run, writer)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def finished(pid):
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return False
    assert os.WEXITSTATUS(status) == 0, "the run failed"
    return True


def seen(pipe, events):
    last = 0
    for _ in range(events):
        last = max(last, int.from_bytes(os.read(pipe, 4) or bytes(4), "big"))
    return last


def whole(run, step):
    # Whatever the moment: the checkpoint can be read, and no step before the one just seen is lost.
    last = run / "checkpoints" / "last.safetensors"
    if last.exists():
        assert read_checkpoint(last)[1]["progress"]["step"] >= step - 1
    else:
        assert step == 0


began = time.monotonic()
pid, pipe = start(place / "undisturbed")
first = seen(pipe, 1) and time.monotonic() - began
rest = seen(pipe, 10**4) and time.monotonic() - began - first
assert finished(pid)
os.close(pipe)

runs, done, killed = [], True, []
while len(killed) < kills or not done:
    if done:
        runs.append(place / f"killed-{len(runs)}")
    pid, pipe = start(runs[-1])
    if len(killed) < kills:
        events = chance.randrange(5)
        step = seen(pipe, events)
        time.sleep(chance.uniform(0, rest / 15 if events else first))
        os.kill(pid, signal.SIGKILL)
        done = finished(pid)
        whole(runs[-1], step)
        if not done:
            killed.append([events, step])
    else:
        done = finished(pid)
    os.close(pipe)
print(json.dumps({"runs": [str(run) for run in runs], "killed": killed}))
"""


def outcome(path: Path) -> dict[str, Any]:
    """All that must be the same, bit for bit."""
    folder = RunFolder(path)
    found: dict[str, Any] = {"log": folder.log.read_bytes(), "vocabulary": folder.vocabulary.read_bytes()}
    for file in (folder.last, folder.best):
        arrays, header = read_checkpoint(file)
        found[file.stem] = {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
        found[f"{file.stem} header"] = header
    return found


def assert_equal(path: Path, expected: dict[str, Any]) -> None:
    found = outcome(path)
    assert [key for key in expected if found[key] != expected[key]] == []


@pytest.mark.slow
def test_twenty_kills_change_nothing(world: Path, trained: Path, tmp_path: Path) -> None:
    arguments = [str(world / "recipe.toml"), str(tmp_path), str(KILLS)]
    done = subprocess.run([sys.executable, "-c", KILLER, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["killed"]) == KILLS
    expected = outcome(trained)
    for run in (tmp_path / "undisturbed", *map(Path, told["runs"])):
        assert_equal(run, expected)
        assert list(run.rglob(".*.tmp.*")) == []


def begin(recipe: Recipe, path: Path, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train until `step` is logged but not saved; the arrays from before the first step and those of `step - 1`."""
    events = train(recipe, path)
    first: dict[str, Any] = {}
    for event in events:
        if not first:
            first = read_checkpoint(RunFolder(path).last)[0]
        if isinstance(event, Advance) and event.step.number == step:
            break
    events.close()  # type: ignore[attr-defined]
    assert read_checkpoint(RunFolder(path).last)[1]["progress"]["step"] == step - 1
    return first, read_checkpoint(RunFolder(path).last)[0]


def go_on(path: Path) -> list[str]:
    """Resume to the end; what a person was told."""
    return [event.text for event in resume(path) if isinstance(event, Notice)]


# Two moments in the middle of an epoch, where no part of the progress has its first value: stage 1 keeps an average,
# stage 2 has had an epoch without a better score, as it learns next to nothing.
NO_GAIN = ("stages.1.patience=2", "stages.1.learning_rate=1e-12")
MOMENTS = {"first": 7, "second": 18}
Change = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], None]


def without(prefix: str, replacement: str | None) -> Change:
    """Arrays under `prefix` become those of before the first step, those under another prefix, or nothing."""

    def change(arrays: dict[str, Any], header: dict[str, Any], first: dict[str, Any]) -> None:
        for name in [name for name in arrays if name.startswith(prefix)]:
            taken = arrays.pop(name)
            if replacement is not None:
                other = arrays if replacement != prefix else first
                arrays[name] = other[replacement + name.removeprefix(prefix)].reshape(taken.shape)

    return change


def forgets(key: str) -> Change:
    def change(arrays: dict[str, Any], header: dict[str, Any], first: dict[str, Any]) -> None:
        if key == "log_size":
            header[key] = 10**9
        else:
            before = header["progress"][key]
            header["progress"][key] = getattr(Progress(), key)
            assert header["progress"][key] != before, f"{key} has its first value here: a poor moment"

    return change


PARTS = {
    "the weights": ("first", without("model/", "model/")),
    "the average": ("first", without("average/", "model/")),
    "the first moments": ("first", without("optimizer/", None)),
    "the moments of stage 2": ("second", without("optimizer/", None)),
    "the log's size": ("first", forgets("log_size")),
} | {
    # Stage 2 ends by patience, whatever its number of epochs.
    f"progress.{field.name}": ("first" if field.name == "stage_epoch" else "second", forgets(field.name))
    for field in dataclasses.fields(Progress)
    if field.name != "done"
}


@pytest.fixture(scope="module")
def moments(tiny: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """For each moment a run stopped there, its arrays of before the first step, and what it should come to."""
    found = {}
    for name, step in MOMENTS.items():
        path = tmp_path_factory.mktemp("moments") / name
        first, _ = begin(tiny(*NO_GAIN), path, step)
        copy = path.with_name(f"{name}-undisturbed")
        shutil.copytree(path, copy)
        go_on(copy)
        found[name] = (path, first, outcome(copy))
    return found


def test_a_run_stopped_in_the_middle_goes_on_exactly(
    moments: dict[str, Any], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    for _ in train(tiny(*NO_GAIN), tmp_path / "whole"):
        pass
    for _, _, expected in moments.values():
        assert_equal(tmp_path / "whole", expected)


@pytest.mark.parametrize("part", PARTS)
def test_leaving_out_any_part_is_noticed(part: str, moments: dict[str, Any], tmp_path: Path) -> None:
    moment, leave_out = PARTS[part]
    path, first, expected = moments[moment]
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(path, copy.path)
    arrays, header = read_checkpoint(copy.last)
    leave_out(arrays, header, first)
    write_checkpoint(copy.last, arrays, header)
    try:
        go_on(copy.path)
    except CheckpointError:
        return  # refused: noticed sooner still
    assert outcome(copy.path) != expected


def test_a_finished_run_stays_as_it_is(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    go_on(copy)
    assert_equal(copy, outcome(trained))


def test_a_run_of_which_nothing_was_kept_begins_anew_as_it_says(trained: Path, tmp_path: Path) -> None:
    """What a kill leaves before the first checkpoint."""
    run = tmp_path / "my run"
    RunFolder(run).prepare()
    for name in ("recipe.toml", "vocabulary.json"):
        shutil.copy(trained / name, run / name)
    again = f"seesay train '{run}/recipe.toml' -o '{run}'"
    with pytest.raises(CheckpointError) as fault:
        list(resume(run))
    assert str(fault.value) == (
        f"{run}: nothing of this run was kept yet; expected a checkpoint in it; begin it anew with '{again}'."
    )
    list(train(read_recipe(run / "recipe.toml"), run))
    assert_equal(run, outcome(trained))


def test_a_damaged_newest_checkpoint_is_replaced_by_the_best(
    trained: Path, moments: dict[str, Any], tmp_path: Path
) -> None:
    path, _, expected = moments["first"]
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(path, copy.path)
    content = bytearray(copy.last.read_bytes())
    content[len(content) // 2] ^= 4
    copy.last.unlink()
    copy.last.write_bytes(content)
    (told,) = go_on(copy.path)
    assert "damaged" in told and "Going on from best.safetensors" in told
    assert_equal(copy.path, expected)


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_the_same_bits_in_another_process(seed: str, world: Path, trained: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONHASHSEED": seed}
    subprocess.run(
        [*COMMAND, "train", str(world / "recipe.toml"), "-o", str(tmp_path / "run")],
        env=environment,
        check=True,
        capture_output=True,
    )
    assert_equal(tmp_path / "run", outcome(trained))


def some_copy(moments: dict[str, Any], tmp_path: Path) -> Path:
    shutil.copytree(moments["first"][0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "learning_rate = 0.01",
            "learning_rate = 0.02",
            "received stages.0.learning_rate = 0.02; the run began with 0.01",
        ),
        ("seed = 3", "seed = 4", "received seed = 4; the run began with 3"),
        ("tied = true", "tied = false", "received model.tied = False; the run began with True"),
        ("log_every = 1", "log_every = 2", "received training.log_every = 2"),
        ("beam = 3", "beam = 4", "received decoding.beam = 4"),
    ],
)
def test_a_changed_recipe_stops_a_resume(
    old: str, new: str, message: str, moments: dict[str, Any], tmp_path: Path
) -> None:
    folder = RunFolder(some_copy(moments, tmp_path))
    change(folder.recipe, old, new)
    with pytest.raises(CheckpointError, match=f"recipe.toml: {message}") as fault:
        go_on(folder.path)
    assert "\n" not in str(fault.value)


def test_more_epochs_for_a_finished_run_are_refused_with_a_word(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "copy")
    assert go_on(tmp_path / "copy") == [
        f"{tmp_path}/copy: trained to its end already, in 21 steps; nothing left to do."
    ]
    change(RunFolder(tmp_path / "copy").recipe, "epochs = 3", "epochs = 30")
    with pytest.raises(CheckpointError, match=r"received stages\.0\.epochs = 30; the run began with 3 and goes on"):
        go_on(tmp_path / "copy")


def test_a_finished_run_keeps_its_best_checkpoint_to_the_byte(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    """Of one stage, so that its last epoch may be the best: the checkpoint of the end has the same weights."""
    list(train(tiny("stages=[{epochs=1}]"), tmp_path / "run"))
    best = RunFolder(tmp_path / "run").best
    before = best.read_bytes()
    go_on(tmp_path / "run")
    assert best.read_bytes() == before


def test_names_and_places_may_change(moments: dict[str, Any], world: Path, tmp_path: Path) -> None:
    folder = RunFolder(some_copy(moments, tmp_path))
    shutil.copytree(world, tmp_path / "world")
    change(folder.recipe, str(world), str(tmp_path / "world"))
    change(folder.recipe, 'name = "tiny"', 'name = "moved"')
    go_on(folder.path)
    expected = moments["first"][2]
    assert outcome(folder.path)["log"] == expected["log"] and outcome(folder.path)["last"] == expected["last"]


def test_changed_mirrored_features_and_renamed_pictures_stop_a_resume(
    moments: dict[str, Any], world: Path, make_features: Callable[..., None], tmp_path: Path
) -> None:
    from seesay.data.features import FeatureStore

    folder = RunFolder(some_copy(moments, tmp_path))
    store = FeatureStore(world / "grids-flipped.h5")
    make_features(tmp_path / "other.h5", store.ids, store.read(store.ids) * 2, flipped=True)
    change(folder.recipe, str(world / "grids-flipped.h5"), str(tmp_path / "other.h5"))
    with pytest.raises(CheckpointError, match="its flipped features have changed since it was trained"):
        go_on(folder.path)


def test_another_thread_count_or_torch_is_told(moments: dict[str, Any], tmp_path: Path) -> None:
    folder = RunFolder(some_copy(moments, tmp_path))
    arrays, header = read_checkpoint(folder.last)
    here = header["torch"]
    write_checkpoint(folder.last, arrays, header | {"threads": 7, "torch": "2.0"})
    (told,) = go_on(folder.path)
    assert (
        told
        == f"{folder.path}: goes on, but not to the last bit: torch 2.0 before, {here} now; threads 7 before, 1 now."
    )


def test_a_run_of_an_older_seesay_can_be_used_but_not_resumed(trained: Path, tmp_path: Path) -> None:
    from seesay.evaluation import evaluate

    folder = RunFolder(tmp_path / "old")
    shutil.copytree(trained, folder.path)
    for file in (folder.last, folder.best):
        arrays, header = read_checkpoint(file)
        del header["recipe"], header["progress"]["best_loss"]
        header["data"] = ["x", "y", "z"]
        file.unlink()
        write_checkpoint(file, arrays, header)
    with pytest.raises(CheckpointError, match="begun by an older seesay") as fault:
        go_on(folder.path)
    assert "\n" not in str(fault.value)
    shutil.copytree(trained, tmp_path / "new")
    assert evaluate(folder.path).corpus["Bleu_1"] == pytest.approx(evaluate(tmp_path / "new").corpus["Bleu_1"])


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
