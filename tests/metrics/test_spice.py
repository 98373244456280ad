"""SPICE is never a substitute: without its parts there is a reason instead of a score."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from seesay.errors import DataError, MissingPart
from seesay.metrics import spice
from seesay.metrics.scoring import METRICS, evaluate

CANDIDATES, REFERENCES = {"7": "a dog runs"}, {"7": ["a dog runs fast"]}


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPart, match="its program is not installed"):
        spice.score(CANDIDATES, REFERENCES)
    result = evaluate(CANDIDATES, REFERENCES, ["BLEU", "SPICE"])
    assert list(result.corpus) == ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4"]
    assert any(note.startswith("SPICE is skipped: its program is not installed") for note in result.notes)
    assert "SPICE" not in result.signature


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, models: bool) -> None:
    """The files that the plug-in looks for, empty."""
    library = folder / "pycocoevalcap" / "spice" / "lib"
    library.mkdir(parents=True)
    (folder / "pycocoevalcap" / "__init__.py").touch()
    (library.parent / "spice-1.0.jar").touch()
    for name in ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar") if models else ():
        (library / name).touch()
    monkeypatch.syspath_prepend(str(folder))


def test_without_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, models=False)
    with pytest.raises(MissingPart, match=r"CoreNLP 3\.6\.0 and its models .* are not in"):
        spice.score(CANDIDATES, REFERENCES)


def test_without_java_or_with_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, models=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPart, match="there is no Java"):
        spice.score(CANDIDATES, REFERENCES)
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.9\" 2023-10-17' >&2\n", encoding="utf-8")
    java.chmod(0o755)
    with pytest.raises(MissingPart, match="Java 17 cannot run its program; put version 8 to 15 first"):
        spice.score(CANDIDATES, REFERENCES)


def test_a_program_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, monkeypatch, models=True)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    java = tmp_path / "java"
    java.write_text(
        '#!/bin/sh\necho "java version \\"1.8.0_392\\"" >&2\necho "no room" >&2\nexit 3\n', encoding="utf-8"
    )
    java.chmod(0o755)
    with pytest.raises(MissingPart, match=r"its program failed \(no room\)"):
        spice.score(CANDIDATES, REFERENCES)


@pytest.mark.parametrize(
    ("said", "version"),
    [('openjdk version "11.0.2"', 11), ('java version "1.8.0_1"', 8), ('openjdk version "21"', 21), ("what?", 0)],
)
def test_versions_of_java(said: str, version: int) -> None:
    assert spice.java_version(said) == version


def test_output_is_read_in_the_candidates_order() -> None:
    rows = [{"image_id": i, "scores": {"All": {"f": f}}} for i, f in (("b", 0.5), ("a", math.nan), ("c", 0.25))]
    scores = spice.read_output(rows, {"a": "", "b": "", "c": ""})
    assert list(scores.per_id.items()) == [("a", 0.0), ("b", 0.5), ("c", 0.25)]
    assert scores.corpus == 0.25


def test_ids_are_checked_first() -> None:
    with pytest.raises(DataError, match="no references"):
        spice.score(CANDIDATES, {"8": ["a dog"]})
    assert METRICS[-1] == "SPICE"
