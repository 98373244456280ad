"""The demonstration asks about its photographs once there is a run that asks."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from seesay.demo import ask_aside, called, run_demo
from seesay.errors import CheckpointError
from seesay.recipe import find_recipe, read_recipe, write_recipe


def test_each_photograph_kept_aside_is_asked_about(
    asker_run: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_aside(world, asker_run, world / "captions.json")
    head, *lines = capsys.readouterr().out.strip().splitlines()
    assert str(asker_run) in head and len(lines) == 4
    assert all(".jpg  " in line and line.endswith("?") for line in lines)
    ask_aside(world, tmp_path / "none", world / "captions.json")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("typed", "found", "shown"),
    [
        ("/usr/bin/seesay", "/usr/bin/seesay", "seesay"),
        (".venv/bin/seesay", None, ".venv/bin/seesay"),
        ("/opt/own/seesay", "/usr/bin/seesay", "/opt/own/seesay"),
        ("/usr/bin/pytest", None, "seesay"),
    ],
    ids=["by-name", "by-path", "another", "from-python"],
)
def test_what_to_try_next_can_be_typed(
    typed: str, found: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [typed, "demo"])
    monkeypatch.setattr(shutil, "which", {"seesay": found}.get)
    assert called() == shown


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("fixture", ["trained", "asker_run"])
def test_another_run_stays_as_it_is(fixture: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = Path(shutil.copytree(request.getfixturevalue(fixture), tmp_path / "run"))
    before = contents(run)
    with pytest.raises(CheckpointError, match=r"run: holds another run than the demonstration's; expected a new"):
        run_demo(run)
    assert contents(run) == before


def test_the_demonstration_s_own_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of its captions with features elsewhere, as `seesay train demo` makes it, is another one, too."""
    reached: list[str] = []

    def beyond(*_: object, **__: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("seesay.demo.make_folder", lambda path: reached.append(path.name))
    monkeypatch.setattr("seesay.demo.extract", beyond)
    demo = read_recipe(find_recipe("demo"))
    for name, features in (("own", tmp_path / "own" / "grids.h5"), ("other", tmp_path / "grids.h5")):
        (tmp_path / name).mkdir()
        data = demo.data.model_copy(update={"features": str(features)})
        (tmp_path / name / "recipe.toml").write_bytes(write_recipe(demo.model_copy(update={"data": data})))
    with pytest.raises(InterruptedError):
        run_demo(tmp_path / "own")
    with pytest.raises(CheckpointError):
        run_demo(tmp_path / "other")
    assert reached == ["own"]
