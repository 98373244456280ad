"""The run folder: its lock, its log and which checkpoint a run goes on from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay.checkpoint import write_checkpoint
from seesay.errors import CheckpointError, DataError
from seesay.training.folder import RunFolder

HOLD = (
    "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); input()"
)


def test_the_path_may_be_text() -> None:
    assert RunFolder("runs/x") == RunFolder(Path("runs/x")) and RunFolder("runs/x").path == Path("runs/x")
    for value, received in ((None, "None"), (3, "3"), ("", "an empty path")):
        with pytest.raises(DataError, match=rf"^run: received {received}; expected a run folder, as text or a"):
            RunFolder(value)  # type: ignore[arg-type]


def test_every_path_lies_in_the_folder() -> None:
    folder = RunFolder(Path("runs/x"))
    paths = [folder.recipe, folder.vocabulary, folder.log, folder.timings, folder.last, folder.best]
    paths += [folder.predictions("dev"), folder.results("dev"), folder.scores("test")]
    assert [str(path.relative_to("runs/x")) for path in paths] == [
        "recipe.toml",
        "vocabulary.json",
        "log.jsonl",
        "timings.jsonl",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "predictions/dev.json",
        "results/dev.json",
        "scores/test.json",
    ]


def test_a_second_writer_gets_one_line_in_this_process_and_another(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with (
        folder.locked(),
        pytest.raises(CheckpointError, match="another process is training"),
        RunFolder(folder.path).locked(),
    ):
        pass
    folder.path.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "1\n"
        with pytest.raises(CheckpointError, match="another process is training"), folder.locked():
            pass
    finally:
        holder.kill()
        holder.communicate()
    with folder.locked():  # a killed holder leaves nothing behind
        pass


def test_leftovers_of_a_killed_writer_go_and_nothing_else(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare()
    orphan = tmp_path / "checkpoints" / ".last.safetensors.tmp.123"
    kept = tmp_path / "checkpoints" / "last.safetensors"
    for path in (orphan, kept):
        path.write_bytes(b"x")
    folder.prepare()
    assert not orphan.exists() and kept.exists()


def test_the_log_is_cut_to_what_the_checkpoint_knows(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.log_size() == 0
    folder.cut_log(0)
    folder.append(folder.log, {"step": 1, "text": "é"})
    size = folder.log_size()
    folder.append(folder.log, {"step": 2})
    folder.cut_log(size)
    folder.cut_log(size + 100)
    assert [json.loads(line) for line in folder.log.read_text(encoding="utf-8").splitlines()] == [
        {"step": 1, "text": "é"}
    ]


def test_the_newest_whole_checkpoint_wins_and_says_what_was_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.prepare()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        folder.newest()
    write_checkpoint(folder.best, {"w": np.ones(1)}, {"step": 4})
    write_checkpoint(folder.last, {"w": np.ones(1)}, {"step": 9})
    assert folder.newest()[1:] == ({"step": 9}, "")
    content = bytearray(folder.last.read_bytes())
    content[-1] ^= 1
    folder.last.write_bytes(content)
    _, header, note = folder.newest()
    assert header == {"step": 4}
    assert "damaged" in note and "Going on from best.safetensors" in note
    folder.best.unlink()
    with pytest.raises(CheckpointError, match="damaged"):
        folder.newest()


def test_the_lock_and_an_empty_folder_of_its_own_go_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        assert (folder.path / ".lock").exists()
    assert not folder.path.exists()
    folder.path.mkdir()
    with folder.locked():
        pass
    assert list(folder.path.iterdir()) == []  # one that was there before stays
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path / "other").locked():
        (tmp_path / "other" / "kept").touch()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["kept"]


def test_a_lock_that_its_owner_has_just_removed_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(file: Any, operation: int) -> None:
        (tmp_path / ".lock").unlink()

    monkeypatch.setattr("fcntl.flock", late)
    with pytest.raises(CheckpointError, match="another process is training"), RunFolder(tmp_path).locked():
        pass


def test_what_cannot_be_written_is_one_line_with_its_file(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / ".lock").mkdir()
    with pytest.raises(DataError, match=r"\.lock: cannot be written \(Is a directory\)"), folder.locked():
        pass
    folder.log.mkdir()
    for attempt in (lambda: folder.append(folder.log, {}), folder.log_size, lambda: folder.cut_log(0)):
        with pytest.raises(DataError, match=r"log\.jsonl: cannot be written \(Is a directory\)"):
            attempt()
    folder.timings.symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"timings\.jsonl: cannot be written \(No space left on device\)"):
        folder.append(folder.timings, {"seconds": 1})
    (tmp_path / "checkpoints").touch()
    with pytest.raises(DataError, match="checkpoints: the folder cannot be made"):
        folder.prepare()


def test_a_run_has_begun_when_it_has_come_further_than_its_first_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.begun()
    folder.prepare()
    write_checkpoint(folder.last, {"w": np.ones(1)}, {"progress": {"step": 0}})
    folder.append(folder.log, {"step": 1})
    assert not folder.begun()
    write_checkpoint(folder.last, {"w": np.ones(1)}, {"progress": {"step": 3}})
    assert folder.begun()
    folder.last.write_bytes(b"damaged")
    assert folder.begun()
    folder.last.unlink()
    assert folder.begun()  # somebody's log
    folder.clear()
    assert not folder.begun() and list(tmp_path.rglob("*.*")) == []
