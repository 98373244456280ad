"""`seesay features` and `seesay train`, beyond what tests/test_cli.py asks of every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seesay.commands.training import features, train
from seesay.errors import DataError, SeesayError


def test_features_make_the_folder_that_they_go_to(demo_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes(next((demo_folder / "images").glob("*.jpg")).read_bytes())
    features(photos, tmp_path / "runs" / "mine" / "grids.h5")
    assert (tmp_path / "runs" / "mine" / "grids.h5").is_file()
    with pytest.raises(DataError):
        features(tmp_path / "none", tmp_path / "nowhere" / "grids.h5")
    assert not (tmp_path / "nowhere").exists()


def test_what_comes_next_is_told_for_each_task(classifier_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(resume=classifier_run)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(f", seesay report {classifier_run}, seesay classify {classifier_run} < TEXT")


@pytest.mark.parametrize("arguments", [{"recipe": "demo"}, {"resume": Path("runs/a")}], ids=["anew", "resumed"])
def test_several_processes_are_refused_before_anything_else(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        SeesayError, match=r"^WORLD_SIZE: received 2, as torchrun sets it; expected one process, as see"
    ):
        train(**arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_launcher_of_one_process_is_none(monkeypatch: pytest.MonkeyPatch, classifier_run: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    train(resume=classifier_run)
