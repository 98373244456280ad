"""`seesay features` and `seesay train`, beyond what tests/test_cli.py asks of every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.commands.training import features, train
from seesay.errors import DataError


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
