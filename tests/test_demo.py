"""The demonstration asks about its photographs once there is a run that asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from seesay.demo import ask_aside


def test_each_photograph_kept_aside_is_asked_about(
    asker_run: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_aside(world, asker_run, world / "captions.json")
    head, *lines = capsys.readouterr().out.strip().splitlines()
    assert str(asker_run) in head and len(lines) == 4
    assert all(".jpg  " in line and line.endswith("?") for line in lines)
    ask_aside(world, tmp_path / "none", world / "captions.json")
    assert capsys.readouterr().out == ""
